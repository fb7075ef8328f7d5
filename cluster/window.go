package cluster

import (
	"fmt"
	"sync"

	"github.com/hoistflags/hoist/fsm"
)

const (
	windowEntries = 4096
	windowBytes   = 64 << 20
)

// window bounds what may be in flight. Beyond it a write is refused at once: a queue that only grows answers nobody.
type window struct {
	mu      sync.Mutex
	entries int
	bytes   int
}

// enter takes room for one proposal, or says OVERLOADED.
func (w *window) enter(size int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entries >= windowEntries || w.bytes+size > windowBytes {
		return &fsm.Error{Kind: fsm.KindOverloaded, Op: "propose",
			Detail: fmt.Sprintf("%d writes (%d bytes) are in flight already: try again in a moment", w.entries, w.bytes)}
	}
	w.entries++
	w.bytes += size
	return nil
}

func (w *window) leave(size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries--
	w.bytes -= size
}

// idle tells whether nothing is in flight.
func (w *window) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.entries == 0
}
