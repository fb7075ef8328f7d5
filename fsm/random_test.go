package fsm_test

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// drawCommand draws a command over a handful of keys, so that commands meet: some are refused, and some are no-ops.
func drawCommand(t *rapid.T, depth int) fsm.Command {
	key := rapid.SampledFrom([]string{"a", "b", "c", "A", "deep.d"}).Draw(t, "key")
	switch kind := rapid.IntRange(0, 13).Draw(t, "kind"); {
	case kind < 5:
		return fsm.PutFlag{Scope: dev, Flag: drawFlag(t, key)}
	case kind == 5:
		return fsm.DeleteFlag{Scope: dev, Key: key}
	case kind == 6:
		return fsm.SetEnabled{Scope: dev, Key: key, Enabled: rapid.Bool().Draw(t, "enabled")}
	case kind == 7:
		return fsm.SetArchived{Scope: dev, Key: key, Archived: rapid.Bool().Draw(t, "archived")}
	case kind == 8:
		return fsm.Kill{Scope: dev, Key: key, Reason: rapid.SampledFrom([]string{"", "errors"}).Draw(t, "reason")}
	case kind == 9:
		return fsm.Unkill{Scope: dev, Key: key}
	case kind == 10:
		return fsm.PutSegment{Scope: dev, Segment: drawSegment(t, rapid.SampledFrom([]string{"s", "t"}).Draw(t, "segment"))}
	case kind == 11:
		return fsm.DeleteSegment{Scope: dev, Key: rapid.SampledFrom([]string{"s", "t"}).Draw(t, "segment")}
	case kind == 12:
		return fsm.Restore{Scope: dev, Object: fsm.ObjectFlag, Key: key, Revision: rapid.Uint64Range(1, 30).Draw(t, "revision")}
	case depth == 0:
		return fsm.Unkill{Scope: dev, Key: key}
	}
	var commands []fsm.Command
	for range rapid.IntRange(1, 4).Draw(t, "size") {
		commands = append(commands, drawCommand(t, 0))
	}
	return fsm.Batch{Scope: dev, Commands: commands}
}

// drawRollout is what people do to rollouts, sensible or not.
func drawRollout(t *rapid.T, n *node) fsm.Command {
	switch rapid.IntRange(0, 5).Draw(t, "rollout") {
	case 0:
		of := rapid.SampledFrom([]fsm.FreezeOf{"", fsm.OfTenant, fsm.OfCluster}).Draw(t, "of")
		return fsm.Freeze{Scope: dev, Of: of, Reason: "r", For: fsm.Duration(rapid.SampledFrom([]int64{0, 50_000}).Draw(t, "for"))}
	case 1:
		return fsm.Unfreeze{Scope: dev, Of: rapid.SampledFrom([]fsm.FreezeOf{"", fsm.OfTenant, fsm.OfCluster}).Draw(t, "of")}
	case 2:
		return fsm.KillRollouts{Scope: dev}
	case 3:
		if all := n.env().Rollouts(); len(all) > 0 {
			return fsm.MoveRollout{Scope: dev, ID: rapid.SampledFrom(all).Draw(t, "which").ID, Reason: "r", Move: rapid.SampledFrom([]fsm.Move{
				fsm.MovePause, fsm.MoveResume, fsm.MovePromote, fsm.MovePromoteFull, fsm.MoveSkip, fsm.MoveAbort, fsm.MoveRetry}).Draw(t, "move")}
		}
	}
	weight, key := fsm.Percent(rapid.IntRange(1, 100_000).Draw(t, "weight")), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
	return fsm.StartRollout{Scope: dev, Supersede: rapid.Bool().Draw(t, "supersede"), Plan: &fsm.Plan{Name: "p", Flag: key,
		Notify: rapid.SampledFrom([][]string{nil, {"webhook:releases"}}).Draw(t, "notify"),
		Target: fsm.PlanTarget{Variant: rapid.SampledFrom([]string{"on", "off"}).Draw(t, "target")}, Analysis: fsm.Analysis{None: true},
		Steps: []fsm.Step{{SetWeight: &weight}, {Hold: &fsm.Hold{For: 1000}}}}}
}

func drawFlag(t *rapid.T, key string) *evaluator.Flag {
	yes, no := evaluator.Bool(true), evaluator.Bool(false)
	f := &evaluator.Flag{Key: key, Type: evaluator.TypeBoolean, Enabled: rapid.Bool().Draw(t, "on"), Off: "off",
		Name:     rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "name"),
		Variants: []evaluator.Variant{{Key: "on", Value: &yes}, {Key: "off", Value: &no}},
		Default:  &evaluator.Serve{Variant: "on"}}
	if rapid.Bool().Draw(t, "third") {
		f.Variants = append(f.Variants, evaluator.Variant{Key: "in-code"})
	}
	if rapid.Bool().Draw(t, "split") {
		weight := rapid.IntRange(0, 100_000).Draw(t, "weight")
		f.Default = &evaluator.Serve{Split: &evaluator.Split{Weights: []evaluator.Weight{
			{Variant: "on", Weight: weight}, {Variant: "off", Weight: 100_000 - weight}}}}
	}
	if needs := rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(t, "needs"); needs != "" {
		variant := rapid.SampledFrom([]string{"on", "in-code"}).Draw(t, "asks")
		f.Prerequisites = []evaluator.Prerequisite{{Flag: needs, Variants: []string{variant}}}
	}
	if segment := rapid.SampledFrom([]string{"", "s", "t"}).Draw(t, "in"); segment != "" {
		f.Rules = []evaluator.Rule{{ID: "r", Then: evaluator.Serve{Variant: "off"},
			If: []evaluator.Clause{{Operator: "segment", Values: []evaluator.Value{evaluator.String(segment)}}}}}
	}
	return f
}

func drawSegment(t *rapid.T, key string) *evaluator.Segment {
	s := &evaluator.Segment{Key: key, Include: []string{fmt.Sprint("user-", rapid.IntRange(0, 3).Draw(t, "user"))}}
	if inner := rapid.SampledFrom([]string{"", "s", "t"}).Draw(t, "inner"); inner != "" {
		s.Rules = []evaluator.SegmentRule{{If: []evaluator.Clause{{Operator: "segment", Values: []evaluator.Value{evaluator.String(inner)}}}}}
	}
	return s
}

// drawLog gives a log of random commands, retries and system commands, already applied to n.
func drawLog(t *rapid.T, n *node, length int) {
	var sent []*fsm.Proposal
	for range length {
		switch rapid.IntRange(0, 9).Draw(t, "entry") {
		case 0:
			n.store.Apply([]fsm.Entry{{Index: n.store.State().Index() + 1, Term: n.term}})
			n.log = append(n.log, fsm.Entry{Index: n.store.State().Index(), Term: n.term})
		case 1:
			if len(sent) > 0 {
				n.apply(rapid.SampledFrom(sent).Draw(t, "retry"))
			}
		case 3:
			n.apply(n.proposal(drawRollout(t, n)))
		case 2:
			n.now += rapid.SampledFrom([]int64{-500, 60_000, 13 * 3600_000}).Draw(t, "time")
		default:
			p := n.proposal(drawCommand(t, 1))
			if rapid.Bool().Draw(t, "v7") {
				p.RequestID = uuid7(n.now, n.ids)
			}
			sent = append(sent, p)
			n.apply(p)
		}
	}
}
