package rollout_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// replay judges a rollout again from its records, as they come over the wire.
func replay(t *testing.T, r *fsm.Rollout, other *fsm.Plan) []rollout.Replayed {
	t.Helper()
	var events []*fsm.Event
	var records [][]byte
	for _, e := range r.History() {
		records = append(records, e.Record())
		back, err := fsm.DecodeEvent(e.Record())
		require.NoError(t, err)
		events = append(events, back)
	}
	require.Equal(t, r.Head(), fsm.ChainEvents(records))
	return rollout.Replay(r.Plan(), other, events)
}

// S0-05, S0-06: every move of the controller follows again from its record, whatever the answers were.
func TestEveryMoveFollowsAgainFromItsRecord(t *testing.T) {
	for name, answers := range map[string][]float64{
		"healthy":      {0},
		"poisoned":     {0.1234567890123},
		"inconclusive": {0.03},
		"no data":      {math.NaN()},
		"half":         {0.01, 0.04, 0.01},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(w *world) {
				w.flag("f")
				asked := 0
				w.provide(func(rollout.Query) (rollout.Answer, error) {
					asked++
					return rollout.Answer{Value: []float64{answers[asked%len(answers)]}}, nil
				})
				id := w.start(strings.ReplaceAll(canary, "interval: 10s", "interval: 10s\n        guardStable: true"))
				w.after(70 * time.Second)
				w.provide(values(0))
				w.after(3 * time.Minute)
				moves := 0
				for _, x := range replay(t, w.get(id), nil) {
					require.Empty(t, x.Doubts, "%s", x.Event.Kind)
					if x.Event.Rule != "" {
						moves++
						require.Equal(t, x.Event.Move, x.Again.Move)
					}
				}
				require.Positive(t, moves)
			})
		})
	}
}

func TestAnAlteredRecordIsDoubted(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values(0.4))
		id := w.start(canary)
		w.after(2 * time.Minute)
		r := w.get(id)
		last := r.History()[len(r.History())-1]
		require.Equal(t, fsm.EventRolledBack, last.Kind)
		alter := func(change func(e *fsm.Event)) []rollout.Replayed {
			e, err := fsm.DecodeEvent(last.Record())
			require.NoError(t, err)
			change(e)
			require.NotEqual(t, r.Head(), fsm.ChainEvents([][]byte{e.Record()}))
			return rollout.Replay(r.Plan(), nil, []*fsm.Event{e})
		}
		require.Empty(t, alter(func(*fsm.Event) {})[0].Doubts)
		require.Contains(t, alter(func(e *fsm.Event) { e.Evidence[0].Last[0].Value = "[0.001]" })[0].Doubts[0], "Successful by its conditions")
		require.Contains(t, alter(func(e *fsm.Event) { e.Evidence[0].Failed = 0 })[0].Doubts[0], "by its numbers")
		require.Contains(t, alter(func(e *fsm.Event) { e.Move, e.Rule = fsm.MoveAdvance, "D11" })[0].Doubts[0], "would decide rollback by rule D2")
	})
}

// Another plan over the same answers: a stricter one would have gone back, a laxer one would not.
func TestAnotherPlanIsTriedOnTheSameAnswers(t *testing.T) {
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values(0.015))
		id := w.start(canary)
		w.after(4 * time.Minute)
		require.Equal(t, fsm.PhaseCompleted, w.get(id).Phase)
		stricter, err := rollout.ParsePlan([]byte(strings.ReplaceAll(canary, "> 0.05", "> 0.01")))
		require.NoError(t, err)
		first := ""
		for _, x := range replay(t, w.get(id), stricter) {
			if x.Other != nil && x.Other.Move == fsm.MoveRollback && first == "" {
				first = x.Other.Why
				require.Equal(t, 2, x.Event.Step, "at the first move after the first answer")
			}
		}
		require.Contains(t, first, "metric errors is Failed")
	})
	within(t, func(w *world) {
		w.flag("f")
		w.provide(values(0.08))
		id := w.start(canary)
		w.after(time.Minute)
		require.Equal(t, fsm.PhaseRolledBack, w.get(id).Phase)
		laxer, err := rollout.ParsePlan([]byte(strings.ReplaceAll(strings.ReplaceAll(canary, "> 0.05", "> 0.5"), "<= 0.02", "<= 0.4")))
		require.NoError(t, err)
		all := replay(t, w.get(id), laxer)
		require.Empty(t, all[len(all)-1].Other.Move)
		require.Equal(t, "D7", all[len(all)-1].Other.Rule)
	})
}
