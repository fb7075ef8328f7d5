package fsm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Limits of a plan.
const (
	maxSteps   = 200
	maxRings   = 20
	maxMetrics = 50
	maxQuery   = 8 << 10
)

// planCheck collects what is wrong with a plan, each with the path of its field.
type planCheck struct {
	plan     *Plan
	problems evaluator.Problems
	metrics  map[string]bool
}

// Check judges the plan by itself: neither the flag nor the conditions' expressions are looked at.
func (p *Plan) Check() evaluator.Problems {
	c := &planCheck{plan: p, metrics: map[string]bool{}}
	if p.Kind != "" && p.Kind != PlanKind {
		c.add("/kind", "plan.kind", "%q is not %s", p.Kind, PlanKind)
	}
	c.key("/name", p.Name)
	if len(p.Name) > 80 {
		c.add("/name", "plan.name", "at most 80 characters, because the rollout's id is made of it")
	}
	if p.Environment != "" {
		c.key("/environment", p.Environment)
	}
	c.key("/flag", p.Flag)
	c.key("/target/variant", p.Target.Variant)
	if rule, ok := strings.CutPrefix(p.Seat, SeatRule); p.Seat != "" && p.Seat != SeatDefault && (!ok || !validKey(rule)) {
		c.add("/seat", "plan.seat", "%q is no seat: write default or rule:ID", p.Seat)
	}
	c.oneOf("/onFailure", p.OnFailure, OnRollback, OnPause)
	c.oneOf("/onDeadline", p.OnDeadline, OnNone, OnPause, OnRollback)
	if p.RollbackWindow != nil && (p.RollbackWindow.Landings < 1 || p.RollbackWindow.Landings > 100) {
		c.add("/rollbackWindow/landings", "plan.window", "from 1 to 100 landings")
	}
	c.notify()
	c.early()
	c.shape()
	c.rings()
	c.steps()
	c.gates()
	return c.problems
}

func (c *planCheck) add(field, code, format string, args ...any) {
	c.problems = append(c.problems, problem(field, code, fmt.Sprintf(format, args...))...)
}

func (c *planCheck) key(field, key string) {
	c.problems = append(c.problems, checkKey(field, key)...)
}

func (c *planCheck) oneOf(field, have string, words ...string) {
	if have != "" && !slices.Contains(words, have) {
		c.add(field, "plan.word", "%q is not one of %s", have, strings.Join(words, ", "))
	}
}

// shape: each strategy has the members it needs and none of the others'.
func (c *planCheck) shape() {
	p := c.plan
	c.oneOf("/strategy", p.Strategy, StrategyCanary, StrategyRings, StrategyBlueGreen)
	blue := p.Strategy == StrategyBlueGreen
	switch {
	case blue && p.BlueGreen == nil:
		c.add("/blueGreen", "plan.required", "the strategy blueGreen needs blueGreen, with its stages")
	case !blue && p.BlueGreen != nil:
		c.add("/blueGreen", "plan.strategy", "only a plan with `strategy: blueGreen` has it")
	case blue && (len(p.Steps) > 0 || p.Generate != nil):
		c.add("/steps", "plan.strategy", "blueGreen makes its own steps; take steps and generate away")
	case !blue && len(p.Steps) > 0 && p.Generate != nil:
		c.add("/generate", "plan.both", "give steps or generate, not both")
	case !blue && len(p.Steps) == 0 && p.Generate == nil:
		c.add("/steps", "plan.required", "a plan needs steps, or generate")
	}
	if len(p.Rings) > 0 && p.Strategy != StrategyRings {
		c.add("/rings", "plan.strategy", "only a plan with `strategy: rings` has rings")
	}
	if len(p.Rings) == 0 && p.Strategy == StrategyRings {
		c.add("/rings", "plan.required", "the strategy rings needs rings")
	}
	if p.BlueGreen != nil {
		c.oneOf("/blueGreen/previewOnAbort", p.BlueGreen.PreviewOnAbort, PreviewRemove, PreviewKeep)
		c.segments("/blueGreen/preview/segments", p.BlueGreen.Preview.Segments)
		if len(p.BlueGreen.Preview.Segments) == 0 && p.BlueGreen.PreviewOnAbort == PreviewKeep {
			c.add("/blueGreen/previewOnAbort", "plan.preview", "there is no preview to keep; name its segments")
		}
	}
	if p.Generate != nil {
		c.generator(p.Generate)
	}
}

