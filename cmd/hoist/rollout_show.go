package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// ladder shows a rollout: its steps, where it stands, what is left of the hold, and each metric's last values.
func ladder(r *hoistv1.Rollout, now time.Time) []string {
	lines := []string{fmt.Sprintf("%s  flag %s, %s: %s → %s  attempt %d  %s at %s", r.GetId(), r.GetFlag(), r.GetSeat(), r.GetStable(),
		r.GetCandidate(), r.GetAttempt(), phaseText(r), share(r.GetWeight()))}
	if r.GetCause() != "" {
		lines = append(lines, "  cause: "+r.GetCause())
	}
	if f := r.GetFreeze(); f != nil {
		lines = append(lines, fmt.Sprintf("  frozen by %s: %s", who(f.GetBy()), f.GetReason()))
	}
	for _, x := range r.GetReceivers() {
		lines = append(lines, "  tells "+receiverLine(x))
	}
	for i, s := range r.GetSteps() {
		mark := " "
		switch {
		case int32(i) < r.GetStep():
			mark = "✓"
		case int32(i) == r.GetStep() && r.GetEndedAt() == nil:
			mark = "▶"
		}
		line := fmt.Sprintf("  %s %2d  %-24s %6s", mark, i, s.GetText(), share(s.GetWeight()))
		if mark == "▶" && r.GetHoldEnd() != nil && r.GetPhase() == "holding" {
			if left := r.GetHoldEnd().AsTime().Sub(now).Round(time.Second); left > 0 {
				line += fmt.Sprintf("  %s left", left)
			} else if len(r.GetEvidenceMissing()) > 0 {
				line += fmt.Sprintf("  waits for evidence: %v", r.GetEvidenceMissing())
			}
		}
		lines = append(lines, line)
	}
	for _, run := range r.GetRuns() {
		lines = append(lines, fmt.Sprintf("  %s run %d: %s", run.GetKind(), run.GetId(), run.GetPhase()))
		for _, m := range run.GetMetrics() {
			lines = append(lines, "    "+metricLine(m))
		}
	}
	return lines
}

// receiverLine says how it goes with a receiver of notices.
func receiverLine(x *hoistv1.NoticeReceiver) string {
	line := fmt.Sprintf("%s: %d delivered, %d waiting", x.GetName(), x.GetDelivered(), x.GetWaiting())
	if x.GetFailing() != "" {
		line += fmt.Sprintf(", failing since %s: %s", x.GetFailingSince().AsTime().Local().Format(time.DateTime), x.GetFailing())
	}
	if x.GetDropped() > 0 {
		line += fmt.Sprintf(", %d dropped, the last at %s: %s", x.GetDropped(), x.GetDroppedAt().AsTime().Local().Format(time.DateTime), x.GetDroppedWhy())
	}
	return line
}

func metricLine(m *hoistv1.RolloutMetric) string {
	name := m.GetName()
	if m.GetDryRun() {
		name += " (dry run)"
	}
	line := fmt.Sprintf("%s: %s, %d successful, %d failed, %d inconclusive, %d errors, %d without data", name, m.GetPhase(),
		m.GetSuccessful(), m.GetFailed(), m.GetInconclusive(), m.GetErrors(), m.GetNoData())
	list := m.GetMeasurements()
	for _, x := range list[max(0, len(list)-3):] {
		line += "  " + answerText(x)
	}
	return line
}

func answerText(m *hoistv1.RolloutMeasurement) string {
	text := m.GetValue()
	if m.GetStable() != "" {
		text += " (stable " + m.GetStable() + ")"
	}
	if text == "" {
		text = m.GetDetail()
	}
	return text + " " + m.GetVerdict()
}

func (a *app) rolloutHistoryCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "history ID", Short: "List the events of a rollout, the oldest first",
		Long: `List the events of a rollout. With --all also every measurement, from the files of the node that is asked: they go back to the start, also of a
rollout that the cluster has forgotten. With -o json each row has its record with the provider's answer, in base64.`,
		Example: "  hoist rollout history checkout-42\n  hoist rollout history checkout-42 --all", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			if all {
				return a.showRolloutLog(cmd.Context(), n, args[0])
			}
			r, err := a.rollout(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			v := view{message: r, header: []string{"SEQ", "AT", "EVENT", "STEP", "WEIGHT", "BY", "RULE", "WHY"}}
			for _, e := range r.GetEvents() {
				v.names = append(v.names, fmt.Sprintf("rollout/%s/%d", r.GetId(), e.GetSeq()))
				v.rows = append(v.rows, []string{fmt.Sprint(e.GetSeq()), e.GetAt().AsTime().Local().Format(time.DateTime), e.GetKind(),
					fmt.Sprint(e.GetStep()), share(e.GetWeight()), who(e.GetActor()), e.GetRule(), e.GetWhy()})
			}
			return a.show(v)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "with every measurement, from the files of the node")
	return a.printing(a.scoped(c), listFormats...)
}

func (a *app) rolloutExplainCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "explain ID", Short: "Say in words why a rollout did what it did, and judge its records anew",
		Long: `Say each move of a rollout with the rule that fired and the numbers it rested on: queries, values, counters. Each verdict is derived
again from the recorded numbers and the plan; the command fails when a record does not give the verdict that was acted on.

A rollout keeps its last 200 moves and three measurements per metric with each. --all tells everything from the files of the node that is
asked, each measurement with the provider's answer, from which it is judged again; also of a rollout that the cluster has forgotten.`,
		Example: "  hoist rollout explain checkout-42\n  hoist rollout explain checkout-42 --all", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			if all {
				return a.explainAll(cmd.Context(), n, args[0])
			}
			r, err := a.rollout(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			return a.explainRollout(r)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every measurement with its answer, from the files of the node")
	return a.printing(a.scoped(c), "table")
}

func (a *app) explainRollout(r *hoistv1.Rollout) error {
	plan, err := planOf(r)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "rollout %s of flag %s, seat %s: %s → %s, %s\n", r.GetId(), r.GetFlag(), r.GetSeat(), r.GetStable(), r.GetCandidate(), phaseText(r))
	doubts := 0
	for _, e := range r.GetEvents() {
		fmt.Fprintf(a.stdout, "\n%s by %s", eventLine(e), who(e.GetActor()))
		if e.GetRule() != "" {
			fmt.Fprintf(a.stdout, " (rule %s)", e.GetRule())
		}
		if e.GetOverride() {
			fmt.Fprint(a.stdout, ", an override")
		}
		fmt.Fprintln(a.stdout)
		for _, x := range e.GetEvidence() {
			doubts += a.explainEvidence(plan, e, x)
		}
	}
	if doubts > 0 {
		return failed("hoist rollout get "+r.GetId(), "%d record(s) do not give the verdict that was acted on", doubts)
	}
	return nil
}
