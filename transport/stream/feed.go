package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// The part of the list that followers can walk. A follower that is further behind gets one coalesced difference instead,
// which is shorter than the frames it missed.
const (
	windowNodes = 256
	windowBytes = 4 << 20
)

// node is one step of an environment: a difference or a progress mark. When the next one is appended, ready closes.
type node struct {
	epoch    string
	from, to uint64
	mark     bool // a progress mark; from is 0
	frames   []*Frame
	bytes    int
	next     atomic.Pointer[node]
	ready    chan struct{}
	cut      atomic.Bool // the node has left the window, next leads nowhere
}

// feed turns the snapshots of one environment into frames. run is the only writer of the list.
type feed struct {
	hub       *Hub
	place     place
	live      *evaluator.Live
	stop      context.CancelFunc
	followers int // guarded by hub.mu

	tail atomic.Pointer[node]

	// Owned by run.
	seen         *evaluator.Snapshot
	oldest       *node
	nodes, bytes int

	blobs sync.Mutex
	blob  *blob

	misses  sync.Mutex // differences for those who are behind, for the newest snapshot only
	missFor *evaluator.Snapshot
	missed  map[uint64][]*Frame
}

// blob is everything an environment serves at one revision, encoded.
type blob struct {
	snapshot *evaluator.Snapshot
	frames   []*Frame
	made     time.Time
}

func newFeed(h *Hub, p place, live *evaluator.Live, stop context.CancelFunc) *feed {
	f := &feed{hub: h, place: p, live: live, stop: stop, seen: live.Snapshot()}
	f.oldest = &node{epoch: f.seen.Epoch(), to: f.seen.Revision(), ready: make(chan struct{})}
	f.nodes = 1
	f.tail.Store(f.oldest)
	return f
}

// run appends a node for every change, and a progress mark when there was none for a while.
func (f *feed) run(ctx context.Context) {
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, markEvery)
		next, err := f.live.Wait(bounded, f.seen)
		cancel()
		switch {
		case err == nil:
			f.advance(next)
		case ctx.Err() == nil:
			f.mark()
		}
	}
	close(f.tail.Load().ready) // wake those who wait; they find the feed stopped
}

// advance publishes what changed between the last snapshot and the next.
func (f *feed) advance(next *evaluator.Snapshot) {
	seen := f.seen
	f.seen = next
	n := &node{epoch: next.Epoch(), from: next.Revision(), to: next.Revision()}
	if next.Epoch() == seen.Epoch() {
		// Without a difference the node is a gap: from is beyond every follower, so they catch up by themselves.
		if d, ok := next.Since(seen.Revision()); ok {
			if frames, err := encodeDifference(next, d); err == nil {
				n.from, n.to, n.frames = d.From, d.To, frames
			}
		}
	}
	f.append(n)
	f.hub.cfg.Observe.Published(time.Since(time.UnixMilli(next.ChangedAt())))
}

// mark publishes that nothing else changed. The applied revision is read before the snapshot: a node publishes its
// environments first, so the snapshot holds everything up to that revision.
func (f *feed) mark() {
	applied := f.hub.cfg.Applied(f.place.tenant, f.place.environment)
	if s := f.live.Snapshot(); s != f.seen {
		return // a change is waiting, which says more
	}
	to := max(applied, f.seen.Revision())
	frame, err := encodeProgress(f.seen.Epoch(), to, f.hub.cfg.Age(f.place.tenant, f.place.environment).Milliseconds())
	if err != nil {
		return // cannot happen for a message of three numbers; followers would notice silence
	}
	f.append(&node{epoch: f.seen.Epoch(), to: to, mark: true, frames: []*Frame{frame}})
}

func (f *feed) append(n *node) {
	n.ready = make(chan struct{})
	for _, frame := range n.frames {
		n.bytes += frame.Size()
	}
	old := f.tail.Load()
	old.next.Store(n)
	f.tail.Store(n)
	close(old.ready)
	f.nodes++
	f.bytes += n.bytes
	for f.oldest != n && (f.nodes > windowNodes || f.bytes > windowBytes) {
		gone := f.oldest
		f.oldest = gone.next.Load()
		gone.cut.Store(true)
		gone.next.Store(nil)
		f.nodes--
		f.bytes -= gone.bytes
	}
}

// since returns the difference from a revision to snapshot s, encoded once for all who ask; false when only a snapshot
// helps, or is the smaller answer. Whoever was just given the snapshot gets the difference from there whatever its size:
// the snapshot is not rebuilt for a while, and would lead back to the same place.
func (f *feed) since(s *evaluator.Snapshot, from uint64, snapshotGiven bool) ([]*Frame, bool, error) {
	f.misses.Lock()
	defer f.misses.Unlock()
	if f.missFor != s {
		f.missFor, f.missed = s, map[uint64][]*Frame{}
	}
	if frames, ok := f.missed[from]; ok {
		return frames, true, nil
	}
	d, ok := s.Since(from)
	if bug.On("B04") {
		d, ok = s.Since(from + 1)
		d.From = from
	}
	records := len(d.Flags) + len(d.Segments) + len(d.RemovedFlags) + len(d.RemovedSegments)
	if !ok || !snapshotGiven && records > s.Len()+len(s.Segments()) {
		return nil, false, nil
	}
	var frames []*Frame
	if d.From < d.To {
		var err error
		if frames, err = encodeDifference(s, d); err != nil {
			return nil, false, err
		}
	}
	f.missed[from] = frames
	return frames, true, nil
}

// everything returns the shared snapshot, building a newer one at most every 10 s.
func (f *feed) everything(ctx context.Context) (*blob, error) {
	f.blobs.Lock()
	defer f.blobs.Unlock()
	now := f.live.Snapshot()
	if b := f.blob; b != nil && b.snapshot.Epoch() == now.Epoch() && (b.snapshot == now || time.Since(b.made) < rebuildEvery) {
		if _, ok := now.Since(b.snapshot.Revision()); ok {
			return b, nil
		}
	}
	select {
	case f.hub.building <- struct{}{}:
		defer func() { <-f.hub.building }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	frames, err := encodeSnapshot(now)
	if err != nil {
		return nil, err
	}
	f.blob = &blob{snapshot: now, frames: frames, made: time.Now()}
	return f.blob, nil
}
