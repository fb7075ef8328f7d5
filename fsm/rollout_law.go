package fsm

import (
	"fmt"
	"slices"
)

// moveRollout is the phase table: anything it does not list is illegal and changes nothing.
func (d *draft) moveRollout(c MoveRollout) error {
	old, ok := d.env.Rollout(c.ID)
	if !ok {
		return notFound(c, "there is no such rollout; list them with their ids")
	}
	if err := d.fence(c, old); err != nil {
		return err
	}
	if old.settled(c.Move) {
		return nil
	}
	if !old.allows(c.Move) {
		return illegal(c, old, "")
	}
	if f := d.env.FrozenFor(old.Flag); f != nil && c.Move.blockedByFreeze() {
		return frozenError(c, f)
	}
	m := d.begin(c, old)
	if err := m.make(c); err != nil {
		return err
	}
	if err := d.stride(c, old, m.r); err != nil {
		return err
	}
	m.commit()
	return nil
}

// fence refuses what was decided on another state than this one. Whose move carries no numbers is not fenced.
func (d *draft) fence(c MoveRollout, r *Rollout) error {
	if c.Move.ofPilot() && (d.proposal.ControllerTerm == 0 || d.proposal.ExpectedRevision == nil || c.Seq == 0) {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: "a move of the controller names its term, the rollout's revision and the number of the move"}
	}
	if c.Seq != 0 && c.Seq != r.Seq+1 {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: r.Revision,
			Detail: fmt.Sprintf("this is move %d, but the rollout has made %d; read it again", c.Seq, r.Seq)}
	}
	return nil
}

// settled: repeating what ended the rollout is no change and no error.
func (r *Rollout) settled(m Move) bool {
	stopped := r.Phase.Retriable()
	switch m {
	case MoveAbort, MoveRollback:
		return stopped
	case MoveDismiss:
		return stopped && !r.Previewed
	case MovePause:
		return r.Phase == PhasePaused
	}
	return false
}

func (r *Rollout) allows(m Move) bool {
	moving := r.Phase == PhaseProgressing || r.Phase == PhaseHolding
	paused := r.Phase == PhasePaused
	switch m {
	case MovePause, MoveAdvance, MoveLand:
		return moving
	case MoveResume:
		return paused && r.Reason.Rank() >= ReasonManual.Rank()
	case MovePromote, MoveSkip, MoveAbort, MoveRollback, MoveHold, MoveStall:
		return r.Phase.Live()
	case MovePromoteFull:
		return r.Phase.Live() || r.Phase.Retriable()
	case MoveApprove:
		return paused && r.Reason == ReasonApproval
	case MoveRetry, MoveDismiss:
		return r.Phase.Retriable()
	case MoveContinue:
		return paused && r.Reason == ReasonNoData
	}
	return false
}

// blockedByFreeze: what raises, or leads there, waits; what lowers never does.
func (m Move) blockedByFreeze() bool {
	switch m {
	case MovePromote, MovePromoteFull, MoveSkip, MoveRetry, MoveAdvance, MoveLand, MoveApprove:
		return true
	}
	return false
}

func illegal(c MoveRollout, r *Rollout, hint string) *Error {
	phase := string(r.Phase)
	if r.Reason != "" {
		phase += "(" + string(r.Reason) + ")"
	}
	detail := fmt.Sprintf("the rollout is %s, so %s is not possible", phase, c.Move)
	switch {
	case hint != "":
		detail += "; " + hint
	case r.Phase.Retriable() && c.Move != MoveResume:
		detail += "; start it again with retry"
	case r.Phase == PhasePaused && c.Move == MoveResume:
		detail += "; this wait is ended by promote or by an approval"
	case !r.Phase.Live():
		detail += "; it has ended, start a new one"
	}
	return &Error{Kind: KindIllegal, Op: c.Verb(), Target: c.target().String(), Revision: r.Revision, Detail: detail}
}

// move is one rollout on its way from one form to the next.
type move struct {
	d     *draft
	old   *Rollout
	r     *Rollout // private copy
	event Event
	lands bool // the declaration takes the candidate
}

