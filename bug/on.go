//go:build seededbugs

// Package bug plants defects on purpose; see the build without this tag for what it is.
package bug

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

var planted atomic.Pointer[string]

// On tells whether a planted defect is at work.
func On(name string) bool {
	p := planted.Load()
	return p != nil && *p == name
}

// Plant puts one defect to work, instead of any other; the empty name puts none.
func Plant(name string) {
	if name == "" {
		planted.Store(nil)
		return
	}
	planted.Store(&name)
}

// Clock is the wall clock in unix ms for a defect that reads it where nobody may.
func Clock() int64 { return time.Now().UnixMilli() }

// Shuffle gives a list in an order that nobody chose, for a defect that keeps one in a map.
func Shuffle[T any](list []T) []T {
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
