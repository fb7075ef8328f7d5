package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

const once = `{name: m, count: %d, interval: 5s, failureCondition: "result[0] > 0.5", prometheus: {address: "http://p", query: "{{args.cohort}}"}}`

// S2, S3-13: overrides. Promote ends a long hold and a running analysis; a full promote of what was aborted lands, and no
// run that was never due is made up.
func TestOverridesSkipWhatWasPlanned_S3_13(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		step := "analysis: {metrics: [" + fmt.Sprintf(once, 1000) + "]}"
		id := w.start("name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 10}, {hold: 24h}, {" + step + "}, {hold: {}}, {" + step + "}]\n" +
			"analysis: {background: {startingStep: 4, metrics: [" + fmt.Sprintf(once, 1) + "]}}\n")
		w.after(time.Second)
		require.Equal(t, 1, w.get(id).Step)
		w.move(id, fsm.MovePromote)
		w.after(time.Second)
		require.Equal(t, 2, w.get(id).Step)
		require.Equal(t, fsm.RunRunning, w.get(id).Runs[0].Phase)
		w.move(id, fsm.MovePromote)
		w.after(time.Second)
		r := w.get(id)
		require.Equal(t, fsm.ReasonHold, r.Reason)
		require.Equal(t, fsm.RunOverridden, r.Runs[0].Phase)
		require.Equal(t, "ann", r.Runs[0].By.ID)
		w.move(id, fsm.MoveAbort)
		require.Equal(t, fsm.PhaseAborted, w.get(id).Phase)
		_, err := w.try(fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MovePromote})
		require.ErrorContains(t, err, "retry")
		w.move(id, fsm.MovePromoteFull)
		w.after(time.Minute)
		r = w.get(id)
		require.Equal(t, fsm.PhaseCompleted, r.Phase)
		require.Equal(t, 1, r.RunCount, "one run ever")
		last := r.History()[len(r.History())-1]
		require.True(t, last.Override)
		audit := w.store.State().Audit(0, 1<<20)
		require.Equal(t, "rollout.promote-full.override", audit[len(audit)-2].Verb, "the row names it; the landing is in the same entry")
	})
}

// S3, S3-03: the background analysis begins at its step, not before, and goes on while the rollout waits for a person.
func TestBackgroundAnalysisBeginsAtItsStep_S3_03(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		plan := "name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 10}, {hold: 20s}, {setWeight: 50}, {hold: {}}]\n" +
			`analysis: {background: {startingStep: 3, metrics: [{name: m, interval: 5s, failureCondition: "result[0] > 0.5", prometheus: {address: "http://p", query: "{{args.cohort}}"}}]}}` + "\n"
		id := w.start(plan)
		w.after(19 * time.Second)
		require.Empty(t, w.get(id).Runs)
		require.Zero(t, w.questions())
		w.after(30 * time.Second)
		r := w.get(id)
		require.Equal(t, fsm.ReasonHold, r.Reason)
		require.Len(t, r.Runs, 1)
		require.Equal(t, fsm.RunRunning, r.Runs[0].Phase)
		require.GreaterOrEqual(t, r.Runs[0].Metrics[0].Successful, 5)
		w.after(time.Hour)
		require.Equal(t, fsm.ReasonHold, w.get(id).Reason, "success never ends an indefinite hold")
		w.move(id, fsm.MovePromote)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
		require.Equal(t, fsm.RunSuccessful, w.get(id).Runs[0].Phase)
	})
	within(t, func(w *world) { // promoted before it measured
		w.flag("f")
		w.provide(func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{}, errors.New("down") })
		id := w.start("name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 10}, {hold: {}}]\n" +
			"analysis: {background: {metrics: [" + fmt.Sprintf(once, 3) + "]}}\n")
		w.after(2 * time.Second)
		w.move(id, fsm.MovePromote)
		require.Equal(t, fsm.RunCancelled, w.get(id).Runs[0].Phase, "nothing unmeasured is called successful")
	})
}

