package fsm

import "slices"

// enter begins a step and carries it out. A hold begins in an entry of its own, after the weight is live, so it is
// always served in full.
func (m *move) enter(step int) {
	r, now := m.r, m.now()
	r.Step, r.Since, r.ClockFrom, r.HoldEnd, r.Approvals, r.Stalled = step, now, now, 0, nil, false
	r.Phase, m.event.Kind = PhaseProgressing, EventStep
	raised := false
	if s := r.Current(); s != nil {
		switch {
		case s.SetWeight != nil:
			raised = *s.SetWeight > r.Weight
			r.Weight = *s.SetWeight
		case s.SetRing != "":
			raised = !slices.Contains(r.Rings, s.SetRing)
			if raised {
				r.Rings = append(slices.Clip(r.Rings), s.SetRing)
			}
		case s.Analysis != nil:
			r.open(RunInline, s.Analysis.Metrics, now)
		default:
			m.wait(now)
		}
	}
	if raised {
		r.RaisedAt = now
		r.forgetEvidence()
	}
	m.watch(raised)
}

// wait puts the rollout into the phase of a step that waits.
func (m *move) wait(now int64) {
	r, s := m.r, m.r.Current()
	switch {
	case s.Hold != nil && s.Hold.Forever():
		m.rest(ReasonHold, now)
	case s.Approval != nil:
		m.rest(ReasonApproval, now)
	case s.Hold.FromRaise:
		r.HoldEnd = max(now, r.RaisedAt+int64(s.Hold.For))
		r.Phase, m.event.Kind = PhaseHolding, EventHolding
	default:
		r.HoldEnd = now + int64(s.Hold.For)
		r.Phase, m.event.Kind = PhaseHolding, EventHolding
	}
}

func (m *move) rest(why Reason, now int64) {
	m.r.Phase, m.r.Reason, m.r.PausedAt, m.event.Kind = PhasePaused, why, now, EventPaused
}

// forgetEvidence: what was measured under a smaller audience says nothing about the larger one.
func (r *Rollout) forgetEvidence() {
	for i := range r.Runs {
		for j := range r.Runs[i].Metrics {
			r.Runs[i].Metrics[j].SinceRaise = 0
		}
	}
}

// watch keeps exactly one background run going, from the step the plan names. One that ended starts again at a raise.
func (m *move) watch(raised bool) {
	r, b := m.r, m.r.plan.plan.Analysis.Background
	if b == nil || r.Current() == nil || r.Step < b.StartingStep || r.openRun(RunBackground) != nil {
		return
	}
	last := r.lastRun(RunBackground, -1)
	if last == nil || last.Phase == RunOverridden || raised && r.plan.plan.repeats() {
		r.open(RunBackground, b.Metrics, m.now())
	}
}

// pause stops the rollout where it is. Its hold clock stands still unless it waits for data.
func (m *move) pause(why Reason) {
	m.event.Kind = EventPaused
	if m.r.Phase != PhasePaused || m.r.Reason == ReasonNoData { // until now its clock ran, unless a freeze had stopped it
		m.r.PausedAt = m.now()
		if since := m.d.env.frozenSince(m.r.Flag); since > 0 {
			m.r.PausedAt = max(since, m.r.ClockFrom)
		}
	}
	m.r.Phase, m.r.Reason = PhasePaused, why
}

// resume goes on where the rollout was. After a pause by evidence it is measured anew.
func (m *move) resume() {
	r, now, was := m.r, m.now(), m.r.Reason
	if r.HoldEnd > 0 && was != ReasonNoData {
		r.HoldEnd += now - r.PausedAt
	}
	if was != ReasonNoData {
		r.ClockFrom = now
	}
	r.Phase, r.Reason, r.PausedAt, r.Stalled = PhaseProgressing, "", 0, false
	m.event.Kind = EventResumed
	s := r.Current()
	switch {
	case s == nil:
	case s.Hold != nil && s.Hold.Forever():
		m.rest(ReasonHold, now)
	case s.Approval != nil:
		m.rest(ReasonApproval, now)
	case s.Hold != nil:
		r.Phase = PhaseHolding
	}
	m.event.Kind = EventResumed
	if was.Evidence() && was != ReasonNoData {
		m.measureAnew()
	}
}

// measureAnew starts the runs that stopped the rollout again, with counters of nothing.
func (m *move) measureAnew() {
	r, now := m.r, m.now()
	if s := r.Current(); s != nil && s.Analysis != nil && r.openRun(RunInline) == nil {
		r.open(RunInline, s.Analysis.Metrics, now)
	}
	b := r.plan.plan.Analysis.Background
	if last := r.lastRun(RunBackground, -1); b != nil && last != nil && !last.Phase.open() && last.Phase != RunSuccessful {
		r.open(RunBackground, b.Metrics, now)
	}
}
