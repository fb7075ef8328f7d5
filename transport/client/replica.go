package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

const (
	silence    = 15 * time.Second // without a frame a connection counts as dead
	firstPause = 500 * time.Millisecond
	longest    = 30 * time.Second
)

// ReplicaConfig says what to follow and where. Addresses is required.
type ReplicaConfig struct {
	Addresses   []string           // base URLs of any nodes; the next one is tried when one fails
	HTTPClient  connect.HTTPClient // nil: NewHTTPClient
	Tenant      string
	Environment string
	Logger      *slog.Logger // nil: discard
}

// Replica is a copy of one environment that follows the cluster. It is safe for concurrent use.
type Replica struct {
	nodes  []*Client
	logger *slog.Logger
	live   *evaluator.Live
	stop   context.CancelFunc
	done   chan struct{}
	ready  chan struct{}
	opened sync.Once
	place  atomic.Pointer[Position]
}

// Position is what a Replica serves and when it last knew that it was current.
type Position struct {
	Epoch    string
	Revision uint64
	KnownAt  time.Time // zero: never
}

// OpenReplica starts following and returns at once; Ready tells when there is something to serve.
func OpenReplica(cfg ReplicaConfig) (*Replica, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("ReplicaConfig.Addresses: name at least one node")
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = NewHTTPClient()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Replica{
		logger: cfg.Logger, live: evaluator.NewLive(evaluator.EmptySnapshot("")),
		done: make(chan struct{}), ready: make(chan struct{}),
	}
	for _, address := range cfg.Addresses {
		node, err := Open(Config{Address: address, HTTPClient: cfg.HTTPClient, Tenant: cfg.Tenant, Environment: cfg.Environment})
		if err != nil {
			return nil, err
		}
		r.nodes = append(r.nodes, node)
	}
	r.place.Store(&Position{})
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		defer close(r.done)
		r.run(ctx)
	}()
	return r, nil
}

// Live is the current snapshot and the way to wait for the next one. Before Ready it holds an empty one without an epoch.
func (r *Replica) Live() *evaluator.Live { return r.live }

// Position is what the replica serves now. Its revision can be ahead of the snapshot's, which is that of its last change.
func (r *Replica) Position() Position { return *r.place.Load() }

// Evaluate answers from memory. Before Ready the error code is PROVIDER_NOT_READY.
func (r *Replica) Evaluate(key string, c *evaluator.Context) evaluator.Result {
	s := r.live.Snapshot()
	if s.Epoch() == "" {
		return evaluator.Result{Reason: evaluator.ReasonError, ErrorCode: evaluator.ErrorProviderNotReady}
	}
	return s.Evaluate(key, c)
}

// Ready waits until there is something to serve, and returns the context's error otherwise.
func (r *Replica) Ready(ctx context.Context) error {
	select {
	case <-r.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops following. What was last served can still be read.
func (r *Replica) Close() error {
	r.stop()
	<-r.done
	return nil
}

// run keeps one stream open, on one node after the other.
func (r *Replica) run(ctx context.Context) {
	a := &assembly{snapshot: r.live.Snapshot()}
	failures := 0
	for node := rand.IntN(len(r.nodes)); ctx.Err() == nil; node = (node + 1) % len(r.nodes) {
		progressed, pause, err := r.follow(ctx, r.nodes[node], a)
		if progressed {
			failures = 0
		}
		if err != nil {
			pause = backoff(failures)
			failures++
			r.logger.Debug("following failed", slog.Any("error", err), slog.Duration("pause", pause))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// backoff is a random time up to 0.5 s, 1 s, 2 s, … and never more than 30 s: thousands of followers that lost the same
// node must not come back together.
func backoff(failures int) time.Duration {
	limit := longest
	if failures < 6 {
		limit = min(longest, firstPause<<failures)
	}
	return rand.N(limit)
}

// follow reads one stream to its end. A nil error is a go-away; pause is how long to wait before the next stream.
func (r *Replica) follow(ctx context.Context, node *Client, a *assembly) (progressed bool, pause time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	stream, err := node.Sync.Follow(ctx, &hoistv1.FollowRequest{Epoch: a.epoch, Revision: a.revision})
	if err != nil {
		return false, 0, err
	}
	defer stream.Close() //nolint:errcheck // the stream is over, why is returned
	a.begin()
	for stream.Receive() {
		alarm.Reset(silence)
		m := stream.Msg()
		if away := m.GetGoAway(); away != nil {
			return progressed, rand.N(max(time.Duration(away.GetRetryWithinMs())*time.Millisecond, time.Millisecond)), nil
		}
		if err := r.take(a, m); err != nil {
			if gap := (*gapError)(nil); errors.As(err, &gap) {
				a.epoch, a.revision = "", 0 // the next stream begins with a snapshot
			}
			return progressed, 0, err
		}
		progressed = true
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return progressed, 0, cause
	}
	if err := stream.Err(); err != nil {
		return progressed, 0, err
	}
	return progressed, 0, errors.New("the stream ended without a go-away")
}

var errSilent = fmt.Errorf("nothing was heard for %s", silence)

// take applies one frame and publishes what came of it, unless that lies behind what is served in the same epoch.
func (r *Replica) take(a *assembly, m *hoistv1.FollowResponse) error {
	var err error
	known := r.place.Load().KnownAt // only a mark says how current the node is
	switch frame := m.GetFrame().(type) {
	case *hoistv1.FollowResponse_Snapshot:
		err = a.part(frame.Snapshot)
	case *hoistv1.FollowResponse_Difference:
		err = a.difference(frame.Difference)
	case *hoistv1.FollowResponse_Progress:
		err = a.progress(frame.Progress)
		known = time.Now().Add(-time.Duration(frame.Progress.GetAgeMs()) * time.Millisecond)
	default:
		return nil // a frame of a later version; what matters comes in the others
	}
	if err != nil {
		return err
	}
	served := r.place.Load()
	if a.epoch == "" || a.epoch == served.Epoch && a.revision < served.Revision {
		return nil
	}
	if a.snapshot != r.live.Snapshot() {
		r.live.Publish(a.snapshot)
	}
	r.place.Store(&Position{Epoch: a.epoch, Revision: a.revision, KnownAt: known})
	r.opened.Do(func() { close(r.ready) })
	return nil
}