// S20: a ring of people like those with a header, an analysis of three measurements, then everybody.
func TestARingIsMeasuredAndThenLands(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		segment, err := evaluator.DecodeSegment([]byte(`{"key":"testers","rules":[{"if":[{"attribute":"agent","operator":"in","values":["tester"]}]}]}`))
		require.NoError(t, err)
		w.do(fsm.PutSegment{Scope: dev, Segment: segment})
		id := w.start("name: p\nflag: f\ntarget: {variant: \"on\"}\nstrategy: rings\nrings: [{name: inner, segments: [testers]}]\n" +
			"steps: [{setRing: inner}, {analysis: {metrics: [" + fmt.Sprintf(once, 3) + "]}}]\n")
		share := func(agent string) (on int) {
			live, _ := w.store.Live(dev.Tenant, dev.Environment)
			for i := range 1000 {
				if live.Snapshot().Evaluate("f", &evaluator.Context{TargetingKey: fmt.Sprint("u", i),
					Attributes: []evaluator.Attribute{{Name: "agent", Value: evaluator.String(agent)}}}).Variant == "on" {
					on++
				}
			}
			return on
		}
		w.after(time.Second)
		require.Equal(t, 1000, share("tester"))
		require.Zero(t, share("browser"))
		w.after(time.Minute)
		r := w.get(id)
		require.Equal(t, fsm.PhaseCompleted, r.Phase)
		require.Equal(t, 3, r.Runs[0].Metrics[0].Count)
		require.Equal(t, 1000, share("browser"))
	})
}

// What a provider does wrong is an error or no data, each as the manual says, and never an advance.
func TestFaultsOfAProviderNeverAdvance(t *testing.T) {
	answer := func(v any) func(rollout.Query) (rollout.Answer, error) {
		return func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{Value: v}, nil }
	}
	fault := func(text string) func(rollout.Query) (rollout.Answer, error) {
		return func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{}, errors.New(text) }
	}
	for name, c := range map[string]struct {
		answer func(rollout.Query) (rollout.Answer, error)
		delay  time.Duration
		phase  fsm.Phase
		reason fsm.Reason
	}{
		"down":                      {fault("connection refused"), 0, fsm.PhaseRolledBack, ""},
		"500s":                      {fault("it answers 500"), 0, fsm.PhaseRolledBack, ""},
		"a redirect":                {fault("it redirects"), 0, fsm.PhaseRolledBack, ""},
		"garbage":                   {fault("the answer is no JSON"), 0, fsm.PhaseRolledBack, ""},
		"a value of another kind":   {answer(map[string]any{"a": 1.0}), 0, fsm.PhaseRolledBack, ""},
		"slower than its timeout":   {values(0), 40 * time.Second, fsm.PhaseRolledBack, ""},
		"NaN":                       {values(math.NaN()), 0, fsm.PhasePaused, fsm.ReasonNoData},
		"an empty vector":           {answer([]float64{}), 0, fsm.PhasePaused, fsm.ReasonNoData},
		"nothing":                   {answer(nil), 0, fsm.PhasePaused, fsm.ReasonNoData},
		"slow, but within the time": {values(0), 10 * time.Second, fsm.PhaseCompleted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(w *world) {
				w.flag("f")
				w.mu.Lock()
				w.answer, w.delay = c.answer, c.delay
				w.mu.Unlock()
				id := w.start(canary)
				w.after(6 * time.Minute)
				r := w.get(id)
				require.Equal(t, c.phase, r.Phase, "%+v", r.Runs[0].Metrics[0].Newest())
				require.Equal(t, c.reason, r.Reason)
				if c.phase == fsm.PhaseCompleted {
					return
				}
				for _, e := range r.History() {
					require.LessOrEqual(t, e.Weight, fsm.Percent(10_000), "it never advances")
				}
			})
		})
	}
}

func (w *world) wait(ctx context.Context) error {
	w.mu.Lock()
	delay := w.delay
	w.mu.Unlock()
	if delay == 0 {
		return nil
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
