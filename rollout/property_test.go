package rollout_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// drawPlan draws a sound plan: raises and falls, each raise with something behind it.
func drawPlan(t *rapid.T) string {
	text := "name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps:\n"
	for range rapid.IntRange(1, 4).Draw(t, "steps") {
		text += fmt.Sprintf("  - setWeight: %d\n", rapid.IntRange(1, 100).Draw(t, "weight"))
		text += "  - " + rapid.SampledFrom([]string{"hold: 20s", "hold: 1m", "hold: {}", "approval: {}",
			`analysis: {metrics: [{name: once, count: 2, interval: 5s, failureCondition: "result[0] > 0.5", prometheus: {address: "http://p", query: "{{args.cohort}}"}}]}`}).
			Draw(t, "gate") + "\n"
	}
	text += "onFailure: " + rapid.SampledFrom([]string{"rollback", "pause"}).Draw(t, "onFailure") + "\n"
	if rapid.Bool().Draw(t, "watched") {
		return text + `analysis: {background: {metrics: [{name: errors, interval: 5s, inconclusiveLimit: 2, failureCondition: "result[0] > 0.5", successCondition: "result[0] < 0.2",
  prometheus: {address: "http://p", query: "{{args.cohort}}"}}]}}` + "\n"
	}
	if strings.Contains(text, "metrics:") {
		return text
	}
	return text + "analysis: none\n"
}

// disturb does something random to a live rollout, its pilot, its provider or its environment.
func (w *world) disturb(t *rapid.T, id string) {
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		w.mu.Lock()
		w.elect()
		w.mu.Unlock()
	case 1:
		w.mu.Lock()
		w.killAt, w.killPost = w.made+rapid.IntRange(1, 3).Draw(t, "entries"), rapid.Bool().Draw(t, "post")
		w.mu.Unlock()
	case 2:
		w.provide(values(rapid.SampledFrom([]float64{0, 0.1, 0.3, 0.9}).Draw(t, "value")))
	case 3:
		_, _ = w.try(fsm.Freeze{Scope: dev, Reason: "r", For: fsm.Duration(rapid.SampledFrom([]int64{0, 15_000}).Draw(t, "for"))}) // refusals are fine
	case 4:
		_, _ = w.try(fsm.Unfreeze{Scope: dev})
	default:
		_, _ = w.try(fsm.MoveRollout{Scope: dev, ID: id, Reason: "r", Move: rapid.SampledFrom([]fsm.Move{
			fsm.MovePause, fsm.MoveResume, fsm.MovePromote, fsm.MoveSkip, fsm.MoveApprove}).Draw(t, "move")})
	}
}

func (w *world) exposed(id string) (fsm.Percent, bool) {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	for _, x := range env.Exposures("f") {
		if x.Owner == fsm.OwnerRollout+id {
			return w.get(id).Weight, true
		}
	}
	return 0, false
}

// Invariant 9, S4-08, S4-09: over random plans, moves, providers and leaders: once a rollout is aborted, killed or taken
// back nothing exposes its candidate again, and doing it again changes nothing.
func TestExposureNeverRisesAfterAnAbort_Property(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(rt *rapid.T) { // without the deadline of real time, which a bubble does not have
			w := newWorld(t, nil)
			defer w.close()
			w.flag("f")
			before := w.store.State().DomainHash()
			plan, err := rollout.ParsePlan([]byte(drawPlan(rt)))
			require.NoError(rt, err)
			id := fsm.RolloutID("p", w.do(fsm.StartRollout{Scope: dev, Plan: plan}).Revision)
			for range rapid.IntRange(0, 8).Draw(rt, "disturbances") {
				w.after(time.Duration(rapid.IntRange(100, 30_000).Draw(rt, "ms")) * time.Millisecond)
				w.disturb(rt, id)
			}
			if w.get(id).Phase == fsm.PhaseCompleted {
				return
			}
			end := rapid.SampledFrom([]fsm.Command{
				fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveAbort, Reason: "stop"},
				fsm.Kill{Scope: dev, Key: "f", Reason: "stop"}, fsm.KillRollouts{Scope: dev, Reason: "stop"}}).Draw(rt, "end")
			w.do(end)
			audit, _ := w.store.State().AuditHead()
			revision := w.store.State().Index()
			for range 3 {
				w.do(end)
				w.after(time.Duration(rapid.IntRange(1, 300_000).Draw(rt, "later")) * time.Millisecond)
				_, exposed := w.exposed(id)
				require.False(rt, exposed)
			}
			r := w.get(id)
			require.Contains(rt, []fsm.Phase{fsm.PhaseAborted, fsm.PhaseRolledBack}, r.Phase)
			for _, e := range r.History() {
				require.LessOrEqual(rt, e.Revision, revision)
			}
			_, _ = w.try(fsm.Unfreeze{Scope: dev})
			if _, killed := end.(fsm.Kill); killed {
				w.do(fsm.Unkill{Scope: dev, Key: "f"})
			} else if after, _ := w.store.State().AuditHead(); true {
				require.LessOrEqual(rt, after, audit+2, "a freeze may have ended; nothing else happened")
			}
			require.Equal(rt, before, w.store.State().DomainHash(), "the flag serves what it declared before the start")
		})
	})
}
