package rollout_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

const canary = `
kind: RolloutPlan
name: p
flag: f
target: {variant: "on"}
steps:
  - setWeight: 10
  - hold: 60s
  - setWeight: 50
  - hold: 60s
  - setWeight: 100
  - hold: 60s
analysis:
  background:
    startingStep: 1
    metrics:
      - name: errors
        interval: 10s
        failureCondition: result[0] > 0.05
        successCondition: result[0] <= 0.02
        inconclusiveLimit: 1
        prometheus: {address: "http://p", query: 'e{c="{{args.cohort}}"}'}
`

// S3-06, S0-05: a healthy canary goes all the way with no human.
func TestHealthyCanaryPromotesItself(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(canary)
		w.after(4 * time.Minute)
		r := w.get(id)
		require.Equal(t, fsm.PhaseCompleted, r.Phase)
		require.Equal(t, []string{"step", "holding", "step", "holding", "step", "holding", "step", "completed"}, events(r))
		require.GreaterOrEqual(t, r.EndedAt-r.CreatedAt, (180 * time.Second).Milliseconds(), "no hold is cut short")
		require.Equal(t, fsm.RunSuccessful, r.Runs[0].Phase)
		require.Equal(t, 1, r.RunCount)
	})
}

// S0-06, S3-05: a poisoned one goes back alone, within an interval.
func TestPoisonedCanaryRollsBackAndNamesTheMetric(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(func(q rollout.Query) (rollout.Answer, error) {
			require.Equal(t, `e{c="on"}`, q.Text)
			return rollout.Answer{Value: []float64{0.4}}, nil
		})
		id := w.start(canary)
		w.after(15 * time.Second)
		r := w.get(id)
		require.Equal(t, fsm.PhaseRolledBack, r.Phase)
		require.Contains(t, r.Cause, "errors")
		require.Contains(t, r.Cause, "[0.4]")
		require.Contains(t, r.Cause, "result[0] > 0.05")
		last := r.History()[len(r.History())-1]
		require.Equal(t, "D2", last.Rule)
		require.Equal(t, "[0.4]", last.Evidence[0].Last[0].Value)
		asked := w.questions()
		w.after(time.Hour)
		require.Equal(t, asked, w.questions(), "nothing is measured after the end")
		require.Equal(t, []string{"step", "holding", "rolled_back"}, events(w.get(id)))
	})
}

// S3-08: neither condition holds; a person decides.
func TestInconclusiveWaitsForAPerson(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values(0.03))
		id := w.start(canary)
		w.after(30 * time.Second)
		require.Equal(t, fsm.ReasonInconclusive, w.get(id).Reason)
		w.after(24 * time.Hour)
		require.Equal(t, fsm.PhasePaused, w.get(id).Phase)
		require.Equal(t, fsm.Percent(10_000), w.get(id).Weight)
		w.provide(values(0))
		w.move(id, fsm.MoveResume)
		w.after(5 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
	})
}

// S22: no data waits at its weight and goes on by itself; it is never a success.
func TestNoDataPausesAndGoesOnByItself(t *testing.T) {
	for name, nothing := range map[string][]float64{"an empty vector": {}, "NaN": {math.NaN()}} {
		t.Run(name, func(t *testing.T) {
			within(t, func(w *world) {
				w.flag("f")
				w.provide(values(nothing...))
				id := w.start(canary)
				w.after(10 * time.Minute)
				r := w.get(id)
				require.Equal(t, fsm.ReasonNoData, r.Reason)
				require.False(t, r.NeedsHuman())
				require.Equal(t, fsm.Percent(10_000), r.Weight)
				require.Zero(t, r.Runs[0].Metrics[0].Successful)
				require.Equal(t, []string{"step", "holding", "paused"}, events(r), "one event, not one per measurement")
				w.provide(values(0))
				w.after(5 * time.Minute)
				require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
			})
		})
	}
}

func TestNoDataForAnHourNeedsAPerson(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values())
		id := w.start(canary)
		w.after(62 * time.Minute)
		require.Equal(t, fsm.ReasonNoDataTimeout, w.get(id).Reason)
		require.True(t, w.get(id).NeedsHuman())
	})
}

// A provider that is down never lets a rollout go on; five errors in a row go back.
func TestProviderDownNeverAdvances(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{}, errors.New("connection refused") })
		id := w.start(canary)
		w.after(35 * time.Second)
		d := rollout.Decide(time.Now(), w.get(id), rollout.Gates{})
		require.Equal(t, rollout.ProviderDown, d.Conditions[0].Name)
		w.after(30 * time.Second)
		r := w.get(id)
		require.Equal(t, fsm.PhaseRolledBack, r.Phase)
		require.Equal(t, fsm.RunError, r.Runs[0].Phase)
	})
}

// S18: never roll back to something known to be broken.
func TestBothCohortsFailingPausesInsteadOfRollingBack(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values(0.9))
		id := w.start(strings.Replace(canary, "inconclusiveLimit: 1", "guardStable: true", 1))
		w.after(20 * time.Second)
		require.Equal(t, fsm.ReasonStableUnhealthy, w.get(id).Reason)
		require.Equal(t, fsm.Percent(10_000), w.get(id).Weight)
	})
}

