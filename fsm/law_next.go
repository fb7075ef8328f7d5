//go:build nextlaw

package fsm

// LawVersion is one higher than it is: a build with the tag nextlaw stands for the next release in tests of upgrades.
const LawVersion = 2

// introduced says that the next release brought archiving.
func introduced(c Command) int {
	if _, ok := c.(SetArchived); ok {
		return LawVersion
	}
	return LawOldest
}
