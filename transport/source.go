package transport

import (
	"context"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/client"
)

// source is what the evaluating doors read from: the state of a node, or the replicas of an edge. Scopes that it does not
// know are answered like those it does where that is harmless. Errors are *fsm.Error or the context's.
type source interface {
	// Live is the environment's snapshots; false when it is not served here.
	Live(tenant, environment string) (*evaluator.Live, bool)
	// At is the position of what is served: everything up to it.
	At(scope fsm.Scope) (epoch string, revision uint64)
	// Await returns when everything up to revision is served.
	Await(ctx context.Context, scope fsm.Scope, revision uint64) error
	// Past is what a flag depended on at an older revision.
	Past(scope fsm.Scope, flag string, revision uint64) (*evaluator.Snapshot, error)
	// Age is how long ago the position was known to be current.
	Age(scope fsm.Scope) time.Duration
	// Current returns when what is served is at least as new as the call.
	Current(ctx context.Context) error
	// Missing says why an environment cannot be evaluated here.
	Missing(scope fsm.Scope) error
	// Use is where to note what is evaluated in an environment that is served here; it is asked for once.
	Use(scope fsm.Scope) *client.Use
	// Health tells whether there is something to serve, with a sentence, and the age of the oldest of it.
	Health() (ok bool, detail string, age time.Duration)
}

// core is the source of a node that holds the state itself.
type core struct {
	store *fsm.Store
	node  Node
}

func (c core) Live(tenant, environment string) (*evaluator.Live, bool) {
	return c.store.Live(tenant, environment)
}

func (c core) At(fsm.Scope) (epoch string, revision uint64) {
	state := c.store.State()
	return state.Epoch(), state.Index()
}

func (c core) Await(ctx context.Context, _ fsm.Scope, revision uint64) error {
	return c.store.Wait(ctx, revision)
}

func (c core) Use(fsm.Scope) *client.Use { return &client.Use{} }

func (c core) Age(fsm.Scope) time.Duration { return c.node.Age() }

func (c core) Current(ctx context.Context) error {
	_, err := c.node.ReadIndex(ctx)
	return err
}

func (c core) Missing(scope fsm.Scope) error {
	if _, err := environment(c.store.State(), scope); err != nil {
		return err
	}
	return notReady()
}

func (c core) Past(scope fsm.Scope, flag string, revision uint64) (*evaluator.Snapshot, error) {
	state := c.store.State()
	e, err := environment(state, scope)
	if err != nil {
		return nil, err
	}
	if revision > state.Index() {
		return nil, &fsm.Error{Kind: fsm.KindBehind, Op: "look back", Revision: state.Index(),
			Detail: "revision " + formatRevision(revision) + " has not come yet; the newest here is " + formatRevision(state.Index())}
	}
	return e.Past(flag, revision)
}

func (c core) Health() (ok bool, detail string, age time.Duration) {
	state := c.store.State()
	if state.Epoch() == "" {
		return false, notReady().Detail, c.node.Age()
	}
	return true, "epoch " + state.Epoch() + ", revision " + formatRevision(state.Index()), c.node.Age()
}

func notReady() *fsm.Error {
	return &fsm.Error{Kind: KindNotReady, Detail: "this node has no state yet; it waits for its first leader"}
}
