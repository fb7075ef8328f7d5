package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) rolloutReplayCommand() *cobra.Command {
	var policy string
	c := &cobra.Command{
		Use: "replay ID", Short: "Judge every move of a rollout again from its records, also by another plan",
		Long: `Judge a rollout again, here, from nothing but the records of its moves: each kept answer by the conditions of its metric, each metric by its
numbers, each move of the controller by the rules. The command fails when a record does not give what was acted on, or when the chain of
the records is broken. With --policy FILE it also says what another plan, with the same steps, would have done on the same answers.`,
		Example: "  hoist rollout replay checkout-42\n  hoist rollout replay checkout-42 --policy stricter.yaml", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			var other *fsm.Plan
			if policy != "" {
				if other, err = policyFile(policy); err != nil {
					return err
				}
			}
			return a.replayRollout(cmd.Context(), n, args[0], other)
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "another plan with the same steps, to see what it would have done")
	return a.printing(a.scoped(c), "table")
}

func policyFile(path string) (*fsm.Plan, error) {
	text, _, err := readPlan(path)
	if err != nil {
		return nil, err
	}
	return rollout.ParsePlan([]byte(text))
}

func (a *app) replayRollout(ctx context.Context, n *node, id string, other *fsm.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	got, err := n.rollouts.Get(ctx, &hoistv1.GetRolloutRequest{Environment: n.environment, Id: id, Records: true})
	if err != nil {
		return err
	}
	r := got.GetRollout()
	plan, err := planOf(r)
	if err != nil {
		return err
	}
	if other != nil && len(other.Ladder()) != len(plan.Ladder()) {
		return failed("a plan with the steps of "+id, "--policy: it has %d steps, the rollout has %d", len(other.Ladder()), len(plan.Ladder()))
	}
	var events []*fsm.Event
	for _, record := range r.GetRecords() {
		e, err := fsm.DecodeEvent(record)
		if err != nil {
			return fmt.Errorf("a record of rollout %s: %w", id, err)
		}
		events = append(events, e)
	}
	doubts, judged, moves, last := 0, 0, 0, uint64(0)
	for _, x := range rollout.Replay(plan, other, events) {
		a.showReplayed(&x)
		doubts, judged = doubts+len(x.Doubts), judged+x.Judged
		if x.Again != nil && x.Event.Revision != last { // landing is two events of one move
			moves++
		}
		last = x.Event.Revision
	}
	chain := "the chain of the records is whole"
	switch first := len(events) > 0 && events[0].Seq == 1; {
	case !first:
		chain = "the oldest records are gone, so the chain cannot be followed from its beginning"
	case fsm.ChainEvents(r.GetRecords()) != r.GetRecordHead():
		doubts++
		chain = "the chain of the records is broken: one of them was altered"
	}
	fmt.Fprintf(a.stdout, "\n%d verdict(s) and %d move(s) of the controller judged again; %s\n", judged, moves, chain)
	if doubts > 0 {
		return failed("hoist rollout explain "+id, "%d record(s) do not give what was acted on", doubts)
	}
	return nil
}

func (a *app) showReplayed(x *rollout.Replayed) {
	e := x.Event
	fmt.Fprintf(a.stdout, "%s  %-11s step %d at %s", time.UnixMilli(e.At).Local().Format(time.DateTime), e.Kind, e.Step, e.Weight)
	switch {
	case x.Again != nil && len(x.Doubts) == 0:
		fmt.Fprintf(a.stdout, "  again %s by %s", x.Again.Move, x.Again.Rule)
	case e.Rule == "":
		fmt.Fprintf(a.stdout, "  by %s", e.Actor.ID)
	}
	fmt.Fprintln(a.stdout)
	for _, doubt := range x.Doubts {
		fmt.Fprintf(a.stdout, "    doubt: %s\n", doubt)
	}
	if x.Other == nil || x.Again != nil && x.Other.Move == x.Again.Move && x.Other.Pause == x.Again.Pause || x.Again == nil && x.Other.Move == "" {
		return
	}
	move := string(x.Other.Move)
	if move == "" {
		move = "nothing"
	}
	fmt.Fprintf(a.stdout, "    by the other plan: %s by %s: %s\n", move, x.Other.Rule, x.Other.Why)
	if len(x.Notes) > 0 {
		fmt.Fprintf(a.stdout, "      (%s)\n", strings.Join(x.Notes, "; "))
	}
}

// planOf is the plan that a rollout was started with.
func planOf(r *hoistv1.Rollout) (*fsm.Plan, error) {
	data, err := r.GetPlan().MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("the plan of the rollout: %w", err)
	}
	plan, err := rollout.ParsePlan(data)
	if err != nil {
		return nil, fmt.Errorf("the plan of the rollout: %w", err)
	}
	return plan, nil
}
