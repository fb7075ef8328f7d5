package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// Rollout is one change on its way to its audience, immutable. The plan is as it was at the start.
type Rollout struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Flag      string   `json:"flag"`
	Seat      string   `json:"seat"`
	Candidate string   `json:"candidate"`
	Stable    string   `json:"stable"` // what the seat declares
	Phase     Phase    `json:"phase"`
	Reason    Reason   `json:"reason,omitempty"` // why it is paused
	Cause     string   `json:"cause,omitempty"`  // what ended it
	Attempt   int      `json:"attempt"`
	Step      int      `json:"step"` // index in Steps; len(Steps) when the last is done
	Seq       uint64   `json:"seq"`  // moves so far: the fence of the pilot
	Since     int64    `json:"since"`
	HoldEnd   int64    `json:"holdEnd,omitzero"`   // when the timed hold of this step is served
	ClockFrom int64    `json:"clockFrom,omitzero"` // when the clock of the hold last began to run
	PausedAt  int64    `json:"pausedAt,omitzero"`  // 0: its clock runs
	RaisedAt  int64    `json:"raisedAt,omitzero"`  // when the audience last grew
	Weight    Percent  `json:"weight"`
	Rings     []string `json:"rings,omitempty"` // those that are in, in order
	Approvals []Actor  `json:"approvals,omitempty"`
	Runs      []Run    `json:"runs,omitempty"` // oldest first, the last 20
	RunCount  int      `json:"runCount,omitzero"`
	Stalled   bool     `json:"stalled,omitzero"`   // the progress deadline passed
	Previewed bool     `json:"previewed,omitzero"` // ended, but its preview audience keeps the candidate
	By        Actor    `json:"by"`
	Revision  uint64   `json:"revision"` // log index of the last change
	Created   uint64   `json:"created"`
	CreatedAt int64    `json:"createdAt"`
	UpdatedAt int64    `json:"updatedAt"`
	EndedAt   int64    `json:"endedAt,omitzero"`
	Events    uint64   `json:"events"` // how many there were

	plan   *planRecord
	events []Event // the last 200, oldest first
	head   digest  // chain over all events
	state  digest  // of the record
}

// planRecord is a plan with what is derived from it, shared by all forms of a rollout.
type planRecord struct {
	plan   *Plan
	steps  []Step
	record []byte
	digest digest
}

// Phase is where a rollout stands.
type Phase string

// The phases. The last four are terminal.
const (
	PhaseProgressing Phase = "progressing"
	PhaseHolding     Phase = "holding"
	PhasePaused      Phase = "paused"
	PhaseCompleted   Phase = "completed"
	PhaseAborted     Phase = "aborted"
	PhaseRolledBack  Phase = "rolled_back"
	PhaseSuperseded  Phase = "superseded"
)

// Live tells whether the rollout still owns its seat.
func (p Phase) Live() bool { return p == PhaseProgressing || p == PhaseHolding || p == PhasePaused }

// Retriable tells whether the rollout was stopped short of its goal.
func (p Phase) Retriable() bool { return p == PhaseAborted || p == PhaseRolledBack }

// Reason is why a rollout is paused.
type Reason string

// The reasons, the least serious first. A more serious one replaces a less serious one.
const (
	ReasonHold            Reason = "hold"
	ReasonApproval        Reason = "approval"
	ReasonManual          Reason = "manual"
	ReasonNoData          Reason = "no-data"
	ReasonDeadline        Reason = "deadline"
	ReasonNoDataTimeout   Reason = "no-data-timeout"
	ReasonInconclusive    Reason = "inconclusive"
	ReasonStableUnhealthy Reason = "stable-unhealthy"
	ReasonFailed          Reason = "failed"
)

// Rank orders the reasons by how serious they are.
func (r Reason) Rank() int {
	return slices.Index([]Reason{"", ReasonHold, ReasonApproval, ReasonManual, ReasonNoData, ReasonDeadline,
		ReasonNoDataTimeout, ReasonInconclusive, ReasonStableUnhealthy, ReasonFailed}, r)
}

// Evidence tells whether the pause came from what was measured, so that resuming measures anew.
func (r Reason) Evidence() bool { return r.Rank() > ReasonManual.Rank() }

