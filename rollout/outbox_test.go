package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

const heard = `
name: p
flag: f
target: {variant: "on"}
steps: [{setWeight: 10}, {hold: 10s}, {setWeight: 100}, {hold: 10s}]
analysis: none
notify: [webhook:releases]
`

// inbox is a receiver that may be away.
type inbox struct {
	mu    sync.Mutex
	got   []fsm.Notice
	times []time.Time
	judge func(n *fsm.Notice) error // nil: takes everything
}

func (b *inbox) Deliver(_ context.Context, n *fsm.Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.times = append(b.times, time.Now())
	if b.judge != nil {
		if err := b.judge(n); err != nil {
			return err
		}
	}
	b.got = append(b.got, *n)
	return nil
}

func (b *inbox) become(judge func(n *fsm.Notice) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.judge = judge
}

// kinds are what was heard, once per id, in the order of the first time.
func (b *inbox) kinds() (kinds []string, repeats int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[string]bool{}
	for _, n := range b.got {
		if seen[n.ID] {
			repeats++
			continue
		}
		seen[n.ID] = true
		kinds = append(kinds, n.Kind)
	}
	return kinds, repeats
}

var wholeStory = []string{"rollout.started", "rollout.holding", "rollout.step", "rollout.holding", "rollout.step", "rollout.completed"}

func away(*fsm.Notice) error { return errors.New("connection refused") }

// listening is within with a receiver.
func listening(t *testing.T, test func(w *world, b *inbox)) {
	t.Helper()
	b := &inbox{}
	messenger(t, b, func(w *world) { test(w, b) })
}

func TestEveryPhaseChangeIsHeardOnceAndInOrder(t *testing.T) {
	listening(t, func(w *world, b *inbox) {
		w.flag("f")
		w.start(heard)
		w.after(time.Minute)
		kinds, repeats := b.kinds()
		require.Equal(t, wholeStory, kinds)
		require.Zero(t, repeats)
		r, _ := w.store.State().Receiver("releases")
		require.Empty(t, r.Waiting())
		require.EqualValues(t, len(wholeStory), r.Delivered)
	})
}

// A leader that dies around any entry leaves notices to the next one: each is heard at least once, in order, and a
// repeat has the same id.
func TestNoticesSurviveTheDeathOfTheLeader(t *testing.T) {
	for killAt := 1; killAt <= 9; killAt++ {
		for _, post := range []bool{false, true} {
			listening(t, func(w *world, b *inbox) {
				w.flag("f")
				w.kill(killAt, post)
				w.start(heard)
				w.after(2 * time.Minute)
				at := fmt.Sprintf("killed at %d (after the entry: %v)", killAt, post)
				kinds, repeats := b.kinds()
				require.Equal(t, wholeStory, kinds, at)
				require.LessOrEqual(t, repeats, 3, at)
				r, _ := w.store.State().Receiver("releases")
				require.Empty(t, r.Waiting(), at)
			})
		}
	}
}

func TestAReceiverThatWasAwayHearsEverythingAfterwards(t *testing.T) {
	listening(t, func(w *world, b *inbox) {
		b.become(away)
		w.flag("f")
		w.start(heard)
		w.after(12 * time.Hour)
		r, _ := w.store.State().Receiver("releases")
		require.Len(t, r.Waiting(), len(wholeStory))
		require.Equal(t, "connection refused", r.Failing)
		b.mu.Lock()
		tries := b.times
		b.mu.Unlock()
		require.Less(t, len(tries), 350, "pauses grow")
		require.Greater(t, len(tries), 144, "but never beyond five minutes")
		for i := 12; i < len(tries); i++ {
			gap := tries[i].Sub(tries[i-1])
			require.GreaterOrEqual(t, gap, 150*time.Second)
			require.LessOrEqual(t, gap, 300*time.Second)
		}
		b.become(nil)
		w.after(6 * time.Minute)
		kinds, repeats := b.kinds()
		require.Equal(t, wholeStory, kinds)
		require.Zero(t, repeats)
		r, _ = w.store.State().Receiver("releases")
		require.Empty(t, r.Failing)
	})
}

func TestWhatCannotBeDeliveredForDaysIsGivenUpAndCounted(t *testing.T) {
	listening(t, func(w *world, b *inbox) {
		b.become(away)
		w.flag("f")
		w.start(heard)
		w.after(73 * time.Hour)
		r, _ := w.store.State().Receiver("releases")
		require.Empty(t, r.Waiting())
		require.EqualValues(t, len(wholeStory), r.Dropped)
		require.Contains(t, r.DroppedWhy, "72h")
	})
}

// One notice that the receiver never takes does not hold up those behind it.
func TestARefusedNoticeIsDroppedAndTheRestGoesOn(t *testing.T) {
	listening(t, func(w *world, b *inbox) {
		b.become(func(n *fsm.Notice) error {
			if n.Kind == "rollout.holding" {
				return fmt.Errorf("it answers 422: %w", rollout.ErrRefused)
			}
			return nil
		})
		w.flag("f")
		w.start(heard)
		w.after(time.Minute)
		kinds, _ := b.kinds()
		require.Equal(t, []string{"rollout.started", "rollout.step", "rollout.step", "rollout.completed"}, kinds)
		r, _ := w.store.State().Receiver("releases")
		require.EqualValues(t, 2, r.Dropped)
		require.Contains(t, r.DroppedWhy, "422")
	})
}

// S22, S4-13: silence is told once, not at every measurement.
func TestNoDataIsToldOnce_S4_13(t *testing.T) {
	listening(t, func(w *world, b *inbox) {
		w.flag("f")
		w.provide(values())
		id := w.start(canary + "\nnotify: [webhook:releases]\n")
		w.after(10 * time.Minute)
		require.Equal(t, fsm.ReasonNoData, w.get(id).Reason)
		kinds, _ := b.kinds()
		require.Equal(t, []string{"rollout.started", "rollout.holding", "rollout.no-data"}, kinds)
	})
}

// At most one entry a second says what was delivered, however much it was.
func TestDeliveriesOfOneSecondAreOneEntry(t *testing.T) {
	listening(t, func(w *world, b *inbox) {
		for i := range 50 {
			w.flag(fmt.Sprint("f", i))
		}
		before := len(w.log)
		for i := range 50 {
			p, err := rollout.ParsePlan([]byte(heard))
			require.NoError(t, err)
			p.Flag, p.Name = fmt.Sprint("f", i), fmt.Sprint("p", i)
			w.do(fsm.StartRollout{Scope: dev, Plan: p})
		}
		w.after(5 * time.Second)
		kinds, _ := b.kinds()
		require.Len(t, kinds, 100)
		w.mu.Lock()
		defer w.mu.Unlock()
		settled := 0
		for _, e := range w.log[before:] {
			p, err := fsm.DecodeProposal(e.Data)
			require.NoError(t, err)
			if c, err := fsm.DecodeCommand(p.Command); err == nil && c.Verb() == "outbox.settle" {
				settled++
			}
		}
		require.LessOrEqual(t, settled, 6)
	})
}
