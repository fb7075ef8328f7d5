package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

func (w *world) scheduled() []fsm.Exposure {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	return env.Scheduled()
}

func (w *world) enabled(flag string) bool {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	return env.Snapshot().Evaluate(flag, evaluator.NewContext("u")).Reason != evaluator.ReasonDisabled
}

func in(d time.Duration) string { return fsm.Instant(time.Now().Add(d).UnixMilli()) }

// S1-16: whichever entry the leader dies at, before or after it is in the log, each instant happens once.
func TestEveryInstantHappensOnceAlthoughLeadersDie(t *testing.T) {
	for kill := range 6 {
		for _, after := range []bool{false, true} {
			within(t, func(w *world) {
				w.flag("a")
				declared, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
				w.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Start: in(time.Hour), End: in(2 * time.Hour)}})
				w.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "a", Action: fsm.ActionEnable, Cron: "30 * * * *", Zone: "Europe/Berlin", End: in(150 * time.Minute)}})
				w.kill(kill, after)
				w.after(4 * time.Hour)
				runs := map[string]int{}
				for _, x := range w.scheduled() {
					require.Equal(t, x.Schedule.Cron == "", x.ScheduleStatus() == "ended", "%s: %s", x.Schedule.ID, x.ScheduleStatus())
					for _, run := range x.Progress.Runs {
						require.Zero(t, run.Skipped, run.Why)
						runs[x.Schedule.ID+run.At]++
					}
				}
				require.GreaterOrEqual(t, len(runs), 4)
				for at, n := range runs {
					require.Equal(t, 1, n, at)
				}
				now, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
				require.Equal(t, declared.DeclaredHash(), now.DeclaredHash(), "the declared flag is unchanged afterwards")
			})
		}
	}
}

func TestOfMissedOccurrencesTheNewestHappens(t *testing.T) {
	within(t, func(w *world) {
		w.flag("a")
		w.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Cron: "0 * * * *", Zone: "UTC"}})
		w.after(time.Second)
		w.mu.Lock()
		w.leadsAt = time.Now().Add(5*time.Hour + 10*time.Minute) // nobody leads
		w.raise()
		w.mu.Unlock()
		w.after(5 * time.Hour)
		require.True(t, w.enabled("a"))
		w.mu.Lock()
		w.raise()
		w.mu.Unlock()
		w.after(11 * time.Minute)
		w.mu.Lock()
		w.raise()
		w.mu.Unlock()
		w.after(time.Minute)
		require.False(t, w.enabled("a"))
		runs := w.scheduled()[0].Progress.Runs
		require.Len(t, runs, 2)
		require.Equal(t, 4, runs[0].Skipped)
		require.Zero(t, runs[1].Skipped)
	})
}

func TestAFrozenEnvironmentHoldsItsSchedules(t *testing.T) {
	within(t, func(w *world) {
		w.flag("a")
		w.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Start: in(time.Hour)}})
		w.do(fsm.Freeze{Scope: dev, Reason: "incident"})
		w.after(2 * time.Hour)
		require.True(t, w.enabled("a"))
		w.do(fsm.Unfreeze{Scope: dev})
		w.after(time.Minute)
		require.False(t, w.enabled("a"))
	})
}
