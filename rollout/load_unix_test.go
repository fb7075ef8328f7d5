//go:build unix

package rollout_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// A thousand rollouts measured every 10 s: at most one entry of measurements per second for all of them, and one per move.
// The processor time is logged, not judged: `go test ./rollout -run Thousand -v`.
func TestThousandRolloutsCostOneEntryPerSecond(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand rollouts")
	}
	within(t, func(w *world) {
		plan := strings.NewReplacer("hold: 60s", "hold: 1h", "startingStep: 1", "startingStep: 0").Replace(canary)
		for i := range 1000 {
			w.flag(fmt.Sprintf("f%d", i))
			w.start(strings.Replace(plan, "flag: f\n", fmt.Sprintf("flag: f%d\n", i), 1))
		}
		w.after(time.Minute)
		w.mu.Lock()
		before, asked := w.made, w.asked
		w.mu.Unlock()
		cpu := cpuTime(t)
		const virtual = 2 * time.Minute
		w.after(virtual)
		used := cpuTime(t) - cpu
		w.mu.Lock()
		made, questions := w.made-before, w.asked-asked
		w.mu.Unlock()
		require.LessOrEqual(t, made, int(virtual/time.Second)+2)
		require.GreaterOrEqual(t, questions, 10_000)
		t.Logf("%d measurements in %d entries; %.2f %% of one core, the log's own law included", questions, made, 100*used.Seconds()/virtual.Seconds())
		env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
		require.Len(t, env.LiveRollouts(), 1000)
		require.Equal(t, fsm.PhaseHolding, env.LiveRollouts()[0].Phase)
	})
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The plan of the examples is one that starts.
func TestExamplePlanIsSound(t *testing.T) {
	data, err := os.ReadFile("../examples/pipeline/checkout.yaml")
	require.NoError(t, err)
	plan, err := rollout.ParsePlan(data)
	require.NoError(t, err)
	require.Empty(t, rollout.Warnings(plan))
}
