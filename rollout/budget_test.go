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

// ratios answers each window's question with its share of errors.
func ratios(of map[string]float64) func(rollout.Query) (rollout.Answer, error) {
	return func(q rollout.Query) (rollout.Answer, error) {
		for window, ratio := range of {
			if strings.Contains(q.Text, "["+window+"]") {
				return rollout.Answer{Value: []float64{ratio}}, nil
			}
		}
		return rollout.Answer{Value: []float64{0}}, nil
	}
}

func (w *world) burn() fsm.Burn {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	_, burn, _ := env.Budget()
	return burn
}

const unwatched = "name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 10}, {hold: 30s}, {setWeight: 100}, {hold: 10h}]\nanalysis: none\n"

func (w *world) budget() {
	w.do(fsm.PutBudget{Scope: dev, Budget: &fsm.Budget{Objective: 0.999, Address: "http://p", Bad: "e[{{window}}]", Total: "t[{{window}}]"}})
}

// S4-12: the leader measures the budget, freezes when it is spent and lets go when it recovers.
func TestTheLeaderFreezesOnASpentBudget_S4_12(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.budget()
		w.after(10 * time.Second)
		require.Equal(t, fsm.BurnNone, w.burn().Tier)
		require.Contains(t, w.burn().Numbers, "0.0% of the budget of 30 days")
		w.provide(ratios(map[string]float64{"2592000s": 0.00102}))
		w.after(time.Minute)
		require.NotNil(t, frozenDev(w))
		require.Contains(t, frozenDev(w).Reason, "102.0% of the budget of 30 days for 99.9% spent")
		plan, err := rollout.ParsePlan([]byte(unwatched))
		require.NoError(t, err)
		_, err = w.try(fsm.StartRollout{Scope: dev, Plan: plan})
		require.ErrorContains(t, err, "error budget is spent")

		w.provide(func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{}, errors.New("connection refused") })
		entries := w.entries()
		w.after(10 * time.Minute)
		require.NotNil(t, frozenDev(w), "nobody knows, so nothing changes")
		require.Contains(t, w.burn().Failing, "connection refused")
		require.LessOrEqual(t, w.entries(), entries+1, "a failure is said once")

		w.provide(ratios(nil))
		w.after(time.Minute)
		require.Nil(t, frozenDev(w))
		require.Empty(t, w.burn().Failing)
	})
}

func (w *world) entries() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log)
}

func frozenDev(w *world) *fsm.Frozen {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	return env.Frozen()
}

// A fast burn lets nothing advance, but its holds run on.
func TestAFastBurnHoldsWhatHasNumbersOfItsOwn(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.budget()
		w.after(50 * time.Second)
		id := w.start(strings.ReplaceAll(canary, "http://p", "http://q")) // its own numbers are good
		w.after(5 * time.Second)
		burning := ratios(map[string]float64{"1h": 0.02, "5m": 0.02})
		w.provide(burning)
		w.after(3 * time.Minute)
		r := w.get(id)
		require.Equal(t, 1, r.Step, "it did not advance")
		require.Equal(t, fsm.PhaseHolding, r.Phase)
		require.Equal(t, fsm.BurnPage, w.burn().Tier)
		d := rollout.Decide(time.Now(), r, rollout.Gates{Burn: w.burn()})
		require.Equal(t, "D6", d.Rule)
		require.Equal(t, rollout.BudgetBurning, d.Conditions[0].Name)
		w.provide(ratios(nil))
		w.after(2 * time.Minute)
		require.Greater(t, w.get(id).Step, 1, "the hold was served meanwhile")
	})
}

// A burn that begins after a raise is held against a rollout that has no numbers to say otherwise.
func TestAFastBurnTakesBackWhatNobodyMeasures_S4_07(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.budget()
		id := w.start(unwatched)
		w.after(5 * time.Second)
		w.provide(ratios(map[string]float64{"6h": 0.007, "30m": 0.007}))
		w.after(time.Minute)
		require.Equal(t, fsm.PhaseRolledBack, w.get(id).Phase)
		require.Contains(t, w.get(id).Cause, "error budget burns since its last raise")
	})
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(unwatched)
		w.after(7 * time.Hour) // its last raise is older than the window
		w.budget()
		w.provide(ratios(map[string]float64{"6h": 0.007, "30m": 0.007}))
		w.after(time.Minute)
		require.Equal(t, fsm.PhaseHolding, w.get(id).Phase)
	})
}

func TestNoRequestsSpendNoBudget(t *testing.T) {
	within(t, func(w *world) {
		w.provide(values(math.NaN()))
		w.budget()
		w.after(2 * time.Minute)
		require.Equal(t, fsm.BurnNone, w.burn().Tier)
		require.Nil(t, frozenDev(w))
	})
}
