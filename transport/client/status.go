package client

import (
	"errors"
	"time"
)

// Position is what a Replica serves and when it last knew that it was current.
type Position struct {
	Epoch    string
	Revision uint64
	KnownAt  time.Time // zero: never
}

// Age is how long ago the position was known to be current; 0 when it never was, or when the clock was set back since.
func (p Position) Age() time.Duration {
	if p.KnownAt.IsZero() {
		return 0
	}
	return max(0, time.Since(p.KnownAt))
}

// Status is how a replica stands.
type Status struct {
	Position
	Connected bool  // the last stream that was opened is open and was heard within 15 s
	Err       error // why it is not connected
}

var errNotYet = errors.New("no node has answered yet")

// standing is a status and the channel that closes when the next one replaces it.
type standing struct {
	Status
	replaced chan struct{}
}

func newStanding(s Status) *standing { return &standing{s, make(chan struct{})} }

// stand replaces the status and wakes those who wait for it. Only the goroutine that follows calls it, and Open before
// that goroutine exists.
func (r *Replica) stand(s Status) {
	close(r.place.Swap(newStanding(s)).replaced)
}