func (d *draft) begin(c MoveRollout, old *Rollout) *move {
	r := *old
	r.Runs = cloneRuns(old.Runs)
	return &move{d: d, old: old, r: &r, event: Event{Kind: string(c.Move), Move: c.Move, Rule: c.Rule, Why: c.Reason}}
}

func cloneRuns(runs []Run) []Run {
	out := slices.Clone(runs)
	for i := range out {
		out[i].Metrics = slices.Clone(out[i].Metrics)
	}
	return out
}

func (m *move) now() int64 { return m.d.state.now }

func (m *move) make(c MoveRollout) error {
	switch c.Move {
	case MoveAdvance:
		return m.advance(c)
	case MovePromote, MoveSkip:
		return m.promote(c)
	case MoveApprove:
		return m.approve(c)
	case MovePromoteFull:
		return m.promoteFull(c)
	case MoveLand:
		if m.r.Step < len(m.r.plan.steps)-1 {
			return illegal(c, m.r, "its last step is not done")
		}
		if err := m.done(c); err != nil {
			return err
		}
		return m.land(c)
	case MovePause:
		m.pause(ReasonManual)
	case MoveHold:
		if c.Pause.Rank() < ReasonNoData.Rank() {
			return illegal(c, m.r, fmt.Sprintf("%q is no reason to pause for", c.Pause))
		}
		if m.r.Phase == PhasePaused && c.Pause.Rank() <= m.r.Reason.Rank() {
			return illegal(c, m.r, "it is paused for that already, or for a more serious reason")
		}
		m.pause(c.Pause)
	case MoveResume, MoveContinue:
		m.resume()
	case MoveAbort:
		m.stop(PhaseAborted, RunCancelled, c.Reason)
		m.event.Kind = EventAborted
	case MoveRollback:
		m.stop(PhaseRolledBack, RunCancelled, c.Reason)
		m.event.Kind = EventRolledBack
	case MoveDismiss:
		m.r.Previewed, m.r.Rings, m.event.Kind = false, nil, EventDismissed
	case MoveStall:
		m.r.Stalled, m.event.Kind = true, EventStalled
	case MoveRetry:
		return m.retry(c)
	}
	return nil
}

// advance is the pilot's step forward: only when the step is done and the evidence is there.
func (m *move) advance(c MoveRollout) error {
	if m.r.Step >= len(m.r.plan.steps)-1 {
		return illegal(c, m.r, "it is the last step; what follows is landing")
	}
	if err := m.done(c); err != nil {
		return err
	}
	m.enter(m.r.Step + 1)
	return nil
}

// done refuses to leave a step before its time, or on time alone.
func (m *move) done(c MoveRollout) error {
	if !m.r.StepDone(m.now()) && !m.r.Proven() {
		return illegal(c, m.r, "the step is not done")
	}
	if s := m.r.Current(); s != nil && s.Hold != nil {
		if missing := m.r.EvidenceMissing(); len(missing) > 0 {
			return illegal(c, m.r, fmt.Sprintf("%v has not succeeded since the last raise", missing))
		}
	}
	return nil
}

// next goes to a step, or lands behind the last.
func (m *move) next(c MoveRollout, step int) error {
	m.r.Reason, m.r.PausedAt = "", 0
	if step >= len(m.r.plan.steps) {
		return m.land(c)
	}
	m.enter(step)
	return nil
}

// promote ends the step by a person's will. Skip passes over what the next step would carry out.
func (m *move) promote(c MoveRollout) error {
	by := m.d.proposal.Actor
	if run := m.r.openRun(RunInline); run != nil {
		run.end(m.now(), RunOverridden)
		run.By, m.event.Override = &by, true
	}
	if m.r.Reason.Evidence() {
		m.overrule(by)
	}
	if h := m.r.Current().Hold; h != nil && !h.Forever() || c.Move == MoveSkip {
		m.event.Override = true
	}
	if c.Move == MoveSkip { // the next step is left out: the rollout goes to the one behind it
		return m.next(c, m.r.Step+2)
	}
	return m.next(c, m.r.Step+1)
}

