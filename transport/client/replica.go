package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
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
	closeWait  = 5 * time.Second
)

// ReplicaConfig says what to follow and where. Addresses is required.
type ReplicaConfig struct {
	Addresses   []string           // base URLs of any nodes or edges; the next one is tried when one fails
	HTTPClient  connect.HTTPClient // nil: one of its own, whose connections Close closes
	Token       string             // sent as a bearer token; empty: none
	Tenant      string
	Environment string
	CacheFile   string // what was last served is kept here and served from the start; empty: nowhere
	// ReportUse tells upstream, about once a minute, which flags Use notes. Without it following counts as reading
	// everything, and nobody can tell which flags are in use.
	ReportUse bool
	Logger    *slog.Logger // nil: discard
}

// Replica is a copy of one environment that follows the cluster. It is safe for concurrent use.
type Replica struct {
	nodes  []*Services
	logger *slog.Logger
	live   *evaluator.Live
	cache  *cache // nil: none
	stop   context.CancelFunc
	done   chan struct{}
	ready  chan struct{}
	opened sync.Once
	place  atomic.Pointer[standing]
	own    *http.Client // to be closed; nil when the caller brought one

	use      *Use                     // nil: not reported
	upstream atomic.Pointer[Services] // who is followed, or was last
}

// OpenReplica starts following and returns at once; Ready tells when there is something to serve. With a usable cache
// file that is now. One that is damaged or belongs to another environment is logged, and replaced once there is
// something to put in its place.
func OpenReplica(cfg ReplicaConfig) (*Replica, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("ReplicaConfig.Addresses: name at least one node")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Replica{
		logger: cfg.Logger, live: evaluator.NewLive(evaluator.EmptySnapshot("")),
		done: make(chan struct{}), ready: make(chan struct{}),
	}
	if cfg.HTTPClient == nil {
		r.own = NewHTTPClient()
		cfg.HTTPClient = r.own
	}
	for _, address := range cfg.Addresses {
		node, err := OpenServices(ServicesConfig{
			Address: address, HTTPClient: cfg.HTTPClient, Token: cfg.Token, Tenant: cfg.Tenant, Environment: cfg.Environment,
		})
		if err != nil {
			return nil, err
		}
		r.nodes = append(r.nodes, node)
	}
	r.place.Store(newStanding(Status{Err: errNotYet}))
	if cfg.ReportUse {
		r.use = &Use{}
	}
	if cfg.CacheFile != "" {
		r.cache = &cache{path: cfg.CacheFile, tenant: cfg.Tenant, environment: cfg.Environment, logger: cfg.Logger}
		r.restore()
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	saved := kept{r.live.Snapshot(), r.Position()}
	go func() {
		defer close(r.done)
		var both sync.WaitGroup
		both.Go(func() { r.run(ctx) })
		if r.use != nil {
			both.Go(func() { r.reportUse(ctx) })
		}
		if r.cache != nil {
			both.Go(func() { r.keep(ctx, saved) })
		}
		both.Wait()
	}()
	return r, nil
}

// Live is the current snapshot and the way to wait for the next one. Before Ready it holds an empty one without an epoch.
func (r *Replica) Live() *evaluator.Live { return r.live }

// Use is where to note what is evaluated, to be reported; nil, which notes nothing, without ReplicaConfig.ReportUse.
func (r *Replica) Use() *Use { return r.use }

// Position is what the replica serves now. Its revision can be ahead of the snapshot's, which is that of its last change.
func (r *Replica) Position() Position { return r.place.Load().Position }

// Status is the position and how the replica is connected.
func (r *Replica) Status() Status { return r.place.Load().Status }

// Wait returns when everything up to revision is served, or when another epoch than the given one is; otherwise the
// context's error.
func (r *Replica) Wait(ctx context.Context, epoch string, revision uint64) error {
	for {
		now := r.place.Load()
		if now.Epoch != epoch || now.Revision >= revision {
			return nil
		}
		select {
		case <-now.replaced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Evaluate answers from memory. Before Ready the error code is PROVIDER_NOT_READY.
func (r *Replica) Evaluate(key string, c *evaluator.Context) evaluator.Result {
	s := r.live.Snapshot()
	if s.Epoch() == "" {
		return evaluator.Result{Reason: evaluator.ReasonError, ErrorCode: evaluator.ErrorProviderNotReady}
	}
	if flag, _, ok := s.Flag(key); ok {
		r.use.Named(flag)
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

// Close stops following and saves what was not saved yet. It waits at most 5 s, then says so. What was last served can
// still be read.
func (r *Replica) Close() error {
	r.stop()
	patience := time.NewTimer(closeWait)
	defer patience.Stop()
	select {
	case <-r.done:
	case <-patience.C:
		return fmt.Errorf("the replica did not stop within %s; its cache file may be older than what it served", closeWait)
	}
	if r.own != nil {
		r.own.CloseIdleConnections()
	}
	return nil
}

// run keeps one stream open, on one node after the other.
func (r *Replica) run(ctx context.Context) {
	place := r.Position()
	a := &assembly{snapshot: r.live.Snapshot(), epoch: place.Epoch, revision: place.Revision}
	failures := 0
	for node := rand.IntN(len(r.nodes)); ctx.Err() == nil; node = (node + 1) % len(r.nodes) {
		progressed, pause, err := r.follow(ctx, r.nodes[node], a)
		if progressed {
			failures = 0
		}
		if err != nil && ctx.Err() == nil {
			pause = Backoff(failures)
			r.lost(ctx, r.nodes[node], failures, pause, err)
			failures++
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// lost notes that the stream broke. Only the first of several failures is worth a line in a log that people read.
func (r *Replica) lost(ctx context.Context, node *Services, failures int, pause time.Duration, err error) {
	level := slog.LevelDebug
	if failures == 0 {
		level = slog.LevelWarn
	}
	r.logger.Log(ctx, level, "following failed; what was last heard is still served",
		slog.String("upstream", node.address), slog.Any("error", err), slog.Duration("pause", pause))
	status := r.Status()
	status.Connected, status.Err = false, fmt.Errorf("following %s: %w", node.address, err)
	r.stand(status)
}

// Backoff is how long a follower waits after that many failures in a row before this one: a random time up to 0.5 s, 1 s,
// 2 s, … and never more than 30 s. Thousands of followers that lost the same node must not come back together.
func Backoff(failures int) time.Duration {
	limit := longest
	if failures < 6 {
		limit = min(longest, firstPause<<failures)
	}
	return rand.N(limit)
}

// follow reads one stream to its end. A nil error is a go-away; pause is how long to wait before the next stream.
func (r *Replica) follow(ctx context.Context, node *Services, a *assembly) (progressed bool, pause time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	r.upstream.Store(node)
	stream, err := node.Sync.Follow(ctx, &hoistv1.FollowRequest{Epoch: a.epoch, Revision: a.revision, ReportsUse: r.use != nil})
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			err = cause
		}
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
	known := r.Position().KnownAt // only a mark says how current the node is
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
	served := r.Position()
	if a.epoch == "" || a.epoch == served.Epoch && a.revision < served.Revision {
		return nil
	}
	if a.snapshot != r.live.Snapshot() {
		r.live.Publish(a.snapshot)
	}
	if before := r.Status(); !before.Connected {
		r.logger.Info("following", slog.String("epoch", a.epoch), slog.Uint64("revision", a.revision))
	}
	r.stand(Status{Position: Position{Epoch: a.epoch, Revision: a.revision, KnownAt: known}, Connected: true})
	if !known.IsZero() { // the mark that ends the first catch-up follows at once
		r.opened.Do(func() { close(r.ready) })
	}
	return nil
}
