//go:build !seededbugs

// Package bug plants defects on purpose, to prove that the simulator finds them. In every build without the tag
// seededbugs On is constant false, and the compiler leaves nothing of the sites behind: what is released has no defect
// that can be switched on.
//
//	if bug.On("B03") {
//		return Outcome{}, false // as if the request had never been seen
//	}
package bug

// On tells whether a planted defect is at work.
func On(string) bool { return false }

// Clock is the wall clock in unix ms for a defect that reads it where nobody may; 0 without the tag.
func Clock() int64 { return 0 }

// Shuffle gives a list in an order that nobody chose, for a defect that keeps one in a map; the list itself without the tag.
func Shuffle[T any](list []T) []T { return list }
