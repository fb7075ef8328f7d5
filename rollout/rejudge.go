package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/hoistflags/hoist/fsm"
)

// Reader reads the value out of an answer as the provider of a metric gave it.
type Reader func(by *fsm.Metric, raw []byte) (any, error)

// Rejudge judges the log of one rollout again, record by record from the first on: each measurement by the provider's own
// answer, each counter of an event by the measurements before it.
type Rejudge struct {
	Plan *fsm.Plan
	Read Reader

	counted map[series]*fsm.MetricState
}

// Remeasured is one measurement, judged again.
type Remeasured struct {
	Verdict fsm.Verdict // derived again; empty when nothing is there to derive it from
	FromRaw bool        // from the provider's own bytes, not from the value that was read out of them
	Doubt   string      // where the record does not give what was acted on; empty: it does
}

// Measured takes the next measurement.
func (j *Rejudge) Measured(x *fsm.MeasuredRecord) Remeasured {
	j.count(x)
	by := metricNamed(j.Plan, x.Kind, x.Step, x.Metric)
	if by == nil {
		return Remeasured{Doubt: "the plan has no metric " + x.Metric}
	}
	m := &x.Measurement
	if x.Raw.Whole() && m.Digest != "" {
		if digest := sha256.Sum256(x.Raw.Bytes); hex.EncodeToString(digest[:]) != m.Digest {
			return Remeasured{Doubt: "the answer is not the one whose digest was recorded"}
		}
	}
	if again, ok := j.fromRaw(by, x); ok {
		return settled(Remeasured{Verdict: again, FromRaw: true}, m)
	}
	again, ok := verdictAgain(by, m)
	if !ok {
		return Remeasured{}
	}
	return settled(Remeasured{Verdict: again}, m)
}

func settled(r Remeasured, m *fsm.Measurement) Remeasured {
	if r.Verdict != m.Verdict {
		r.Doubt = fmt.Sprintf("this is %s by its conditions, but %s was recorded", r.Verdict, m.Verdict)
	}
	return r
}

// fromRaw reads the answers again. It reports false where they were cut off or nobody answered.
func (j *Rejudge) fromRaw(by *fsm.Metric, x *fsm.MeasuredRecord) (fsm.Verdict, bool) {
	if j.Read == nil || by.BurnRate != nil || !x.Raw.Whole() || x.StableRaw != nil && !x.StableRaw.Whole() {
		return "", false
	}
	asked := by.GuardStable || comparesStable(by)
	if asked && x.StableRaw == nil {
		return "", false
	}
	value, err := j.Read(by, x.Raw.Bytes)
	if err != nil {
		return "", false
	}
	stable := reply{asked: asked}
	if asked {
		if stable.Value, err = j.Read(by, x.StableRaw.Bytes); err != nil {
			return "", false
		}
	}
	return judge(by, reply{asked: true, Answer: Answer{Value: value}}, stable).Verdict, true
}

func (j *Rejudge) count(x *fsm.MeasuredRecord) {
	if j.counted == nil {
		j.counted = map[series]*fsm.MetricState{}
	}
	at := series{x.Run, x.Metric}
	m := j.counted[at]
	if m == nil {
		m = &fsm.MetricState{Name: x.Metric}
		j.counted[at] = m
	}
	m.Add(x.Measurement)
}

// Event compares what an event says of its metrics with the measurements that came before it, and says where they differ.
func (j *Rejudge) Event(e *fsm.Event) (doubts []string) {
	for _, x := range e.Evidence {
		have := j.counted[series{x.Run, x.Name}]
		if have == nil {
			have = &fsm.MetricState{}
		}
		if want := tally(&x.MetricState); tally(have) != want {
			doubts = append(doubts, fmt.Sprintf("metric %s of run %d counted %s, the log holds %s", x.Name, x.Run, want, tally(have)))
		}
	}
	return doubts
}

func tally(m *fsm.MetricState) string {
	return fmt.Sprintf("%d successful, %d failed, %d inconclusive, %d errors, %d without data, %d errors and %d successes in a row", m.Successful, m.Failed,
		m.Inconclusive, m.Errors, m.NoData, m.ConsecutiveErrors, m.ConsecutiveSuccess)
}

// metricNamed finds a metric of the plan; nil when there is none.
func metricNamed(plan *fsm.Plan, kind fsm.RunKind, step int, name string) *fsm.Metric {
	list, steps := []fsm.Metric(nil), plan.Ladder()
	switch b := plan.Analysis.Background; {
	case kind == fsm.RunBackground && b != nil:
		list = b.Metrics
	case kind == fsm.RunInline && step < len(steps) && steps[step].Analysis != nil:
		list = steps[step].Analysis.Metrics
	}
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}
