package rollout_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// number reads answers that are one JSON number, as a vector of one.
func number(_ *fsm.Metric, raw []byte) (any, error) {
	var f float64
	err := json.Unmarshal(raw, &f)
	return []float64{f}, err
}

// logged are the records of the log of rollouts, as nodes keep them, from the entries of the world.
func (w *world) logged(t *testing.T) (out []*fsm.RolloutRecord) {
	store := fsm.NewStore()
	for _, e := range w.log {
		store.Apply([]fsm.Entry{e})
		for _, row := range store.State().RolloutLog().News() {
			x, err := fsm.DecodeRolloutRecord(row.Record)
			require.NoError(t, err)
			out = append(out, x)
		}
	}
	return out
}

// S0-22: whatever the answers were, each verdict follows again from the provider's bytes and each counter from the answers.
func TestEveryVerdictFollowsAgainFromTheAnswers(t *testing.T) {
	for name, answers := range map[string][]float64{"healthy": {0}, "poisoned": {0.4}, "half": {0.01, 0.04, 0.01}} {
		t.Run(name, func(t *testing.T) {
			within(t, func(w *world) {
				w.flag("f")
				asked := 0
				w.provide(func(rollout.Query) (rollout.Answer, error) {
					asked++
					f := answers[asked%len(answers)]
					if asked%7 == 0 {
						return rollout.Answer{}, fmt.Errorf("nobody answers")
					}
					return rollout.Answer{Value: []float64{f}, Raw: fmt.Append(nil, f)}, nil
				})
				w.start(strings.ReplaceAll(canary, "interval: 10s", "interval: 10s\n        guardStable: true"))
				w.after(5 * time.Minute)
				j, raw, measured := &rollout.Rejudge{Read: number}, 0, 0
				for _, x := range w.logged(t) {
					if x.Plan != nil {
						j.Plan = x.Plan
					}
					if x.Event != nil {
						require.Empty(t, j.Event(x.Event))
					}
					for i := range x.Measured {
						again := j.Measured(&x.Measured[i])
						require.Empty(t, again.Doubt)
						if measured++; again.FromRaw {
							raw++
						}
					}
				}
				require.Positive(t, raw)
				require.LessOrEqual(t, raw, measured)
			})
		})
	}
}

func TestAnAlteredLogIsDoubted(t *testing.T) {
	plan, err := rollout.ParsePlan([]byte(canary))
	require.NoError(t, err)
	record := func(change func(x *fsm.MeasuredRecord)) rollout.Remeasured {
		digest := sha256.Sum256([]byte("0.4"))
		x := &fsm.MeasuredRecord{Run: 1, Kind: fsm.RunBackground, Metric: "errors", Raw: fsm.NewRawAnswer([]byte("0.4")),
			Measurement: fsm.Measurement{Verdict: fsm.VerdictFailed, Value: "[0.4]", Digest: hex.EncodeToString(digest[:])}}
		change(x)
		return (&rollout.Rejudge{Plan: plan, Read: number}).Measured(x)
	}
	require.Equal(t, rollout.Remeasured{Verdict: fsm.VerdictFailed, FromRaw: true}, record(func(*fsm.MeasuredRecord) {}))
	require.Contains(t, record(func(x *fsm.MeasuredRecord) { x.Raw = fsm.NewRawAnswer([]byte("0.0")) }).Doubt, "digest")
	require.Contains(t, record(func(x *fsm.MeasuredRecord) { x.Measurement.Verdict = fsm.VerdictSuccessful }).Doubt, "this is Failed by its conditions")
	require.Contains(t, record(func(x *fsm.MeasuredRecord) { x.Metric = "other" }).Doubt, "no metric other")
	require.Equal(t, rollout.Remeasured{Verdict: fsm.VerdictFailed}, record(func(x *fsm.MeasuredRecord) { x.Raw.Size = 9000 }), "cut off: from the value")
	require.Equal(t, rollout.Remeasured{}, record(func(x *fsm.MeasuredRecord) { x.Raw, x.Measurement = nil, fsm.Measurement{Verdict: fsm.VerdictError} }))

	j := &rollout.Rejudge{Plan: plan, Read: number}
	e := &fsm.Event{Evidence: []fsm.Evidence{{Run: 1, MetricState: fsm.MetricState{Name: "errors", Failed: 1, Count: 1}}}}
	require.Contains(t, j.Event(e)[0], "metric errors of run 1 counted 0 successful, 1 failed")
	j.Measured(&fsm.MeasuredRecord{Run: 1, Kind: fsm.RunBackground, Metric: "errors", Measurement: fsm.Measurement{Verdict: fsm.VerdictFailed}})
	require.Empty(t, j.Event(e))
}

// However large and many the answers are, no entry is larger than a log takes.
func TestManyLargeAnswersFitIntoEntries(t *testing.T) {
	within(t, func(w *world) {
		large := []byte(strings.Repeat("x", 1<<20))
		w.provide(func(rollout.Query) (rollout.Answer, error) {
			return rollout.Answer{Value: []float64{0}, Raw: large}, nil
		})
		query := strings.Repeat("q", 6000)
		for i := range 120 {
			w.flag(fmt.Sprintf("f%d", i))
			w.start(strings.NewReplacer("flag: f\n", fmt.Sprintf("flag: f%d\n", i), `e{c=`, `e{q="`+query+`",c=`, "startingStep: 1", "startingStep: 0").Replace(canary))
		}
		w.after(15 * time.Second)
		measured := 0
		for _, e := range w.log {
			require.Less(t, len(e.Data), 128<<10)
		}
		for _, x := range w.logged(t) {
			measured += len(x.Measured)
		}
		require.GreaterOrEqual(t, measured, 120)
	})
}
