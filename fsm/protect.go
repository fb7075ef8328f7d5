package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Rights that are no commands of their own.
const (
	verbOverride   = "change.override" // roll back alone, whatever approvals the environment asks for
	verbBreakGlass = "environment.break-glass"
)

// operates tells whether the actor may act alone where others need approvals.
func operates(s *State, a Actor, scope Scope) bool {
	return Can(s, a, verbOverride, scope.object(ObjectEnvironment, scope.Environment)) == nil
}

// edits tells whether a command changes what an environment declares, or what it serves towards more exposure. Kill
// switches, aborts and freezes are none: they are always free.
func edits(c Command) bool {
	switch c.(type) {
	case PutFlag, DeleteFlag, SetEnabled, SetArchived, Unkill, PutSegment, DeleteSegment, Restore, PutSchedule, DropSchedule, SwitchSchedule:
		return true
	}
	return false
}

// protect refuses to edit a protected environment directly. In an emergency somebody with the right may still lower
// something, with a reason; whether it does is judged when it is done.
func (d *draft) protect(c Command) error {
	switch c.(type) {
	case OpenChange, EditChange:
		return nil
	}
	d.emergency = d.proposal.Actor.Kind == ActorBreakGlass
	if !d.emergency && !d.env.protected() || !slices.ContainsFunc(append([]Command{c}, d.state.inside(c)...), edits) {
		return nil
	}
	if d.emergency || d.proposal.Comment != "" && Can(d.state, d.proposal.Actor, verbBreakGlass, c.target()) == nil {
		d.emergency, d.lowers = true, true
		return nil
	}
	return d.protected(c, "")
}

func (d *draft) protected(c Command, more string) *Error {
	return &Error{Kind: KindProtected, Op: c.Verb(), Target: c.target().String(), Revision: d.before.revision,
		Detail: fmt.Sprintf("%s is protected: its declarations change through a Change that %s; send the same write with a title for the change "+
			"(`--change TITLE` on the command line, the header Hoist-Change over REST), or open a promotion; kill and abort always work directly%s",
			d.env.key, approvalsText(d.governance().RequiredApprovals), more)}
}

func approvalsText(n int) string {
	switch n {
	case 0:
		return "is applied by a second step"
	case 1:
		return "somebody else approves"
	}
	return fmt.Sprintf("%d other people approve", n)
}

