package rollout

import (
	"fmt"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Gates is what stands in the way of a rollout besides itself.
type Gates struct {
	Frozen *fsm.Frozen // what covers its flag; nil: not frozen
	Burn   fsm.Burn    // of its environment's error budget
}

// Decision is what to do now. An empty Move means: nothing until Wake.
type Decision struct {
	Move       fsm.Move
	Pause      fsm.Reason // with MoveHold
	Rule       string     // D1 to D11
	Why        string     // in words
	Wake       time.Time  // when to decide again if nothing happens before; zero: only when something happens
	Conditions []Condition
}

// Condition is what keeps a rollout from going on and clears by itself.
type Condition struct {
	Name string // ProviderDown, Frozen, BudgetBurning, EvidenceMissing, Stalled
	Why  string
}

// The names of conditions.
const (
	ProviderDown    = "ProviderDown"
	Frozen          = "Frozen"
	BudgetBurning   = "BudgetBurning"
	EvidenceMissing = "EvidenceMissing"
	Stalled         = "Stalled"
)

// Decide says what the rollout should do next. It has no side effects, no memory and no clock. The first rule that
// applies wins.
func Decide(now time.Time, r *fsm.Rollout, g Gates) Decision {
	c := &choice{now: now.UnixMilli(), r: r, gates: g, deadline: deadline(r)}
	if !r.Phase.Live() {
		return Decision{Rule: "D1", Why: "it is " + string(r.Phase) + ", which is the end"}
	}
	c.observe()
	for _, rule := range []func() (Decision, bool){c.failed, c.overdue, c.uncertain, c.waiting, c.blocked, c.proven, c.unfinished, c.unproven} {
		if d, ok := rule(); ok {
			d.Conditions = c.conditions
			return d
		}
	}
	return c.forward()
}

// choice is one decision being made.
type choice struct {
	now        int64
	r          *fsm.Rollout
	gates      Gates
	deadline   int64
	stuck      int64 // since when it tries to go on and cannot; 0: it does not
	conditions []Condition
}

func deadline(r *fsm.Rollout) int64 {
	if d := r.Plan().ProgressDeadline; d > 0 {
		return int64(d)
	}
	return (10 * time.Minute).Milliseconds()
}

func (c *choice) add(name, format string, args ...any) {
	c.conditions = append(c.conditions, Condition{name, fmt.Sprintf(format, args...)})
}

// observe collects the conditions and finds out how long the rollout has been trying in vain.
func (c *choice) observe() {
	r := c.r
	for _, run := range r.OpenRuns() {
		for i := range run.Metrics {
			if last := run.Metrics[i].Newest(); last != nil && last.Verdict == fsm.VerdictError {
				c.add(ProviderDown, "%s: %s", run.Metrics[i].Name, last.Detail)
			}
		}
	}
	if f := c.frozen(); f != nil {
		c.add(Frozen, "by %s: %s", name(f.By), f.Reason)
	}
	if c.burning() {
		c.add(BudgetBurning, "%s", c.gates.Burn.Numbers)
	}
	if r.Phase == fsm.PhasePaused || c.frozen() != nil || c.burning() {
		return
	}
	if s := r.Current(); s != nil && s.Hold != nil && r.StepDone(c.now) {
		if missing := r.EvidenceMissing(); len(missing) > 0 {
			c.add(EvidenceMissing, "no success since the last raise: %s", strings.Join(missing, ", "))
			c.stuck = r.HoldEnd
		}
	} else if s != nil && s.Analysis != nil && !r.StepDone(c.now) {
		c.stuck = r.Since + expected(s.Analysis.Metrics)
	}
	if c.stuck > 0 && c.now-c.stuck > c.deadline {
		c.add(Stalled, "it has tried to go on for %s", fsm.Duration(c.now-c.stuck))
	} else if r.Stalled {
		c.add(Stalled, "its deadline passed in this step")
	}
}

// expected is how long an inline analysis takes if every answer comes at once.
func expected(metrics []fsm.Metric) (longest int64) {
	for i := range metrics {
		m := &metrics[i]
		longest = max(longest, int64(m.InitialDelay)+int64(max(m.Count-1, 0))*int64(m.Interval))
	}
	return longest
}

func (c *choice) frozen() *fsm.Frozen {
	if f := c.gates.Frozen; f != nil && (f.Until == 0 || c.now < f.Until) {
		return f
	}
	return nil
}

// burning tells whether the error budget is spent so fast that nothing may advance.
func (c *choice) burning() bool {
	return c.gates.Burn.Tier == fsm.BurnPage || c.gates.Burn.Tier == fsm.BurnExhausted
}

// blamed tells whether a burning budget is held against this rollout: its audience grew inside the window that burns,
// and no numbers of its own can say that it was somebody else.
func (c *choice) blamed() bool {
	b, r := c.gates.Burn, c.r
	return c.burning() && b.Long > 0 && r.RaisedAt > 0 && b.At-r.RaisedAt < int64(b.Long) && r.RaisedAt <= b.At &&
		(len(r.Plan().Gates()) == 0 || r.Weight == fsm.All)
}

// run finds a run that decides about the rollout now, in one of the phases.
func (c *choice) run(phases ...fsm.RunPhase) (*fsm.Run, *fsm.MetricState) {
	for _, kind := range []fsm.RunKind{fsm.RunInline, fsm.RunBackground} {
		run := c.r.LastRun(kind)
		if run == nil {
			continue
		}
		for _, phase := range phases {
			if run.Phase != phase {
				continue
			}
			for i := range run.Metrics {
				if m := &run.Metrics[i]; m.Phase == phase && !m.DryRun {
					return run, m
				}
			}
		}
	}
	return nil, nil
}

// failed is D2: what failed goes back, in any phase.
func (c *choice) failed() (Decision, bool) {
	run, m := c.run(fsm.RunFailed, fsm.RunError)
	if run == nil && c.blamed() {
		return Decision{Move: fsm.MoveRollback, Rule: "D2", Why: "the error budget burns since its last raise, and nothing tells its users from the others: " +
			c.gates.Burn.Numbers}, true
	}
	if run == nil {
		return Decision{}, false
	}
	why := c.tell(run, m)
	if c.r.Plan().OnFailure != fsm.OnPause {
		return Decision{Move: fsm.MoveRollback, Rule: "D2", Why: why}, true
	}
	if c.r.Phase == fsm.PhasePaused && c.r.Reason == fsm.ReasonFailed {
		return Decision{Rule: "D2", Why: why}, true
	}
	return Decision{Move: fsm.MoveHold, Pause: fsm.ReasonFailed, Rule: "D2", Why: why}, true
}

// tell says in words what a metric came to.
func (c *choice) tell(run *fsm.Run, m *fsm.MetricState) string {
	_, because := m.Judge(c.r.Metric(run, m), c.now)
	text := fmt.Sprintf("metric %s is %s: %s", m.Name, m.Phase, because)
	if last := m.Newest(); last != nil {
		text += fmt.Sprintf("; it measured %s", shown(last))
		if rule := c.r.Metric(run, m).FailureCondition; rule != "" && last.Verdict == fsm.VerdictFailed {
			text += " against failureCondition " + rule
		} else if rule := c.r.Metric(run, m).SuccessCondition; rule != "" && last.Verdict != fsm.VerdictSuccessful {
			text += " against successCondition " + rule
		}
	}
	return text
}

func shown(m *fsm.Measurement) string {
	switch {
	case m.Value != "" && m.Stable != "":
		return m.Value + " (stable: " + m.Stable + ")"
	case m.Value != "":
		return m.Value
	case m.Detail != "":
		return string(m.Verdict) + " (" + m.Detail + ")"
	}
	return string(m.Verdict)
}

// overdue is D3 and the deadline's part of D4: what the plan says about standing still.
func (c *choice) overdue() (Decision, bool) {
	if c.stuck == 0 || c.now-c.stuck <= c.deadline {
		return Decision{}, false
	}
	why := fmt.Sprintf("it has tried to go on for %s, longer than the progress deadline of %s", fsm.Duration(c.now-c.stuck), fsm.Duration(c.deadline))
	switch c.r.Plan().OnDeadline {
	case fsm.OnRollback:
		return Decision{Move: fsm.MoveRollback, Rule: "D3", Why: why}, true
	case fsm.OnPause:
		return Decision{Move: fsm.MoveHold, Pause: fsm.ReasonDeadline, Rule: "D4", Why: why}, true
	}
	if !c.r.Stalled {
		return Decision{Move: fsm.MoveStall, Rule: "D3", Why: why}, true
	}
	return Decision{}, false
}

// uncertain is D4: no answer is no pass and no failure; it waits, for data or for a person.
func (c *choice) uncertain() (Decision, bool) {
	hold := func(reason fsm.Reason, why string) (Decision, bool) {
		if c.r.Phase == fsm.PhasePaused && graver(c.r.Reason, reason) {
			return Decision{}, false
		}
		return Decision{Move: fsm.MoveHold, Pause: reason, Rule: "D4", Why: why}, true
	}
	if run, m := c.run(fsm.RunInconclusive); run != nil {
		if last := m.Newest(); last != nil && last.StableUnhealthy {
			return hold(fsm.ReasonStableUnhealthy, "the stable cohort fails as well: "+c.tell(run, m))
		}
		return hold(fsm.ReasonInconclusive, c.tell(run, m))
	}
	if run, m := c.run(fsm.RunNoData); run != nil {
		return hold(fsm.ReasonNoDataTimeout, c.tell(run, m))
	}
	if silent := c.silent(); silent != "" {
		return hold(fsm.ReasonNoData, "no data for "+silent+"; it goes on by itself when there is some")
	}
	if c.r.Phase == fsm.PhasePaused && c.r.Reason == fsm.ReasonNoData {
		return Decision{Move: fsm.MoveContinue, Rule: "D4", Why: "there is data again"}, true
	}
	return Decision{}, false
}

// graver tells whether the pause already stands for reason or for something more serious. The law has the same order.
func graver(have, reason fsm.Reason) bool { return have.Rank() >= reason.Rank() }

// silent names the deciding metrics whose newest answer has no data and that wait for some.
func (c *choice) silent() string {
	var names []string
	for _, run := range c.r.OpenRuns() {
		for i := range run.Metrics {
			m := &run.Metrics[i]
			if last := m.Newest(); last != nil && !m.DryRun && last.Verdict == fsm.VerdictNoData {
				names = append(names, m.Name)
			}
		}
	}
	return strings.Join(names, ", ")
}

// waiting is D5.
func (c *choice) waiting() (Decision, bool) {
	if c.r.Phase != fsm.PhasePaused {
		return Decision{}, false
	}
	return Decision{Rule: "D5", Why: "it is paused: " + string(c.r.Reason), Wake: c.measure()}, true
}

// blocked is D6.
func (c *choice) blocked() (Decision, bool) {
	f := c.frozen()
	if f == nil && c.burning() && c.r.StepDone(c.now) {
		return Decision{Rule: "D6", Why: "the error budget of its environment burns: " + c.gates.Burn.Numbers, Wake: c.measure()}, true
	}
	if f == nil {
		return Decision{}, false
	}
	d := Decision{Rule: "D6", Why: "its environment is frozen: " + f.Reason, Wake: c.measure()}
	if f.Until > 0 {
		d.Wake = sooner(d.Wake, time.UnixMilli(f.Until))
	}
	return d, true
}

// proven is D9: complete evidence cuts a hold short where the plan says so.
func (c *choice) proven() (Decision, bool) {
	if c.r.StepDone(c.now) || !c.r.Proven() {
		return Decision{}, false
	}
	d := c.forward()
	d.Rule, d.Why = "D9", fmt.Sprintf("its evidence is complete: the last %s of the hold are left out", fsm.Duration(c.r.HoldEnd-c.now))
	return d, true
}

// unfinished is D7.
func (c *choice) unfinished() (Decision, bool) {
	if c.r.StepDone(c.now) {
		return Decision{}, false
	}
	d := Decision{Rule: "D7", Why: "the step is not done", Wake: c.measure()}
	switch s := c.r.Current(); {
	case s.Hold != nil:
		d.Why = fmt.Sprintf("the hold has %s left", fsm.Duration(c.r.HoldEnd-c.now))
		d.Wake = sooner(d.Wake, time.UnixMilli(c.r.HoldEnd))
	case s.Analysis != nil:
		d.Why = "the analysis of this step is not through"
		d.Wake = sooner(d.Wake, time.UnixMilli(c.stuck+c.deadline+1))
	}
	return d, true
}

// unproven is D8: time never overrides evidence.
func (c *choice) unproven() (Decision, bool) {
	s := c.r.Current()
	if s == nil || s.Hold == nil {
		return Decision{}, false
	}
	missing := c.r.EvidenceMissing()
	if len(missing) == 0 {
		return Decision{}, false
	}
	return Decision{Rule: "D8", Why: "the hold is served, but there is no success since the last raise: " + strings.Join(missing, ", "),
		Wake: sooner(c.measure(), time.UnixMilli(c.r.HoldEnd+c.deadline+1))}, true
}

// forward is D10 and D11.
func (c *choice) forward() Decision {
	why := "its weight is live"
	switch s := c.r.Current(); {
	case s.Hold != nil:
		why = "the hold is served in full"
		if len(c.r.OpenRuns()) > 0 {
			why += " and the evidence is there"
		}
	case s.Analysis != nil:
		why = "its analysis was successful"
	}
	if c.r.Step >= len(c.r.Steps())-1 {
		return Decision{Move: fsm.MoveLand, Rule: "D10", Why: "the last step is done: " + why, Conditions: c.conditions}
	}
	return Decision{Move: fsm.MoveAdvance, Rule: "D11", Why: fmt.Sprintf("step %d is done: %s", c.r.Step, why), Conditions: c.conditions}
}

// measure is when the next measurement of any open run is due.
func (c *choice) measure() (next time.Time) {
	for _, run := range c.r.OpenRuns() {
		for i := range run.Metrics {
			if due, ok := Due(c.r, run, &run.Metrics[i]); ok {
				next = sooner(next, due)
			}
		}
	}
	return next
}

// errorRetry is how soon an error is asked about again, whatever the interval.
const errorRetry = 10 * time.Second

// Due is when a metric is measured next; false: not any more.
func Due(r *fsm.Rollout, run *fsm.Run, m *fsm.MetricState) (time.Time, bool) {
	if m.Phase != fsm.RunPending && m.Phase != fsm.RunRunning {
		return time.Time{}, false
	}
	by, last := r.Metric(run, m), m.Newest()
	switch {
	case last == nil:
		return time.UnixMilli(run.Started).Add(by.InitialDelay.Of()), true
	case last.Verdict == fsm.VerdictError, by.Interval == 0:
		return time.UnixMilli(last.At).Add(errorRetry), true
	}
	return time.UnixMilli(last.At).Add(by.Interval.Of()), true
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func name(a fsm.Actor) string {
	if a.ID != "" {
		return a.ID
	}
	return a.Kind
}