// overrule: runs that stopped the rollout are overridden, and it is watched anew.
func (m *move) overrule(by Actor) {
	m.event.Override = true
	for i := range m.r.Runs {
		run := &m.r.Runs[i]
		if run.Attempt == m.r.Attempt && run.Phase.worse() >= RunInconclusive.worse() {
			run.Phase, run.By = RunOverridden, &by
		}
	}
}

// approve counts distinct people, of whom none is the starter.
func (m *move) approve(c MoveRollout) error {
	by := m.d.proposal.Actor
	same := func(a Actor) bool { return SamePerson(a, by) }
	if same(m.r.By) {
		return &Error{Kind: KindDenied, Op: c.Verb(), Target: c.target().String(),
			Detail: "whoever started a rollout cannot approve it; ask somebody else, or promote it, which is recorded as such"}
	}
	if slices.ContainsFunc(m.r.Approvals, same) {
		return illegal(c, m.r, "you have approved it already")
	}
	m.r.Approvals = append(slices.Clip(m.r.Approvals), by)
	m.event.Kind = EventApproved
	if len(m.r.Approvals) >= max(1, m.r.Current().Approval.Count) {
		return m.next(c, m.r.Step+1)
	}
	return nil
}

// promoteFull lands at once, whatever was still planned, and is recorded as an override.
func (m *move) promoteFull(c MoveRollout) error {
	by := m.d.proposal.Actor
	if !m.r.Phase.Live() {
		if err := m.d.seatFree(c, m.r.Flag, m.r.Seat); err != nil {
			return err
		}
	}
	m.event.Override = true
	for i := range m.r.Runs {
		if run := &m.r.Runs[i]; run.Phase.open() {
			run.end(m.now(), RunOverridden)
			run.By = &by
		}
	}
	return m.land(c)
}

// land writes the candidate into the declaration and takes the exposure away, in one entry.
func (m *move) land(c Command) error {
	if err := m.d.landable(c, m.r); err != nil {
		return err
	}
	for i := range m.r.Runs {
		if run := &m.r.Runs[i]; run.Phase.open() {
			run.finish(m.now())
		}
	}
	m.record(EventStep, func(e *Event) { e.Weight, e.Phase = All, PhaseProgressing })
	m.r.Phase, m.r.Reason, m.r.PausedAt, m.r.HoldEnd, m.r.EndedAt = PhaseCompleted, "", 0, 0, m.now()
	m.r.Step, m.r.Weight, m.r.Rings = len(m.r.plan.steps), All, nil
	m.event.Kind, m.lands = EventCompleted, true
	return nil
}

// stop takes the exposure away; the declaration, which is the last known good, serves again.
func (m *move) stop(phase Phase, runs RunPhase, cause string) {
	for i := range m.r.Runs {
		if run := &m.r.Runs[i]; run.Phase.open() {
			run.end(m.now(), runs)
		}
	}
	keep := m.r.plan.plan.keepsPreview() && slices.Contains(m.r.Rings, ringPreview) && phase != PhaseSuperseded
	m.r.Phase, m.r.Reason, m.r.PausedAt, m.r.HoldEnd, m.r.EndedAt = phase, "", 0, 0, m.now()
	m.r.Weight, m.r.Rings, m.r.Previewed, m.r.Cause = 0, nil, keep, cause
	if keep {
		m.r.Rings = []string{ringPreview}
	}
}

// retry begins anew: step 0, nothing carried over but the units that come first.
func (m *move) retry(c MoveRollout) error {
	stable, err := m.d.seatFor(c, m.r.plan.plan)
	if err != nil {
		return err
	}
	if err := m.d.seatFreeBut(c, m.r.Flag, m.r.Seat, m.r.Owner()); err != nil {
		return err
	}
	m.r.Stable = stable
	m.r.Attempt++
	m.restart()
	return nil
}

// restart sets an attempt to its first step.
func (m *move) restart() {
	m.r.Cause, m.r.Reason, m.r.Stalled, m.r.Previewed, m.r.EndedAt, m.r.PausedAt = "", "", false, false, 0, 0
	m.r.Weight, m.r.Rings, m.r.Phase, m.r.RaisedAt = 0, nil, PhaseProgressing, 0
	m.enter(0)
}
