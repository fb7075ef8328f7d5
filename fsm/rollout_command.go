package fsm

import (
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// The commands of rollouts and freezes.
type (
	// StartRollout begins a rollout and carries out its first step. A seat that already declares the target starts
	// nothing: the receipt says unchanged.
	StartRollout struct {
		Scope
		Plan      *Plan `json:"plan"`
		Supersede bool  `json:"supersede,omitzero"` // replace a live rollout on the seat
	}
	// MoveRollout makes one move. The moves of the pilot carry the term it leads in, the revision it looked at and the
	// number of the move (see Proposal); a person's carry what the person gave.
	MoveRollout struct {
		Scope
		ID     string `json:"id"`
		Move   Move   `json:"move"`
		Seq    uint64 `json:"seq,omitzero"` // of this move; 0: whatever comes next
		Pause  Reason `json:"pause,omitempty"`
		Rule   string `json:"rule,omitempty"`
		Reason string `json:"reason,omitempty"`
	}
	// Measured takes measurements of any number of rollouts in. Those of runs that are over are dropped.
	Measured struct {
		Rollouts []RolloutMeasured `json:"rollouts"`
	}
	// Freeze stops every start, advance and landing of a flag, an environment, a tenant or the cluster; rollbacks and
	// aborts stay free. Freezing what is frozen changes who, why and how long.
	Freeze struct {
		Scope
		Of     FreezeOf   `json:"of,omitempty"`
		Flag   string     `json:"flag,omitempty"` // with OfFlag
		Kind   FreezeKind `json:"kind,omitempty"` // incident or window
		Reason string     `json:"reason"`
		For    Duration   `json:"for,omitzero"` // 0: until somebody unfreezes
	}
	// Unfreeze ends a freeze of that reach. Every hold that it covered ends later by the time it was frozen. Expired ends
	// nothing whose time is not over: the entry only brings the time.
	Unfreeze struct {
		Scope
		Of      FreezeOf `json:"of,omitempty"`
		Flag    string   `json:"flag,omitempty"`
		Expired bool     `json:"expired,omitzero"`
	}
	// KillRollouts takes every rollout of an environment away and with them every exposure but the kill switches', so
	// that each flag serves its declaration.
	KillRollouts struct {
		Scope
		Reason string `json:"reason,omitempty"`
	}
)

// RolloutMeasured is what was measured for one rollout.
type RolloutMeasured struct {
	Scope
	ID      string           `json:"id"`
	Metrics []MetricMeasured `json:"metrics"`
}

// MetricMeasured is one measurement and where it belongs.
type MetricMeasured struct {
	Run         int         `json:"run"`
	Index       int         `json:"index"`
	Query       string      `json:"query,omitempty"`
	Measurement Measurement `json:"measurement"`
	Raw         *RawAnswer  `json:"raw,omitzero"`       // as the provider gave it; the state does not keep it
	StableRaw   *RawAnswer  `json:"stableRaw,omitzero"` // of the stable cohort
}

// RawAnswer is what a provider answered, or its beginning.
type RawAnswer struct {
	Bytes []byte `json:"bytes,omitempty"`
	Size  int    `json:"size"` // of the whole
}

// MaxRawAnswer is how much of an answer is kept.
const MaxRawAnswer = 4 << 10

// NewRawAnswer keeps the beginning of an answer; nil when there is none.
func NewRawAnswer(answer []byte) *RawAnswer {
	if answer == nil {
		return nil
	}
	return &RawAnswer{Bytes: slices.Clone(answer[:min(len(answer), MaxRawAnswer)]), Size: len(answer)}
}

// Whole tells whether nothing of the answer was cut off.
func (a *RawAnswer) Whole() bool { return a != nil && len(a.Bytes) == a.Size }

// Move is what is done to a rollout.
type Move string

// The moves. Those of the second group are the pilot's.
const (
	MovePause       Move = "pause"
	MoveResume      Move = "resume"
	MovePromote     Move = "promote"
	MovePromoteFull Move = "promote-full"
	MoveSkip        Move = "skip"
	MoveApprove     Move = "approve"
	MoveAbort       Move = "abort"
	MoveDismiss     Move = "dismiss"
	MoveRetry       Move = "retry"

	MoveAdvance  Move = "advance"
	MoveRollback Move = "rollback"
	MoveHold     Move = "wait" // pause for a reason that was measured
	MoveContinue Move = "continue"
	MoveLand     Move = "land"
	MoveStall    Move = "stall" // note that the deadline passed
)

// ofPilot tells whether only the controller makes the move.
func (m Move) ofPilot() bool {
	switch m {
	case MoveAdvance, MoveRollback, MoveHold, MoveContinue, MoveLand, MoveStall:
		return true
	}
	return false
}

func (m Move) known() bool {
	switch m {
	case MovePause, MoveResume, MovePromote, MovePromoteFull, MoveSkip, MoveApprove, MoveAbort, MoveDismiss, MoveRetry:
		return true
	}
	return m.ofPilot()
}

// override tells whether the move passes over what was planned, and so needs a reason.
func (m Move) override() bool { return m == MovePromoteFull || m == MoveSkip }

// ObjectRollout is the kind of a rollout.
const ObjectRollout ObjectKind = "rollout"

const (
	verbStartRollout = "rollout.start"
	verbMeasured     = "rollout.measured"
	verbKillRollouts = "rollout.kill-all"

	verbFreeze          = "environment.freeze"
	verbUnfreeze        = "environment.unfreeze"
	verbFreezeFlag      = "flag.freeze"
	verbUnfreezeFlag    = "flag.unfreeze"
	verbFreezeTenant    = "tenant.freeze"
	verbUnfreezeTenant  = "tenant.unfreeze"
	verbFreezeCluster   = "cluster.freeze"
	verbUnfreezeCluster = "cluster.unfreeze"
)

// Verb names the change for audit rows and rights.
func (StartRollout) Verb() string { return verbStartRollout }

// Verb names the change for audit rows and rights.
func (c MoveRollout) Verb() string { return "rollout." + string(c.Move) }

// Verb names the change for audit rows and rights.
func (Measured) Verb() string { return verbMeasured }

// Verb names the change for audit rows and rights.
func (c Freeze) Verb() string {
	switch c.Of {
	case OfFlag:
		return verbFreezeFlag
	case OfTenant:
		return verbFreezeTenant
	case OfCluster:
		return verbFreezeCluster
	}
	return verbFreeze
}

// Verb names the change for audit rows and rights.
func (c Unfreeze) Verb() string {
	switch c.Of {
	case OfFlag:
		return verbUnfreezeFlag
	case OfTenant:
		return verbUnfreezeTenant
	case OfCluster:
		return verbUnfreezeCluster
	}
	return verbUnfreeze
}

// Verb names the change for audit rows and rights.
func (KillRollouts) Verb() string { return verbKillRollouts }

func (c StartRollout) target() Target {
	if c.Plan == nil {
		return c.object(ObjectFlag, "")
	}
	return c.object(ObjectFlag, c.Plan.Flag)
}
func (c MoveRollout) target() Target  { return c.object(ObjectRollout, c.ID) }
func (c Measured) target() Target     { return Target{} }
func (c Freeze) target() Target       { return c.frozen(c.Of, c.Flag) }
func (c Unfreeze) target() Target     { return c.frozen(c.Of, c.Flag) }
func (c KillRollouts) target() Target { return c.object(ObjectEnvironment, c.Environment) }

// frozen is what a freeze of a reach touches.
func (s Scope) frozen(of FreezeOf, flag string) Target {
	switch of {
	case OfFlag:
		return s.object(ObjectFlag, flag)
	case OfTenant:
		return Target{Tenant: s.Tenant, Object: ObjectTenant, Key: s.Tenant}
	case OfCluster:
		return Target{}
	}
	return s.object(ObjectEnvironment, s.Environment)
}

func checkMeasured(c Measured) evaluator.Problems {
	for i, x := range c.Rollouts {
		for j, m := range x.Metrics {
			for name, raw := range map[string]*RawAnswer{"raw": m.Raw, "stableRaw": m.StableRaw} {
				if raw != nil && len(raw.Bytes) > MaxRawAnswer {
					return problem(fmt.Sprintf("/rollouts/%d/metrics/%d/%s", i, j, name), "measured.raw", fmt.Sprintf("at most %d bytes of an answer are kept", MaxRawAnswer))
				}
			}
		}
	}
	return nil
}

func checkReach(of FreezeOf, flag string) evaluator.Problems {
	switch of {
	case OfFlag:
		return checkKey("/flag", flag)
	case OfEnvironment, OfTenant, OfCluster:
		if flag != "" {
			return problem("/flag", "freeze.flag", "only a freeze of a flag names one")
		}
		return nil
	}
	return problem("/of", "freeze.of", fmt.Sprintf("%q is no reach: flag, tenant, cluster, or nothing for the environment", of))
}

// checkRollout is Check for the commands of this file.
func checkRollout(c Command) evaluator.Problems {
	switch c := c.(type) {
	case StartRollout:
		if c.Plan == nil {
			return problem("/plan", "command.required", "a plan is required")
		}
		problems := c.Plan.Check()
		if c.Plan.Environment != "" && c.Plan.Environment != c.Environment {
			problems = append(problems, problem("/environment", "plan.environment",
				fmt.Sprintf("the plan is for %s, not for %s", c.Plan.Environment, c.Environment))...)
		}
		return problems
	case MoveRollout:
		problems := append(checkKey("/id", c.ID), checkText("/reason", c.Reason, maxReason)...)
		if !c.Move.known() {
			problems = append(problems, problem("/move", "rollout.move", fmt.Sprintf("%q is no move", c.Move))...)
		}
		if c.Move.override() && c.Reason == "" {
			problems = append(problems, problem("/reason", "command.required", "this passes over what was planned: say why")...)
		}
		return problems
	case Measured:
		return checkMeasured(c)
	case Freeze:
		if c.Reason == "" {
			return problem("/reason", "command.required", "say why, for those who meet the freeze")
		}
		if c.Kind != FreezeIncident && c.Kind != FreezeWindow {
			return problem("/kind", "freeze.kind", fmt.Sprintf("%q is not window; an incident needs no kind, and budgets freeze by themselves", c.Kind))
		}
		return append(checkReach(c.Of, c.Flag), checkText("/reason", c.Reason, maxReason)...)
	case Unfreeze:
		return checkReach(c.Of, c.Flag)
	case KillRollouts:
		return checkText("/reason", c.Reason, maxReason)
	}
	return nil
}