// S5: inline analyses, each a run of its own.
func TestInlineAnalysisEndsItsStep(t *testing.T) {
	inline := `{analysis: {metrics: [{name: m, count: 2, interval: 10s, successCondition: 'result > 0', web: {url: "http://w/{{args.cohort}}"}}]}}`
	plan := "name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 10}, " + inline + ", {hold: {}}, " + inline + ", " + inline + "]\n"
	within(t, func(w *world) {
		w.flag("f")
		w.provide(func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{Value: 1.0}, nil })
		id := w.start(plan)
		w.after(time.Hour)
		require.Equal(t, fsm.ReasonHold, w.get(id).Reason, "no success ends an indefinite hold")
		require.Equal(t, 1, w.get(id).RunCount)
		w.move(id, fsm.MovePromote)
		w.after(time.Hour)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
		require.Equal(t, 3, w.get(id).RunCount)
	})
	within(t, func(w *world) {
		w.flag("f")
		w.provide(func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{Value: -1.0}, nil })
		id := w.start(plan)
		w.after(time.Minute)
		require.Equal(t, fsm.PhaseRolledBack, w.get(id).Phase)
		require.Zero(t, w.get(id).Weight)
	})
}

// S13: the deadline counts only time in which the rollout tries to go on.
func TestDeadlineCountsOnlyVainTrying(t *testing.T) {
	plan := func(on string) string {
		return strings.Replace(canary, "interval: 10s", "interval: 10s\n        initialDelay: 5m", 1) + "progressDeadline: 5s\nonDeadline: " + on + "\n"
	}
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(canary + "progressDeadline: 5s\n")
		w.after(5 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
		require.NotContains(t, events(w.get(id)), "stalled", "holds do not count")
	})
	for on, want := range map[string]fsm.Phase{"none": fsm.PhaseHolding, "rollback": fsm.PhaseRolledBack, "pause": fsm.PhasePaused} {
		within(t, func(w *world) {
			w.flag("f")
			id := w.start(plan(on))
			w.after(80 * time.Second)
			require.Equal(t, want, w.get(id).Phase, on)
			if on == "none" {
				require.True(t, w.get(id).Stalled)
				require.Equal(t, []string{"step", "holding", "stalled"}, events(w.get(id)))
			}
		})
	}
}

// S24: everything holds while it is frozen, and the hold is longer by that time.
func TestFreezeHoldsAndShifts(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(canary)
		w.after(30 * time.Second)
		end := w.get(id).HoldEnd
		w.do(fsm.Freeze{Scope: dev, Reason: "incident", For: fsm.Duration((7 * time.Minute).Milliseconds())})
		w.after(6 * time.Minute)
		require.Equal(t, fsm.Percent(10_000), w.get(id).Weight)
		require.Equal(t, "D6", rollout.Decide(time.Now(), w.get(id), rollout.Gates{Frozen: frozen(w)}).Rule)
		w.after(61 * time.Second)
		require.Nil(t, frozen(w), "it ended by itself, with nobody writing")
		require.Equal(t, end+(7*time.Minute).Milliseconds(), w.get(id).HoldEnd)
		w.after(5 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
	})
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(canary)
		w.after(30 * time.Second)
		w.do(fsm.Freeze{Scope: dev, Reason: "incident"})
		w.provide(values(0.9))
		w.after(30 * time.Second)
		require.Equal(t, fsm.PhaseRolledBack, w.get(id).Phase, "a rollback goes through")
	})
}

func frozen(w *world) *fsm.Frozen {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	return env.Frozen()
}

// S9 and S10: the gates of blue-green.
func TestBlueGreenGates(t *testing.T) {
	plan := `
name: p
flag: f
target: {variant: "on"}
strategy: blueGreen
blueGreen:
  preAnalysis: {metrics: [{name: pre, successCondition: 'result > 0', web: {url: "http://pre/{{args.cohort}}"}}]}
  autoPromote: 10m
  postAnalysis: {metrics: [{name: post, successCondition: 'result > 0', web: {url: "http://post/{{args.cohort}}"}}]}
  wayBack: 30m
`
	bad := func(host string) func(rollout.Query) (rollout.Answer, error) {
		return func(q rollout.Query) (rollout.Answer, error) {
			if strings.Contains(q.Address, host) {
				return rollout.Answer{Value: -1.0}, nil
			}
			return rollout.Answer{Value: 1.0}, nil
		}
	}
	within(t, func(w *world) {
		w.flag("f")
		w.provide(bad("//pre"))
		id := w.start(plan)
		w.after(time.Minute)
		require.Equal(t, fsm.PhaseRolledBack, w.get(id).Phase)
		require.Equal(t, 1, w.get(id).RunCount)
		w.provide(bad("//post"))
		w.move(id, fsm.MoveRetry)
		w.after(5 * time.Minute)
		require.Zero(t, w.get(id).Weight, "the clock of autoPromote began with the success of the analysis")
		w.after(5*time.Minute + 30*time.Second)
		require.Equal(t, fsm.PhaseRolledBack, w.get(id).Phase)
		w.provide(bad("nobody"))
		w.move(id, fsm.MoveRetry)
		w.after(15 * time.Minute)
		require.Equal(t, fsm.All, w.get(id).Weight)
		require.Equal(t, fsm.PhaseHolding, w.get(id).Phase, "until wayBack an abort is the instant way back")
		w.after(30 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
	})
}

// onFailure: pause keeps the weight and asks a person; resuming measures anew.
func TestFailureMayPauseInstead(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values(0.9))
		id := w.start(canary + "onFailure: pause\n")
		w.after(20 * time.Second)
		require.Equal(t, fsm.ReasonFailed, w.get(id).Reason)
		require.Equal(t, fsm.Percent(10_000), w.get(id).Weight)
		w.after(time.Hour)
		require.Equal(t, []string{"step", "holding", "paused"}, events(w.get(id)))
		w.provide(values(0))
		w.move(id, fsm.MoveResume)
		w.after(5 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
	})
}
