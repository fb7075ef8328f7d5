package fsm

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
)

// saveRollouts writes the environment's rollouts in the order of their starts, and its freeze.
func (e *Environment) saveRollouts(w *writer) {
	for _, id := range e.rolloutOrder {
		r, _ := e.rollouts.Get(id)
		w.bytes(r.plan.record).bytes(mustEncode(r)).bytes(mustEncode(r.events)).bytes(r.head[:]).end(recordRollout)
	}
	if e.budget != nil {
		w.bytes(mustEncode(e.budget)).end(recordBudget)
	}
	for _, f := range e.freezes {
		w.bytes(mustEncode(f)).end(recordFreeze)
	}
}

func (l *loader) rollout(r *reader) error {
	plan, state, events := r.bytes(), r.bytes(), r.bytes()
	var head digest
	copy(head[:], r.bytes())
	if r.failed {
		return nil // said by the caller
	}
	x, err := decodeRollout(plan, state, events, head)
	if err != nil {
		return err
	}
	l.env.rollouts = l.env.rollouts.With(x.ID, x, x.Revision)
	l.env.rolloutOrder = append(l.env.rolloutOrder, x.ID)
	l.env.listLive(x)
	l.state.rest.add(rolloutLeaf(l.env, x))
	return nil
}

func (l *loader) effect(r *reader) error {
	x := Exposure{Flag: r.string(), Owner: r.string(), Seat: r.string(), Effect: &Effect{}}
	if err := json.Unmarshal(r.bytes(), x.Effect, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("an exposure of flag %q: %w", x.Flag, err)
	}
	return l.exposure(r, x)
}

func (l *loader) freeze(r *reader) error {
	f := &Frozen{}
	if err := json.Unmarshal(r.bytes(), f, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a freeze: %w", err)
	}
	l.env.freezes = append(l.env.freezes, f)
	l.state.thawBy(f)
	l.state.domain.add(frozenLeaf(l.env, f))
	return nil
}

func (l *loader) budget(r *reader) error {
	b := &budgeted{}
	if err := json.Unmarshal(r.bytes(), b, json.RejectUnknownMembers(true)); err != nil || b.Budget == nil {
		return fmt.Errorf("a budget: %w", cmp.Or(err, errors.New("there is none")))
	}
	l.env.budget = b
	l.state.rest.add(budgetLeaf(l.env, b))
	return nil
}