// glass judges what was done in an emergency, and opens a review of it.
func (d *draft) glass(c Command) error {
	if !d.emergency {
		return nil
	}
	var changed []string
	for _, t := range d.touches {
		declared := t.before != t.now && !t.same()
		exposed := !slices.Equal(t.exposures, d.before.Exposures(t.key))
		if d.lowers && (declared && !t.lowered() || exposed && !killed(t.exposures)) {
			return d.onlyLowers(c)
		}
		if declared || exposed {
			changed = append(changed, t.key)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	m, err := d.newChange(c, &Change{Kind: ChangeReview, Status: ChangePending, Author: d.proposal.Actor, Base: d.state.index,
		Notes: cmp.Or(reasonOf(c), d.proposal.Comment), Title: "emergency: " + c.Verb() + " " + strings.Join(changed[:min(5, len(changed))], ", ")})
	if err != nil {
		return err
	}
	m.commit()
	return nil
}

func (d *draft) onlyLowers(c Command) error {
	const only = "an emergency lets you only lower: disable a flag, or take the weight of a variant down to 0"
	if d.proposal.Actor.Kind == ActorBreakGlass {
		return denied(c.Verb(), c.target(), only+"; prepare anything else as a change")
	}
	return d.protected(c, "; "+only)
}

// same tells whether what a touch came to is what was there.
func (t *touch) same() bool {
	return t.before != nil && t.now != nil && string(t.before.Record) == string(t.now.Record)
}

// lowered tells whether all that changed is that less is exposed: the flag is off, or a seat serves its off variant, or
// what it served already with some of it taken down to nothing.
func (t *touch) lowered() bool {
	if t.kind != ObjectFlag || t.before == nil || t.now == nil {
		return false
	}
	was, is := *t.before.Flag(), t.declared()
	if !is.Enabled {
		was.Enabled = false
	}
	was.Rules = slices.Clone(was.Rules)
	for i := range was.Rules {
		if now := serveAt(is, SeatRule+was.Rules[i].ID); now != nil && lower(is, was.Rules[i].Then, *now) {
			was.Rules[i].Then = *now
		}
	}
	if was.Default != nil && is.Default != nil && lower(is, *was.Default, *is.Default) {
		was.Default = is.Default
	}
	return string(was.Canonical()) == string(is.Canonical())
}

// lower compares what a seat served with what it serves: nobody gets what was not served there, and what is gained goes
// to the off variant, or to the largest where the flag has none among them.
func lower(f *evaluator.Flag, was, is evaluator.Serve) bool {
	before, after := sharesOf(was), sharesOf(is)
	safe := f.Off
	if _, served := before[safe]; !served && is.Variant != safe {
		safe = ""
		for _, key := range servedBy(was) {
			if safe == "" || before[key] > before[safe] {
				safe = key
			}
		}
	}
	for key, weight := range after {
		if weight > before[key] && key != safe {
			return false
		}
	}
	return true
}

// sharesOf is how much of a seat each variant gets, in thousandths of a percent.
func sharesOf(s evaluator.Serve) map[string]int {
	if s.Split == nil {
		return map[string]int{s.Variant: int(All)}
	}
	out := make(map[string]int, len(s.Split.Weights))
	for _, w := range s.Split.Weights {
		out[w.Variant] += w.Weight
	}
	return out
}

// judgePolicy asks of a flag what the policy of its environment does.
func (d *draft) judgePolicy(t *touch) error {
	if d.env.policy == nil || t.kind != ObjectFlag || t.now == nil || t.before == t.now || t.landing {
		return nil
	}
	g := d.governance()
	var problems evaluator.Problems
	f := t.declared()
	if g.TemporaryOwner && f.Temporary && f.Owner == "" {
		problems = append(problems, problem("/owner", "policy.temporary", "a temporary flag needs an owner here, who takes it away when it expires")...)
	}
	if g.MaxStep < int(All) && t.before != nil {
		if field, text := rises(t.before.Flag(), f, g.MaxStep); text != "" {
			problems = append(problems, problem(field, "policy.max-step", text)...)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Target: d.name(t), Problems: problems,
		Detail: "the policy of " + d.env.key + " refuses it: " + problems[0].Message}
}

// rises finds a seat at which a variant gains more at once than step allows. What the off variant gains is no rise, and
// a rule that is new takes its people from the default.
func rises(was, is *evaluator.Flag, step int) (field, text string) {
	if !is.Enabled || is.Archived || is.Kind == evaluator.KindConfig {
		return "", ""
	}
	compare := func(field string, old, now *evaluator.Serve) (string, string) {
		if now == nil {
			return "", ""
		}
		before := map[string]int{was.Off: int(All)}
		if was.Enabled && !was.Archived && old != nil {
			before = sharesOf(*old)
		}
		for _, key := range servedBy(*now) {
			if more := sharesOf(*now)[key] - before[key]; key != is.Off && more > step {
				return field, fmt.Sprintf("%q would rise by %g%% at once, %g%% are allowed; expose it with a rollout, or in several steps",
					key, float64(more)/1000, float64(step)/1000)
			}
		}
		return "", ""
	}
	for i := range is.Rules {
		old := serveAt(was, SeatRule+is.Rules[i].ID)
		if old == nil {
			old = was.Default
		}
		if field, text = compare(fmt.Sprintf("/rules/%d/then", i), old, &is.Rules[i].Then); text != "" {
			return field, text
		}
	}
	return compare("/default", was.Default, is.Default)
}

// stride refuses a move of a rollout that raises its candidate by more than the policy allows at once.
func (d *draft) stride(c MoveRollout, old, now *Rollout) error {
	step := Percent(d.governance().MaxStep)
	if now.Weight-old.Weight <= step || !now.Phase.Live() && now.Phase != PhaseCompleted {
		return nil
	}
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Revision: old.Revision,
		Detail:   fmt.Sprintf("the policy of %s refuses it: the weight would rise from %s to %s at once, by %s at most; give the plan smaller steps", d.env.key, old.Weight, now.Weight, step),
		Problems: problem("/steps", "policy.max-step", "the step is larger than the policy allows")}
}
