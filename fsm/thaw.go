package fsm

import (
	"fmt"
	"slices"
)

// MoveThaw is not a move of anybody: the end of a freeze makes it.
const MoveThaw Move = "thaw"

// thawExpired ends every freeze whose time is over, at the entry that brings the time.
func (s *State) thawExpired() {
	if s.thawAt == 0 || s.now < s.thawAt {
		return
	}
	s.thawAt = 0
	for _, t := range s.tenants {
		for _, old := range t.environments {
			if len(old.freezes) > 0 {
				s.thawOf(old)
			}
		}
	}
}

// thawOf ends what is over in one environment, in the order of time, and remembers when the rest will be.
func (s *State) thawOf(old *Environment) {
	e := old
	for _, f := range slices.Backward(old.freezes) {
		switch {
		case f.Until == 0:
		case s.now < f.Until:
			s.thawBy(f)
		default:
			if e == old {
				e = old.clone()
			}
			p := &Proposal{Actor: Actor{Kind: ActorSystem, ID: "clock"}}
			s.thaw(e, f, f.Until, p)
			s.auditEnvironment(e, p, verbUnfreeze, "its time was over")
		}
	}
	if e != old {
		s.replaceEnvironment(e)
	}
}

// thawBy remembers the earliest end, so that an entry need not look at every environment.
func (s *State) thawBy(f *Frozen) {
	if f.Until > 0 && (s.thawAt == 0 || f.Until < s.thawAt) {
		s.thawAt = f.Until
	}
}

// NextThaw is the earliest time at which a freeze here ends by itself; 0: none does.
func (e *Environment) NextThaw() (at int64) {
	for _, f := range e.freezes {
		if f.Until > 0 && (at == 0 || f.Until < at) {
			at = f.Until
		}
	}
	return at
}

// thaw takes a freeze out of an environment that is still private. Every hold whose clock ran into it ends later by the
// time it was frozen, and each such rollout has one event about it. Time that another freeze still covers is counted
// when that one ends, so that it is counted once.
func (s *State) thaw(e *Environment, f *Frozen, end int64, p *Proposal) {
	s.domain.remove(frozenLeaf(e, f))
	e.freezes = slices.DeleteFunc(slices.Clone(e.freezes), f.same)
	for _, old := range e.LiveRollouts() {
		if !f.covers(old.Flag) || old.Phase == PhasePaused && old.Reason != ReasonNoData || old.HoldEnd == 0 || old.HoldEnd <= f.Since {
			continue
		}
		upTo := end
		for _, other := range e.freezes {
			if other.covers(old.Flag) {
				upTo = min(upTo, other.Since)
			}
		}
		shift := upTo - max(f.Since, old.ClockFrom)
		if shift <= 0 {
			continue
		}
		r := *old
		r.HoldEnd += shift
		s.noteAndTell(e, &r, Event{Kind: EventCatchUp, Move: MoveThaw, Revision: s.index, At: s.now, Actor: p.Actor, Attempt: r.Attempt, Step: r.Step,
			From: r.Step, Weight: r.Weight, Phase: r.Phase, Pause: r.Reason,
			Why: fmt.Sprintf("the %s was frozen (%s); the hold ends %s later", f.what(), f.Reason, Duration(shift))})
		s.putRollout(e, old, &r)
	}
}

// frozenSince is when the time of a flag last began to stand still; 0: it runs.
func (e *Environment) frozenSince(flag string) (since int64) {
	for _, f := range e.freezes {
		if f.covers(flag) && (since == 0 || f.Since < since) {
			since = f.Since
		}
	}
	return since
}
