package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// S2-03: levels in time on a clock that the test owns
func TestLeaderMovesSchedulesAtTheirTime(t *testing.T) {
	within(t, func(w *world) {
		w.flag("a")
		env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
		record, _ := env.Flag("a")
		base := record.Flag().Default.Variant
		other := ""
		for _, v := range record.Flag().Variants {
			if v.Key != base {
				other = v.Key
			}
		}
		in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(fsm.InstantForm) }
		w.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "a", Variant: other, Base: base, Salt: "s",
			Levels: []fsm.Level{{At: in(time.Hour), Weight: 30_000}, {At: in(2 * time.Hour), Weight: 100_000}}}})
		served := func() string {
			env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
			return env.Snapshot().Evaluate("a", evaluator.NewContext("u")).Variant
		}
		reached := func() int {
			env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
			return env.Exposures("a")[0].Progress.Reached
		}
		w.after(59 * time.Minute)
		require.Equal(t, 0, reached())
		require.Equal(t, base, served())
		w.after(2 * time.Minute)
		require.Equal(t, 1, reached())
		w.after(time.Hour)
		require.Equal(t, 2, reached())
		require.Equal(t, other, served())
		entries := w.made
		w.after(time.Hour)
		require.Equal(t, entries, w.made, "nothing is proposed when nothing is due")
	})
}
