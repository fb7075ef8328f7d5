package fsm

import (
	"cmp"
	"fmt"
	"time"
)

// Frozen says who stopped the rollouts of an environment, why and until when.
type Frozen struct {
	Reason string `json:"reason"`
	By     Actor  `json:"by"`
	Since  int64  `json:"since"`
	Until  int64  `json:"until,omitzero"` // leader time; 0: until somebody unfreezes
}

// Frozen returns the freeze of the environment; nil when there is none.
func (e *Environment) Frozen() *Frozen { return e.frozen }

func frozenError(c Command, f *Frozen) *Error {
	until := "until somebody unfreezes it"
	if f.Until > 0 {
		until = "until " + time.UnixMilli(f.Until).UTC().Format(time.RFC3339)
	}
	return &Error{Kind: KindFrozen, Op: c.Verb(), Target: c.target().String(),
		Detail: fmt.Sprintf("the environment is frozen %s by %s: %s; aborts and kills are free", until, cmp.Or(f.By.ID, f.By.Kind), f.Reason)}
}

func (d *draft) freeze(c Freeze) error {
	f := &Frozen{Reason: c.Reason, By: d.proposal.Actor, Since: d.state.now}
	if c.For > 0 {
		f.Until = d.state.now + int64(c.For)
	}
	if old := d.env.frozen; old != nil {
		f.Since = old.Since
		if *f == *old {
			return nil
		}
		d.state.domain.remove(frozenLeaf(d.env, old))
	} else {
		d.state.tellFrozen(d.env, f)
	}
	d.env.frozen, d.stirred = f, true
	d.state.thawBy(f)
	d.state.domain.add(frozenLeaf(d.env, f))
	d.state.auditEnvironment(d.env, d.proposal, c.Verb(), c.Reason)
	return nil
}

func (d *draft) unfreeze(c Unfreeze) error {
	if d.env.frozen == nil {
		return nil
	}
	d.state.thaw(d.env, d.state.now, d.proposal)
	d.stirred = true
	d.state.auditEnvironment(d.env, d.proposal, c.Verb(), d.proposal.Comment)
	return nil
}

// thawExpired ends every freeze whose time is over, at the entry that brings the time.
func (s *State) thawExpired() {
	if s.thawAt == 0 || s.now < s.thawAt {
		return
	}
	s.thawAt = 0
	for _, t := range s.tenants {
		for _, old := range t.environments {
			f := old.frozen
			if f == nil || f.Until == 0 {
				continue
			}
			if s.now < f.Until {
				s.thawBy(f)
				continue
			}
			e := old.clone()
			p := &Proposal{Actor: Actor{Kind: ActorSystem, ID: "clock"}}
			end := e.frozen.Until
			s.thaw(e, end, p)
			s.auditEnvironment(e, p, verbUnfreeze, "its time was over")
			s.replaceEnvironment(e)
		}
	}
}

// thawBy remembers the earliest end, so that an entry need not look at every environment.
func (s *State) thawBy(f *Frozen) {
	if f.Until > 0 && (s.thawAt == 0 || f.Until < s.thawAt) {
		s.thawAt = f.Until
	}
}

// thaw ends the freeze of an environment that is still private. Every hold whose clock ran into the freeze ends later
// by the time it was frozen, and each such rollout has one event about it.
func (s *State) thaw(e *Environment, end int64, p *Proposal) {
	f := e.frozen
	s.domain.remove(frozenLeaf(e, f))
	e.frozen = nil
	for _, old := range e.LiveRollouts() {
		if old.Phase == PhasePaused && old.Reason != ReasonNoData || old.HoldEnd == 0 || old.ClockFrom >= end || old.HoldEnd <= f.Since {
			continue
		}
		r := *old
		shift := end - max(f.Since, old.ClockFrom)
		r.HoldEnd += shift
		s.noteAndTell(e, &r, Event{Kind: EventCatchUp, Move: MoveThaw, Revision: s.index, At: s.now, Actor: p.Actor, Attempt: r.Attempt, Step: r.Step,
			From: r.Step, Weight: r.Weight, Phase: r.Phase, Pause: r.Reason,
			Why: fmt.Sprintf("the environment was frozen (%s); the hold ends %s later", f.Reason, Duration(shift))})
		s.putRollout(e, old, &r)
	}
}

// MoveThaw is not a move of anybody: the end of a freeze makes it.
const MoveThaw Move = "thaw"

func (s *State) auditEnvironment(e *Environment, p *Proposal, verb, reason string) {
	s.audit.append(Audit{Index: s.index, At: s.now, Actor: p.Actor, RequestID: p.RequestID, Correlation: p.Correlation, Tenant: e.tenant, Environment: e.key,
		Verb: verb, Target: nodeName(ObjectEnvironment, e.key), Reason: cmp.Or(reason, p.Comment)})
}

func frozenLeaf(e *Environment, f *Frozen) sum {
	return newLeaf(leafFreeze, e.tenant, e.key, f.Reason).numbers(uint64(f.Until)).actor(f.By).sum()
}
