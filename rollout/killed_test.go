package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// The leader dies before and after every entry of the controller: the same events, each weight once, each measurement
// counted once per question, one rollback.
func TestLeaderKilledAroundEveryEntry(t *testing.T) {
	for name, answer := range map[string]float64{"healthy": 0, "poisoned": 0.4} {
		t.Run(name, func(t *testing.T) {
			var want []string
			entries := 0
			run := func(killAt int, post bool) {
				within(t, func(w *world) {
					w.flag("f")
					w.provide(values(answer))
					w.kill(killAt, post)
					id := w.start(canary)
					w.after(5 * time.Minute)
					r := w.get(id)
					if want == nil {
						want, entries = events(r), w.made
					}
					at := fmt.Sprintf("killed at %d (after the entry: %v)", killAt, post)
					require.Equal(t, want, events(r), at)
					seqs := map[uint64]bool{}
					for _, e := range r.History() {
						require.False(t, seqs[e.Seq], at)
						seqs[e.Seq] = true
					}
					m := r.Runs[len(r.Runs)-1].Metrics[0]
					require.LessOrEqual(t, m.Count, 19, "%s: nothing is counted twice", at)
					for i := 1; i < len(m.Last); i++ {
						require.GreaterOrEqual(t, m.Last[i].At-m.Last[i-1].At, (10 * time.Second).Milliseconds(), at)
					}
					replayed := fsm.NewStore()
					replayed.Apply(w.log)
					require.Equal(t, w.store.State().FullHash(), replayed.State().FullHash(), at)
				})
			}
			run(0, false)
			for n := 1; n <= entries; n++ {
				run(n, false)
				run(n, true)
			}
			t.Logf("%d entries of the controller, killed before and after each", entries)
		})
	}
}

// Invariant 9: after an abort nothing raises the exposure, whatever is under way.
func TestExposureNeverRisesAfterAnAbort(t *testing.T) {
	for at := time.Second; at < 190*time.Second; at += 3700 * time.Millisecond {
		within(t, func(w *world) {
			w.flag("f")
			id := w.start(canary)
			w.after(at)
			if !w.get(id).Phase.Live() {
				return
			}
			w.move(id, fsm.MoveAbort)
			revision := w.store.State().Index()
			w.after(10 * time.Minute)
			env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
			require.Empty(t, env.Exposures("f"))
			for _, e := range w.get(id).History() {
				require.LessOrEqual(t, e.Revision, revision)
			}
		})
	}
}

// A leader that slept over an election cannot move anything: its term is over.
func TestPausedLeaderCannotMove(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		id := w.start(canary)
		w.after(5 * time.Second)
		r := w.get(id)
		revision := r.Revision
		command, err := fsm.EncodeCommand(fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveRollback, Seq: r.Seq + 1, Reason: "old news"})
		require.NoError(t, err)
		old := &fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: 1, ExpectedRevision: &revision, Command: command}
		w.mu.Lock()
		w.elect()
		out := w.apply(old)
		w.mu.Unlock()
		var e *fsm.Error
		require.ErrorAs(t, out.Err, &e)
		require.Equal(t, fsm.KindFenced, e.Kind)
		w.after(5 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
	})
}

// Answers of a slow provider arrive after the abort and count for nothing.
func TestAnswersOfAnEndedRunAreDropped(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(func(rollout.Query) (rollout.Answer, error) {
			time.Sleep(10 * time.Second)
			return rollout.Answer{Value: []float64{0.9}}, nil
		})
		id := w.start(canary)
		w.after(5 * time.Second)
		w.move(id, fsm.MoveAbort)
		w.after(time.Minute)
		require.Equal(t, fsm.PhaseAborted, w.get(id).Phase)
		require.Zero(t, w.get(id).Runs[0].Metrics[0].Count)
	})
}
