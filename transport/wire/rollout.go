package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// EncodeRollout turns a rollout into a message. Without detail the plan, the runs and the events are left out.
func EncodeRollout(env *fsm.Environment, r *fsm.Rollout, detail bool) (*hoistv1.Rollout, error) {
	m := &hoistv1.Rollout{
		Id: r.ID, Name: r.Name, Environment: env.Key(), Flag: r.Flag, Seat: r.Seat, Candidate: r.Candidate, Stable: r.Stable,
		Phase: string(r.Phase), Reason: string(r.Reason), Cause: r.Cause, NeedsHuman: r.NeedsHuman(), Attempt: int32(r.Attempt),
		Step: int32(r.Step), Weight: percent(r.Weight), Rings: r.Rings, CreatedAt: millis(r.CreatedAt), Since: millis(r.Since),
		HoldEnd: later(r.HoldEnd), EndedAt: later(r.EndedAt), By: EncodeActor(r.By), Stalled: r.Stalled, Revision: r.Revision,
		Seq: r.Seq, PlanHash: r.PlanHash(), Steps: steps(r.Steps()), Freeze: EncodeFreeze(env.FrozenFor(r.Flag)),
	}
	if r.Phase.Live() {
		m.EvidenceMissing = r.EvidenceMissing()
	}
	for _, a := range r.Approvals {
		m.Approvals = append(m.Approvals, EncodeActor(a))
	}
	if !detail {
		return m, nil
	}
	plan, err := planStruct(r.Plan())
	if err != nil {
		return nil, err
	}
	m.Plan = plan
	for i := range r.Runs {
		m.Runs = append(m.Runs, encodeRun(r, &r.Runs[i]))
	}
	for i := range r.History() {
		m.Events = append(m.Events, encodeEvent(r, &r.History()[i]))
	}
	return m, nil
}

// EncodeRecords gives the records of a rollout's events, and the head of their chain.
func EncodeRecords(r *fsm.Rollout) (records [][]byte, head string) {
	for _, e := range r.History() {
		records = append(records, e.Record())
	}
	return records, r.Head()
}

// EncodeReceivers tells how it goes with those a plan names.
func EncodeReceivers(state *fsm.State, p *fsm.Plan) (out []*hoistv1.NoticeReceiver) {
	for _, text := range p.Notify {
		m := &hoistv1.NoticeReceiver{Name: strings.TrimPrefix(text, fsm.NotifyWebhook)}
		if r, ok := state.Receiver(m.Name); ok {
			m.Waiting, m.Delivered, m.Dropped, m.DroppedAt, m.DroppedWhy = int32(len(r.Waiting())), r.Delivered, r.Dropped, later(r.DroppedAt), r.DroppedWhy
			m.Failing, m.FailingSince = r.Failing, later(r.FailingSince)
		}
		out = append(out, m)
	}
	return out
}

func planStruct(p *fsm.Plan) (*structpb.Struct, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", p.Name, err)
	}
	out := &structpb.Struct{}
	if err := out.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("plan %s: %w", p.Name, err)
	}
	return out, nil
}

func percent(p fsm.Percent) float64 { return float64(p) / 1000 }

// later is a time that may not have come.
func later(ms int64) *timestamppb.Timestamp {
	if ms == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMilli(ms))
}

func steps(list []fsm.Step) (out []*hoistv1.RolloutStep) {
	weight := fsm.Percent(0)
	for i := range list {
		if s := &list[i]; s.SetWeight != nil {
			weight = *s.SetWeight
		}
		out = append(out, &hoistv1.RolloutStep{Text: stepText(&list[i]), Weight: percent(weight)})
	}
	return out
}