// Event is one move of a rollout with what it rested on: the record of a decision.
type Event struct {
	Seq      uint64     `json:"seq"` // from 1, without gaps
	Revision uint64     `json:"revision"`
	At       int64      `json:"at"`
	Kind     string     `json:"kind"`
	Move     Move       `json:"move"`
	Actor    Actor      `json:"actor"`
	Attempt  int        `json:"attempt"`
	Step     int        `json:"step"`            // after the move
	From     int        `json:"from"`            // before it
	Weight   Percent    `json:"weight"`          // after it
	Phase    Phase      `json:"phase"`           // after it
	Pause    Reason     `json:"pause,omitempty"` // after it
	Rule     string     `json:"rule,omitempty"`  // of Decide
	Why      string     `json:"why,omitempty"`   // in words
	Override bool       `json:"override,omitzero"`
	Was      *Was       `json:"was,omitzero"` // what the move was decided on; nil for the first
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Kinds of events.
const (
	EventStep       = "step"
	EventHolding    = "holding"
	EventPaused     = "paused"
	EventResumed    = "resumed"
	EventApproved   = "approved"
	EventAborted    = "aborted"
	EventRolledBack = "rolled_back"
	EventCompleted  = "completed"
	EventSuperseded = "superseded"
	EventStalled    = "stalled"
	EventCatchUp    = "caught_up" // a freeze ended and the clocks were set
	EventDismissed  = "dismissed"
)

const (
	maxEvents = 200
	maxRuns   = 20
)

// Seats of a flag.
const (
	SeatDefault = "default"
	SeatRule    = "rule:"
)

// OwnerRollout begins the owner of a rollout's exposure; the id follows.
const OwnerRollout = "rollout/"

// RolloutID is the id of the rollout that a start of the named plan made at a revision.
func RolloutID(plan string, revision uint64) string { return fmt.Sprintf("%s-%d", plan, revision) }

// Plan is what the rollout was started with. It is shared: do not change it.
func (r *Rollout) Plan() *Plan { return r.plan.plan }

// PlanHash is the SHA-256 of the plan's canonical form, hex.
func (r *Rollout) PlanHash() string { return r.plan.digest.hex() }

// Steps are the plain steps of the plan. The slice is shared: do not change it.
func (r *Rollout) Steps() []Step { return r.plan.steps }

// History returns the last events, oldest first. The slice is shared: do not change it.
func (r *Rollout) History() []Event { return r.events }

// Owner is how the rollout signs its exposure.
func (r *Rollout) Owner() string { return OwnerRollout + r.ID }

// NeedsHuman tells whether the rollout waits for a person.
func (r *Rollout) NeedsHuman() bool { return r.Phase == PhasePaused && r.Reason != ReasonNoData }

// Current is the step being carried out; nil when the last is done or the rollout has ended.
func (r *Rollout) Current() *Step {
	if !r.Phase.Live() || r.Step >= len(r.plan.steps) {
		return nil
	}
	return &r.plan.steps[r.Step]
}

// StepDone tells whether time and evidence leave nothing to wait for in the current step. Waits for people are never
// done: their move ends them.
func (r *Rollout) StepDone(now int64) bool {
	s := r.Current()
	switch {
	case s == nil:
		return true
	case s.Hold != nil:
		return !s.Hold.Forever() && now >= r.HoldEnd
	case s.Approval != nil:
		return false
	case s.Analysis != nil:
		run := r.openRun(RunInline)
		if run == nil {
			run = r.lastRun(RunInline, r.Step)
		}
		return run != nil && run.Phase == RunSuccessful
	}
	return true
}

// Proven tells whether the evidence of a timed hold is complete, in a plan that lets that cut the hold short: since the
// audience last grew, each deciding metric came to a success of its own, by as many answers as its limits ask for.
func (r *Rollout) Proven() bool {
	s, run := r.Current(), r.lastRun(RunBackground, -1)
	if !r.plan.plan.EarlyPromote || s == nil || s.Hold == nil || s.Hold.Forever() || r.Phase != PhaseHolding || run == nil || run.Phase != RunSuccessful {
		return false
	}
	for i := range run.Metrics {
		m := &run.Metrics[i]
		if by := r.Metric(run, m); !m.DryRun && m.SinceRaise < max(by.Needed(), by.ConsecutiveSuccessLimit, by.total()-by.FailureLimit) {
			return false
		}
	}
	return true
}

// EvidenceMissing names the metrics that have not succeeded often enough since the audience last grew. Time alone never
// leaves a step while there is one.
func (r *Rollout) EvidenceMissing() []string {
	var out []string
	for i := range r.Runs {
		run := &r.Runs[i]
		if !run.Phase.open() {
			continue
		}
		for j := range run.Metrics {
			if m := &run.Metrics[j]; !m.DryRun && m.SinceRaise < r.Metric(run, m).Needed() {
				out = append(out, m.Name)
			}
		}
	}
	return out
}

// Rollout returns a rollout of the environment.
func (e *Environment) Rollout(id string) (*Rollout, bool) { return e.rollouts.Get(id) }

// Rollouts lists the rollouts of the environment, the newest first.
func (e *Environment) Rollouts() []*Rollout {
	out := make([]*Rollout, 0, len(e.rolloutOrder))
	for _, id := range slices.Backward(e.rolloutOrder) {
		if r, ok := e.rollouts.Get(id); ok {
			out = append(out, r)
		}
	}
	return out
}

// LiveRollouts lists those that still own their seat, oldest first.
func (e *Environment) LiveRollouts() []*Rollout {
	out := make([]*Rollout, 0, len(e.liveRollouts))
	for _, id := range e.liveRollouts {
		if r, ok := e.rollouts.Get(id); ok {
			out = append(out, r)
		}
	}
	return out
}

// rolloutOf is the id inside the owner of an exposure.
func rolloutOf(x Exposure) (string, bool) { return strings.CutPrefix(x.Owner, OwnerRollout) }

// Moving lists the environments in which something may be due: a rollout, a schedule, a change, the end of a freeze.
func (s *State) Moving() (out []*Environment) {
	for _, t := range s.tenants {
		for _, e := range t.environments {
			if len(e.liveRollouts) > 0 || len(e.freezes) > 0 || e.budget != nil || e.exposures.Len() > 0 || len(e.openChanges) > 0 {
				out = append(out, e)
			}
		}
	}
	return out
}
