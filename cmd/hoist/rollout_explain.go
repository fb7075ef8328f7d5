package main

import (
	"fmt"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// explainEvidence prints what a metric had to say at a move and derives its verdict again; it returns 1 if that differs.
func (a *app) explainEvidence(plan *fsm.Plan, e *hoistv1.RolloutEvent, x *hoistv1.RolloutEvidence) int {
	m := x.GetMetric()
	if m.GetCount()+m.GetErrors()+m.GetNoData() == 0 {
		return 0
	}
	fmt.Fprintf(a.stdout, "    %s\n", metricLine(m))
	if m.GetQuery() != "" {
		fmt.Fprintf(a.stdout, "      asked: %s\n", m.GetQuery())
	}
	if m.GetFailureCondition() != "" {
		fmt.Fprintf(a.stdout, "      fails if: %s\n", m.GetFailureCondition())
	}
	if m.GetSuccessCondition() != "" {
		fmt.Fprintf(a.stdout, "      succeeds if: %s\n", m.GetSuccessCondition())
	}
	by := metricOf(plan, x)
	if by == nil {
		fmt.Fprintf(a.stdout, "      the plan has no such metric\n")
		return 1
	}
	state := fsm.MetricState{Count: int(m.GetCount()), Successful: int(m.GetSuccessful()), Failed: int(m.GetFailed()),
		Inconclusive: int(m.GetInconclusive()), Errors: int(m.GetErrors()), NoData: int(m.GetNoData()),
		ConsecutiveErrors: int(m.GetConsecutiveErrors()), ConsecutiveSuccess: int(m.GetConsecutiveSuccess())}
	recorded := fsm.RunPhase(m.GetPhase())
	switch recorded {
	case fsm.RunCancelled, fsm.RunOverridden, fsm.RunNoData: // said by an end or by a clock, not by numbers
		return 0
	}
	phase, why := state.Judge(by, e.GetAt().AsTime().UnixMilli())
	if phase != recorded {
		fmt.Fprintf(a.stdout, "      derived again: %s (%s), but recorded was %s\n", phase, why, recorded)
		return 1
	}
	fmt.Fprintf(a.stdout, "      derived again: %s, because %s\n", phase, why)
	return 0
}

// metricOf finds the plan's metric behind a piece of evidence.
func metricOf(plan *fsm.Plan, x *hoistv1.RolloutEvidence) *fsm.Metric {
	var list []fsm.Metric
	steps := plan.Ladder()
	switch {
	case x.GetKind() == string(fsm.RunBackground) && plan.Analysis.Background != nil:
		list = plan.Analysis.Background.Metrics
	case int(x.GetStep()) < len(steps) && steps[x.GetStep()].Analysis != nil:
		list = steps[x.GetStep()].Analysis.Metrics
	}
	for i := range list {
		if list[i].Name == x.GetMetric().GetName() {
			return &list[i]
		}
	}
	return nil
}