func stepText(s *fsm.Step) string {
	switch {
	case s.SetWeight != nil:
		return "setWeight " + s.SetWeight.String()
	case s.SetRing != "":
		return "setRing " + s.SetRing
	case s.Hold != nil && s.Hold.Forever():
		return "hold until promoted"
	case s.Hold != nil:
		return "hold " + s.Hold.For.String()
	case s.Approval != nil:
		return fmt.Sprintf("approval by %d", max(1, s.Approval.Count))
	}
	var names []string
	for _, m := range s.Analysis.Metrics {
		names = append(names, m.Name)
	}
	return "analysis of " + strings.Join(names, ", ")
}

func encodeRun(r *fsm.Rollout, run *fsm.Run) *hoistv1.RolloutRun {
	m := &hoistv1.RolloutRun{Id: int32(run.ID), Kind: string(run.Kind), Step: int32(run.Step), Phase: string(run.Phase),
		Started: millis(run.Started), Ended: later(run.Ended)}
	if run.By != nil {
		m.OverriddenBy = EncodeActor(*run.By)
	}
	for i := range run.Metrics {
		m.Metrics = append(m.Metrics, encodeMetric(r.Metric(run, &run.Metrics[i]), &run.Metrics[i]))
	}
	return m
}

func encodeMetric(by *fsm.Metric, s *fsm.MetricState) *hoistv1.RolloutMetric {
	m := &hoistv1.RolloutMetric{Name: s.Name, DryRun: s.DryRun, Phase: string(s.Phase), Query: s.Query, Count: int32(s.Count),
		Successful: int32(s.Successful), Failed: int32(s.Failed), Inconclusive: int32(s.Inconclusive), Errors: int32(s.Errors),
		NoData: int32(s.NoData), ConsecutiveErrors: int32(s.ConsecutiveErrors), ConsecutiveSuccess: int32(s.ConsecutiveSuccess),
		SuccessCondition: by.SuccessCondition, FailureCondition: by.FailureCondition}
	for _, x := range s.Last {
		m.Measurements = append(m.Measurements, &hoistv1.RolloutMeasurement{At: millis(x.At), Verdict: string(x.Verdict),
			Value: x.Value, Stable: x.Stable, Detail: x.Detail, Digest: x.Digest})
	}
	return m
}

func encodeEvent(r *fsm.Rollout, e *fsm.Event) *hoistv1.RolloutEvent {
	m := &hoistv1.RolloutEvent{Seq: e.Seq, Revision: e.Revision, At: millis(e.At), Kind: e.Kind, Move: string(e.Move),
		Actor: EncodeActor(e.Actor), Attempt: int32(e.Attempt), From: int32(e.From), Step: int32(e.Step), Weight: percent(e.Weight),
		Phase: string(e.Phase), Reason: string(e.Pause), Rule: e.Rule, Why: e.Why, Override: e.Override}
	for i := range e.Evidence {
		x := &e.Evidence[i]
		by := r.Metric(&fsm.Run{Kind: x.Kind, Step: x.Step}, &x.MetricState)
		m.Evidence = append(m.Evidence, &hoistv1.RolloutEvidence{Run: int32(x.Run), Kind: string(x.Kind), Step: int32(x.Step),
			Metric: encodeMetric(by, &x.MetricState)})
	}
	return m
}

// EncodeFreeze turns a freeze into a message; nil for none.
func EncodeFreeze(f *fsm.Frozen) *hoistv1.Freeze {
	if f == nil {
		return nil
	}
	return &hoistv1.Freeze{Reason: f.Reason, By: EncodeActor(f.By), Since: millis(f.Since), Until: later(f.Until),
		Of: string(f.Of), Flag: f.Flag, Kind: string(f.Kind)}
}

// EncodeBudget turns an error budget into a message; nil for none.
func EncodeBudget(env *fsm.Environment) *hoistv1.Budget {
	b, burn, _ := env.Budget()
	if b == nil {
		return nil
	}
	return &hoistv1.Budget{Objective: b.Objective, Period: b.Span().String(), Interval: b.Every().String(), Address: b.Address, Bad: b.Bad, Total: b.Total,
		Tier: string(burn.Tier), Numbers: burn.Numbers, At: later(burn.At), Failing: burn.Failing}
}
