package rollout

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// Check is everything that is wrong with a plan by itself: what the law says, conditions that do not compile, arguments
// that nobody gives.
func Check(p *fsm.Plan) evaluator.Problems {
	problems := p.Check()
	each(p, func(at string, m *fsm.Metric) {
		problems = append(problems, checkCondition(at+"/successCondition", m.SuccessCondition)...)
		problems = append(problems, checkCondition(at+"/failureCondition", m.FailureCondition)...)
		problems = append(problems, checkArguments(at, p, texts(m))...)
		if m.Web != nil {
			if _, err := parsePath(m.Web.JSONPath); err != nil {
				problems = append(problems, evaluator.Problem{Field: at + "/web/jsonPath", Code: "plan.path", Message: err.Error()})
			}
		}
	})
	for name := range p.Analysis.Args {
		if slices.Contains(builtin(), name) {
			problems = append(problems, evaluator.Problem{Field: "/analysis/args/" + name, Code: "plan.argument", Message: "the name is given by hoist itself; choose another"})
		}
	}
	return problems
}

// Warnings are what is allowed and probably not meant.
func Warnings(p *fsm.Plan) (out []string) {
	shortest := fsm.Duration(0)
	for _, s := range p.Ladder() {
		if s.Hold != nil && !s.Hold.Forever() && (shortest == 0 || s.Hold.For < shortest) {
			shortest = s.Hold.For
		}
	}
	if b := p.Analysis.Background; b != nil {
		for i := range b.Metrics {
			if m := &b.Metrics[i]; shortest > 0 && shortest < m.InitialDelay+m.Interval {
				out = append(out, fmt.Sprintf("metric %s is first known after %s, but a hold is %s: the hold stretches until there is evidence",
					m.Name, m.InitialDelay+m.Interval, shortest))
			}
		}
	}
	return out
}

// each visits every metric with its path.
func each(p *fsm.Plan, visit func(at string, m *fsm.Metric)) {
	list := func(at string, metrics []fsm.Metric) {
		for i := range metrics {
			visit(fmt.Sprintf("%s/%d", at, i), &metrics[i])
		}
	}
	for i := range p.Steps {
		if a := p.Steps[i].Analysis; a != nil {
			list(fmt.Sprintf("/steps/%d/analysis/metrics", i), a.Metrics)
		}
	}
	if b := p.BlueGreen; b != nil && b.PreAnalysis != nil {
		list("/blueGreen/preAnalysis/metrics", b.PreAnalysis.Metrics)
	}
	if b := p.BlueGreen; b != nil && b.PostAnalysis != nil {
		list("/blueGreen/postAnalysis/metrics", b.PostAnalysis.Metrics)
	}
	if b := p.Analysis.Background; b != nil {
		list("/analysis/background/metrics", b.Metrics)
	}
}

func checkCondition(at, text string) evaluator.Problems {
	if text == "" {
		return nil
	}
	if _, err := compile(text); err != nil {
		return evaluator.Problems{{Field: at, Code: "plan.condition", Message: fmt.Sprintf("%q does not compile: %v", text, err)}}
	}
	return nil
}

// texts lists what of a metric takes arguments.
func texts(m *fsm.Metric) (out []string) {
	switch {
	case m.Prometheus != nil:
		out = append(out, m.Prometheus.Address, m.Prometheus.Query)
	case m.Web != nil:
		out = append(out, m.Web.URL)
	case m.BurnRate != nil:
		out = append(out, m.BurnRate.Address, m.BurnRate.Bad, m.BurnRate.Total)
	}
	return out
}

// builtin are the arguments every query may name.
func builtin() []string {
	return []string{"flag", "environment", "rollout", "attempt", "candidate", "stable", "cohort", "weight"}
}

const argumentPattern = `\{\{\s*args\.([A-Za-z0-9_-]+)\s*\}\}`

func checkArguments(at string, p *fsm.Plan, texts []string) (problems evaluator.Problems) {
	find := regexp.MustCompile(argumentPattern)
	for _, text := range texts {
		for _, match := range find.FindAllStringSubmatch(text, -1) {
			if _, given := p.Analysis.Args[match[1]]; !given && !slices.Contains(builtin(), match[1]) {
				problems = append(problems, evaluator.Problem{Field: at, Code: "plan.argument", Message: fmt.Sprintf(
					"nobody gives the argument %q; put it under analysis.args, or use one of %s", match[1], strings.Join(builtin(), ", "))})
			}
		}
	}
	return problems
}
