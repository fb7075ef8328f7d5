package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// Invariant: a hold is never cut short, whatever the clocks of leaders do: jumps of an hour at an election, a wall clock
// that jumps inside a term (the leader's time goes on monotonically, consensus 16), and drift of five percent.
// S3-01
func TestHoldsAreNeverEarlyWhateverClocksDo(t *testing.T) {
	for name, c := range map[string]struct {
		jump  time.Duration // of the next leader's wall clock, at the election
		drift float64       // of the leader's clock
	}{
		"an hour ahead at an election":  {jump: time.Hour},
		"an hour behind at an election": {jump: -time.Hour},
		"five percent fast":             {drift: 0.05},
		"five percent slow":             {drift: -0.05},
		"behind and fast":               {jump: -time.Hour, drift: 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(w *world) {
				w.flag("f")
				w.mu.Lock()
				w.drift = c.drift
				w.mu.Unlock()
				id := w.start(canary)
				w.after(35 * time.Second) // in the middle of the first hold
				w.mu.Lock()
				w.wall = c.jump
				w.elect()
				w.mu.Unlock()
				w.after(90 * time.Minute)
				r := w.get(id)
				require.Equal(t, fsm.PhaseCompleted, r.Phase)
				require.Equal(t, []string{"step", "holding", "step", "holding", "step", "holding", "step", "completed"}, events(r))
				jumped := 0
				for i, e := range r.History() {
					if i == 0 || r.History()[i-1].Kind != fsm.EventHolding {
						continue
					}
					held := e.At - r.History()[i-1].At
					require.GreaterOrEqual(t, held, int64(60_000), "in the leader's time, event %d", e.Seq)
					if held > 70_000 {
						jumped++
					}
				}
				require.LessOrEqual(t, jumped, 1, "only the hold that was running can be overdue; the next is served in full")
			})
		})
	}
}

// A hold that the state has not reached is refused by the law, however wrong the clock of whoever proposes.
func TestTheLawRefusesWhatIsEarly(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(canary)
		w.after(30 * time.Second)
		r := w.get(id)
		d := rollout.Decide(time.Now().Add(time.Hour), r, rollout.Gates{}) // a pilot whose clock is an hour ahead
		require.Equal(t, fsm.MoveAdvance, d.Move, "such a pilot believes that the hold is served")
		revision := r.Revision
		command, err := fsm.EncodeCommand(fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveAdvance, Seq: r.Seq + 1, Rule: "D11", Reason: "early"})
		require.NoError(t, err)
		w.mu.Lock()
		out := w.apply(&fsm.Proposal{RequestID: "early", Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: w.term, ExpectedRevision: &revision, Command: command})
		w.mu.Unlock()
		var e *fsm.Error
		require.ErrorAs(t, out.Err, &e, fmt.Sprint(out.Receipt))
		require.Equal(t, fsm.KindIllegal, e.Kind)
	})
}
