package stream

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

// Why a follower is refused or sent away.
var (
	ErrUnknown  = errors.New("stream: no such environment")
	ErrBehind   = errors.New("stream: this node has not applied the follower's revision yet, or has no state at all")
	ErrRestored = errors.New("stream: the state was replaced; take a snapshot")
	ErrClosed   = errors.New("stream: closed")
)

const (
	markEvery    = 5 * time.Second  // a progress mark when nothing else was sent
	behindWait   = 2 * time.Second  // for a node that is behind the follower
	rebuildEvery = 10 * time.Second // a snapshot blob is at least this old before a newer one is made
	buildersMax  = 8                // snapshots being encoded at once on a node
	retryWithin  = 3 * time.Second  // what a go-away asks followers to spread over
)

// Observer hears of what is sent; its methods must not block.
type Observer interface {
	// Published is called when a change has been encoded, with the time since the leader stamped it.
	Published(since time.Duration)
	// Sent is called when a follower is given a difference, with how many revisions the node is ahead of it.
	Sent(lag uint64)
}

// Config says where a Hub reads from. All fields are required.
type Config struct {
	Live    func(tenant, environment string) (*evaluator.Live, bool)
	Applied func(tenant, environment string) uint64 // the revision up to which everything is in Live
	Await   func(ctx context.Context, tenant, environment string, revision uint64) error
	Age     func(tenant, environment string) time.Duration // since that was known to be current
	Observe Observer
}

// Position is what a follower has applied. The zero Position is nothing.
type Position struct {
	Epoch    string
	Revision uint64
}

// Request says who follows what. Age is how long the stream may live; 0 means for ever.
type Request struct {
	Tenant      string
	Environment string
	At          Position
	Age         time.Duration
}

type place struct{ tenant, environment string }

// Hub holds the feeds of all followed environments. It is safe for concurrent use.
type Hub struct {
	cfg      Config
	building chan struct{}
	drained  chan struct{} // closed by Drain
	drain    sync.Once
	running  sync.WaitGroup

	mu     sync.Mutex
	feeds  map[place]*feed
	closed bool
}

// NewHub returns a Hub without followers.
func NewHub(cfg Config) *Hub {
	return &Hub{
		cfg: cfg, building: make(chan struct{}, buildersMax), drained: make(chan struct{}), feeds: map[place]*feed{},
	}
}

// Follow opens a cursor at a position. A position this node can continue costs a difference, any other a snapshot. It
// waits 2 s for a node that is behind the position, then fails with ErrBehind. Close the cursor.
func (h *Hub) Follow(ctx context.Context, r Request) (*Cursor, error) {
	live, ok := h.cfg.Live(r.Tenant, r.Environment)
	if !ok {
		return nil, ErrUnknown
	}
	at := r.At
	if at.Epoch != live.Snapshot().Epoch() {
		at = Position{}
	}
	if err := h.catchUpWith(ctx, place{r.Tenant, r.Environment}, at.Revision); err != nil {
		return nil, err
	}
	if live.Snapshot().Epoch() == "" {
		return nil, ErrBehind
	}
	f, err := h.join(place{r.Tenant, r.Environment}, live)
	if err != nil {
		return nil, err
	}
	c := &Cursor{feed: f, own: at.Revision, epoch: at.Epoch, greet: true}
	if r.Age > 0 {
		c.age = time.NewTimer(r.Age)
	}
	if err := c.catchUp(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (h *Hub) catchUpWith(ctx context.Context, p place, revision uint64) error {
	if h.cfg.Applied(p.tenant, p.environment) >= revision {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, behindWait)
	defer cancel()
	if err := h.cfg.Await(bounded, p.tenant, p.environment, revision); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return ErrBehind
	}
	return nil
}

// join counts a follower in; the first one of an environment starts its feed.
func (h *Hub) join(p place, live *evaluator.Live) (*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	f := h.feeds[p]
	if f == nil {
		ctx, stop := context.WithCancel(context.Background())
		f = newFeed(h, p, live, stop)
		h.feeds[p] = f
		h.running.Go(func() { f.run(ctx) })
	}
	f.followers++
	return f, nil
}

// leave counts a follower out; the last one stops the feed.
func (h *Hub) leave(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.followers--; f.followers == 0 {
		f.stop()
		delete(h.feeds, f.place)
	}
}

// Feeds is the number of environments that are followed now.
func (h *Hub) Feeds() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.feeds)
}

// Drain asks every follower, once it has been given what is pending, to go to another node.
func (h *Hub) Drain() { h.drain.Do(func() { close(h.drained) }) }

// Close drains, refuses new followers and stops the feeds. Open cursors end with ErrClosed.
func (h *Hub) Close() {
	h.Drain()
	h.mu.Lock()
	h.closed = true
	for _, f := range h.feeds {
		f.stop()
	}
	h.mu.Unlock()
	h.running.Wait()
}
