package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// followers hold a stream to every node and measure how long a change takes from the leader's time stamp on it to a
// stream client of each node. What a stream is told right after it was opened is old news and is not measured.
type followers struct {
	children []*child
	seen     []atomic.Int64 // milliseconds the newest change took, per node

	mu    sync.Mutex
	times []time.Duration
}

func newFollowers(children []*child) *followers {
	return &followers{children: children, seen: make([]atomic.Int64, len(children))}
}

func (f *followers) run(ctx context.Context) {
	var all sync.WaitGroup
	for index := range f.children {
		all.Go(func() {
			for at := (&hoistv1.FollowRequest{Environment: ledgerEnvironment}); ; {
				f.follow(ctx, index, at)
				if !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
					return
				}
			}
		})
	}
	all.Wait()
}

// follow reads one stream until it ends, and keeps in at where to go on.
func (f *followers) follow(ctx context.Context, index int, at *hoistv1.FollowRequest) {
	stream, err := f.children[index].node.sync.Follow(ctx, at)
	if err != nil {
		return // the node is down; the caller tries again
	}
	defer func() { _ = stream.Close() }() // it has ended
	opened := time.Now()
	for stream.Receive() {
		frame := stream.Msg()
		if part := frame.GetSnapshot(); part.GetLast() {
			at.Epoch, at.Revision = part.GetEpoch(), part.GetRevision()
		}
		change := frame.GetDifference()
		if change == nil {
			continue
		}
		at.Epoch, at.Revision = change.GetEpoch(), change.GetTo()
		if stamped := time.UnixMilli(change.GetChangedAt()); stamped.After(opened) {
			f.note(index, max(0, time.Since(stamped)))
		}
	}
}

func (f *followers) note(index int, took time.Duration) {
	f.seen[index].Store(took.Milliseconds())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.times = append(f.times, took)
}
