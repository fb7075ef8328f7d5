package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

var early = strings.ReplaceAll(canary, "interval: 10s", "interval: 10s\n        consecutiveSuccessLimit: 3") + "\nearlyPromote: true\n"

// Complete evidence cuts a hold short, at every weight anew.
func TestCompleteEvidenceCutsAHoldShort(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		begin := time.Now()
		id := w.start(early)
		w.after(5 * time.Minute)
		r := w.get(id)
		require.Equal(t, fsm.PhaseCompleted, r.Phase)
		require.Equal(t, []string{"step", "holding", "step", "holding", "step", "holding", "step", "completed"}, events(r))
		require.Less(t, time.UnixMilli(r.EndedAt).Sub(begin), 70*time.Second, "three answers at each of three weights, not three minutes")
		require.Equal(t, 3, r.RunCount, "one run for each weight")
		for _, e := range r.History() {
			if e.Kind == "step" && e.From == 1 {
				require.Equal(t, "D9", e.Rule)
				require.Contains(t, e.Why, "left out")
			}
		}
		for _, x := range replay(t, r, nil) {
			require.Empty(t, x.Doubts)
		}
	})
}

// Without enough answers since the raise the hold is served in full, and a bad answer still goes back.
func TestIncompleteEvidenceServesTheHold(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		asked := 0
		w.provide(func(rollout.Query) (rollout.Answer, error) { // never three successes in a row
			asked++
			return rollout.Answer{Value: []float64{[]float64{0, 0, 0.03}[asked%3]}}, nil
		})
		id := w.start(strings.ReplaceAll(early, "inconclusiveLimit: 1", "inconclusiveLimit: -1"))
		w.after(55 * time.Second)
		require.Equal(t, 1, w.get(id).Step)
		w.after(10 * time.Second)
		require.Equal(t, 3, w.get(id).Step)
		for _, e := range w.get(id).History() {
			require.NotEqual(t, "D9", e.Rule)
		}
	})
}
