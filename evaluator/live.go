package evaluator

import (
	"context"
	"sync"
	"sync/atomic"
)

// Live is the current snapshot of one environment and the way to wait for the next one.
// There is one writer (Publish) and any number of readers. It is level-triggered: a reader
// compares pointers and then asks the newest snapshot for Since, so there is no queue that
// could fill up and nothing to miss.
//
//	seen := live.Snapshot()
//	for {
//		next, err := live.Wait(ctx, seen)
//		if err != nil {
//			return err
//		}
//		diff, ok := next.Since(seen.Revision())
//		…
//		seen = next
//	}
type Live struct {
	current atomic.Pointer[generation]
	publish sync.Mutex
}

// generation is a snapshot and the channel that closes when the next one replaces it.
type generation struct {
	snapshot *Snapshot
	replaced chan struct{}
}

// NewLive returns a Live that holds s.
func NewLive(s *Snapshot) *Live {
	l := &Live{}
	l.current.Store(&generation{snapshot: s, replaced: make(chan struct{})})
	return l
}

// Snapshot returns the current snapshot: one atomic load, no lock.
func (l *Live) Snapshot() *Snapshot { return l.current.Load().snapshot }

// Publish makes s the current snapshot and wakes every waiter.
func (l *Live) Publish(s *Snapshot) {
	l.publish.Lock()
	defer l.publish.Unlock()
	old := l.current.Swap(&generation{snapshot: s, replaced: make(chan struct{})})
	close(old.replaced)
}

// Wait returns the current snapshot as soon as it is another one than seen, or the context's error.
func (l *Live) Wait(ctx context.Context, seen *Snapshot) (*Snapshot, error) {
	for {
		now := l.current.Load()
		if now.snapshot != seen {
			return now.snapshot, nil
		}
		select {
		case <-now.replaced:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
