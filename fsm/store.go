package fsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync/atomic"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// Store owns the current state. There is one writer (Apply or Load, never at the same time); readers never lock.
type Store struct {
	current atomic.Pointer[generation]
	live    atomic.Pointer[map[Scope]*evaluator.Live]
}

// generation is a state and the channel that closes when the next one replaces it.
type generation struct {
	state    *State
	replaced chan struct{}
	next     *generation // set before replaced closes
}

// NewStore holds a fresh state: tenant "default" with dev, staging and production, and no epoch yet.
func NewStore() *Store {
	s := &Store{}
	s.live.Store(&map[Scope]*evaluator.Live{})
	state := freshState()
	s.publishLive(nil, state)
	s.current.Store(&generation{state: state, replaced: make(chan struct{})})
	return s
}

// State returns the current state: one atomic load.
func (s *Store) State() *State { return s.current.Load().state }

// Live returns what an environment serves; the pointer stays the same for the life of the store.
func (s *Store) Live(tenant, env string) (*evaluator.Live, bool) {
	l, ok := (*s.live.Load())[Scope{tenant, env}]
	return l, ok
}

// Changed returns a channel that closes at the next publish. Take it first, then read State: nothing is missed.
func (s *Store) Changed() <-chan struct{} { return s.current.Load().replaced }

// Wait blocks until the applied index is at least revision. It returns the context's error, with the current index in
// an *Error of kind BEHIND around it, or RESTORED when another epoch begins meanwhile.
func (s *Store) Wait(ctx context.Context, revision uint64) error {
	epoch := s.State().epoch
	for {
		g := s.current.Load()
		if epoch != "" && g.state.epoch != epoch {
			return &Error{Kind: KindRestored, Op: "wait", Revision: g.state.index,
				Detail: "the cluster was restored and counts revisions anew; read again without a minimum"}
		}
		if g.state.index >= revision {
			return nil
		}
		select {
		case <-g.replaced:
			epoch = g.state.epoch
		case <-ctx.Done():
			index := s.State().index
			return &Error{Kind: KindBehind, Op: "wait", Revision: index, Err: ctx.Err(),
				Detail: fmt.Sprintf("this node has applied revision %d, %d was asked for; try again or ask another node", index, revision)}
		}
	}
}

// Apply applies entries in order and publishes once: live pointers, state pointer, then wake-ups. Entries at or below
// the applied index are ignored (their Outcome is zero). After a *LawError nothing more is applied: that entry and all
// behind it report it, and the process must exit.
func (s *Store) Apply(entries []Entry) []Outcome {
	outcomes := make([]Outcome, len(entries))
	old := s.State()
	start := *old
	start.audit.news, start.records.news = nil, nil
	if len(entries) > 1 {
		start.batch = &evaluator.Owner{}
	}
	state := &start
	var law *LawError
	for i, e := range entries {
		if law == nil && e.Index <= state.index {
			continue
		}
		if law == nil {
			state, outcomes[i] = apply(state, e)
			errors.As(outcomes[i].Err, &law)
		}
		if law != nil {
			outcomes[i] = Outcome{Err: law}
		}
	}
	if state == &start {
		return outcomes
	}
	state.requests.settle() // nobody holds it yet
	state.batch = nil
	s.publish(old, state)
	return outcomes
}

// Load replaces everything by a saved state, atomically, and wakes every waiter; on error the old state stays.
func (s *Store) Load(r io.Reader) error {
	state, err := load(r)
	if err != nil {
		return err
	}
	if bug.On("B12") { // those who wait for news go on waiting
		s.current.Store(&generation{state: state, replaced: s.current.Load().replaced})
		return nil
	}
	s.publish(s.State(), state)
	return nil
}

func (s *Store) publish(old, state *State) {
	if old == state {
		return
	}
	s.publishLive(old, state)
	next := &generation{state: state, replaced: make(chan struct{})}
	was := s.current.Swap(next)
	was.next = next
	close(was.replaced)
}

// publishLive moves every live pointer whose environment changed. One whose environment is gone, which only a restore
// can do, serves nothing from then on.
func (s *Store) publishLive(old, state *State) {
	live := *s.live.Load()
	if added := missing(live, state); len(added) > 0 {
		live = maps.Clone(live)
		maps.Copy(live, added)
		s.live.Store(&live)
	}
	for _, t := range state.tenants {
		for _, e := range t.environments {
			if l := live[Scope{t.key, e.key}]; l.Snapshot() != e.snapshot {
				l.Publish(e.snapshot)
			}
		}
	}
	if old == nil || old.epoch == state.epoch {
		return
	}
	for scope, l := range live {
		if _, ok := state.Environment(scope.Tenant, scope.Environment); !ok {
			l.Publish(evaluator.EmptySnapshot(state.epoch))
		}
	}
}

func missing(live map[Scope]*evaluator.Live, state *State) map[Scope]*evaluator.Live {
	added := map[Scope]*evaluator.Live{}
	for _, t := range state.tenants {
		for _, e := range t.environments {
			if _, ok := live[Scope{t.key, e.key}]; !ok {
				added[Scope{t.key, e.key}] = evaluator.NewLive(e.snapshot)
			}
		}
	}
	return added
}