func (c *planCheck) generator(g *Generator) {
	rules := 0
	for _, set := range []bool{g.Linear != nil, g.Exponential != nil, g.Fibonacci, len(g.List) > 0} {
		if set {
			rules++
		}
	}
	switch {
	case rules != 1:
		c.add("/generate", "plan.generator", "name exactly one of linear, exponential, fibonacci and list")
	case g.Linear != nil && (g.Linear.Step < 1000 || g.Linear.Max > All):
		c.add("/generate/linear/step", "plan.generator", "a step is at least 1 percent")
	case g.Exponential != nil && (g.Exponential.Start < 1 || g.Exponential.Factor < 0 || g.Exponential.Factor == 1):
		c.add("/generate/exponential", "plan.generator", "it needs a start above 0 and a factor of 2 or more")
	}
}

// early: a hold can only be cut short by evidence that is complete one day.
func (c *planCheck) early() {
	if !c.plan.EarlyPromote {
		return
	}
	b := c.plan.Analysis.Background
	if b == nil {
		c.add("/earlyPromote", "plan.early", "there is no analysis.background whose success could cut a hold short")
		return
	}
	for i := range b.Metrics {
		if m := &b.Metrics[i]; !c.plan.DryRun(m.Name) && m.ConsecutiveSuccessLimit == 0 && m.total() == 0 {
			c.add(fmt.Sprintf("/analysis/background/metrics/%d", i), "plan.early",
				"earlyPromote needs metrics whose evidence is complete one day: give it consecutiveSuccessLimit or count")
		}
	}
	if !c.plan.repeats() {
		c.add("/analysis/background/repeat", "plan.early", "earlyPromote needs a run for every weight")
	}
}

// notify: receivers are named; where they are is the servers' business.
func (c *planCheck) notify() {
	if len(c.plan.Notify) > maxNotify {
		c.add("/notify", "plan.size", "at most %d receivers", maxNotify)
	}
	for i, text := range c.plan.Notify {
		at := fmt.Sprintf("/notify/%d", i)
		name, ok := strings.CutPrefix(text, NotifyWebhook)
		switch {
		case !ok:
			c.add(at, "plan.notify", "%q is no receiver: write webhook:NAME", text)
		case slices.Contains(c.plan.Notify[:i], text):
			c.add(at, "plan.duplicate", "%q is named twice", text)
		default:
			c.key(at, name)
		}
	}
}

func (c *planCheck) segments(field string, keys []string) {
	for i, key := range keys {
		c.key(fmt.Sprintf("%s/%d", field, i), key)
	}
}

func (c *planCheck) rings() {
	if len(c.plan.Rings) > maxRings {
		c.add("/rings", "plan.size", "at most %d rings", maxRings)
		return
	}
	seen := map[string]bool{}
	for i, r := range c.plan.Rings {
		at := fmt.Sprintf("/rings/%d", i)
		c.key(at+"/name", r.Name)
		if seen[r.Name] {
			c.add(at+"/name", "plan.duplicate", "two rings are called %q", r.Name)
		}
		seen[r.Name] = true
		if len(r.Segments) == 0 {
			c.add(at+"/segments", "plan.required", "a ring needs a segment: who is in it")
		}
		c.segments(at+"/segments", r.Segments)
	}
}

