package fsm

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
)

// governed refuses a plan that the policy of its environment forbids: a raise, the landing from the last weight included,
// that is larger than maxStep, and, where the environment is protected, a change that nobody measures.
func (d *draft) governed(c StartRollout) error {
	g := d.governance()
	problems := c.Plan.strides(Percent(g.MaxStep))
	if g.Protected && c.Plan.Analysis.None {
		problems = append(problems, problem("/analysis", "policy.gates", fmt.Sprintf("%s is protected, so a rollout there needs an analysis", d.env.key))...)
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Problems: problems,
		Detail: fmt.Sprintf("the policy of %s refuses the plan; correct the named fields", d.env.key)}
}

// strides lists the raises of the plan that are larger than a share.
func (p *Plan) strides(most Percent) (problems evaluator.Problems) {
	if most >= All {
		return nil
	}
	weight := Percent(0)
	add := func(at string, to Percent) {
		if to-weight > most {
			problems = append(problems, problem(at, "policy.max-step", fmt.Sprintf("it raises from %s to %s at once, by %s at most is allowed", weight, to, most))...)
		}
		weight = to
	}
	steps := p.Ladder()
	for i := range steps {
		if w := steps[i].SetWeight; w != nil {
			add(fmt.Sprintf("/steps/%d/setWeight", i), *w)
		}
	}
	add("/steps", All) // landing
	return problems
}