func (c *planCheck) steps() {
	p := c.plan
	steps, base := p.Steps, "/steps"
	if p.Generate != nil {
		steps, base = p.Generate.ladder(), "/generate"
	}
	if len(steps) > maxSteps {
		c.add("/steps", "plan.size", "at most %d steps", maxSteps)
		return
	}
	at := func(i int) string {
		if p.Generate != nil {
			return base
		}
		return fmt.Sprintf("%s/%d", base, i)
	}
	weight, raised := Percent(0), -1
	for i := range steps {
		s := &steps[i]
		if !c.step(at(i), s) {
			continue
		}
		raises := s.SetRing != "" || s.SetWeight != nil && *s.SetWeight > weight
		if s.SetWeight != nil {
			weight = *s.SetWeight
		}
		switch {
		case raises && raised >= 0:
			c.add(at(i), "plan.raise", "it raises again without a hold, an approval or an analysis after step %d; put one between", raised)
		case raises:
			raised = i
		case s.SetWeight == nil:
			raised = -1
		}
	}
	if raised >= 0 {
		c.add(at(raised), "plan.raise", "nothing follows this raise: put a hold, an approval or an analysis behind it")
	}
}

func (c *planCheck) step(at string, s *Step) bool {
	set := 0
	for _, one := range []bool{s.SetWeight != nil, s.SetRing != "", s.Hold != nil, s.Approval != nil, s.Analysis != nil} {
		if one {
			set++
		}
	}
	if set != 1 {
		c.add(at, "plan.step", "a step is exactly one of setWeight, setRing, hold, approval and analysis")
		return false
	}
	if s.SetRing != "" && !slices.ContainsFunc(c.plan.Rings, func(r PlanRing) bool { return r.Name == s.SetRing }) {
		c.add(at+"/setRing", "plan.ring", "no ring is called %q", s.SetRing)
	}
	if s.Approval != nil && (s.Approval.Count < 0 || s.Approval.Count > 20) {
		c.add(at+"/approval/count", "plan.approval", "from 1 to 20 people")
	}
	return true
}

func (c *planCheck) gates() {
	p := c.plan
	for i := range p.Steps {
		if a := p.Steps[i].Analysis; a != nil {
			c.list(fmt.Sprintf("/steps/%d/analysis/metrics", i), a.Metrics)
		}
	}
	if b := p.BlueGreen; b != nil && b.PreAnalysis != nil {
		c.list("/blueGreen/preAnalysis/metrics", b.PreAnalysis.Metrics)
	}
	if b := p.BlueGreen; b != nil && b.PostAnalysis != nil {
		c.list("/blueGreen/postAnalysis/metrics", b.PostAnalysis.Metrics)
	}
	if b := p.Analysis.Background; b != nil {
		c.oneOf("/analysis/background/repeat", b.Repeat, RepeatPerWeight, RepeatOnce)
		if b.StartingStep < 0 || b.StartingStep >= max(1, len(p.Ladder())) {
			c.add("/analysis/background/startingStep", "plan.step", "step %d does not exist: they count from 0 to %d", b.StartingStep, len(p.Ladder())-1)
		}
		c.list("/analysis/background/metrics", b.Metrics)
	}
	gates := p.Gates()
	if len(gates) > maxMetrics {
		c.add("/analysis", "plan.size", "at most %d metrics", maxMetrics)
	}
	switch {
	case len(gates) == 0 && !p.Analysis.None:
		c.add("/analysis", "plan.gates", "the plan has no gates: give it an analysis, or write `analysis: none` if it shall go on by time alone")
	case len(gates) > 0 && p.Analysis.None:
		c.add("/analysis", "plan.gates", "the plan says none, but its steps have an analysis; take the word away")
	}
	for i, pattern := range p.Analysis.DryRun {
		at := fmt.Sprintf("/analysis/dryRun/%d", i)
		if _, err := regexp.Compile(pattern); err != nil {
			c.add(at, "plan.pattern", "%q is no pattern: %v", pattern, err)
		} else if !slices.ContainsFunc(gates, func(m *Metric) bool { return p.DryRun(m.Name) }) {
			c.add(at, "plan.pattern", "%q matches no metric", pattern)
		}
	}
}
