package fsm_test

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

func TestWaitReturnsWhenTheRevisionIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		require.NoError(t, n.store.Wait(t.Context(), 1))
		woken := make(chan error, 1)
		go func() { woken <- n.store.Wait(t.Context(), 3) }()
		synctest.Wait()
		n.put(boolean("checkout", ""))
		synctest.Wait()
		require.Empty(t, woken)
		n.put(boolean("cart", ""))
		require.NoError(t, <-woken)
	})
}

func TestWaitEndsWithTheContextAndSaysHowFarTheNodeIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := n.store.Wait(ctx, 9)
		var e *fsm.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, fsm.KindBehind, e.Kind)
		require.EqualValues(t, 1, e.Revision)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestLoadWakesEverybodyAndKeepsTheLivePointers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newNode(t)
		source.put(boolean("checkout", ""))
		saved := source.save()

		store := fsm.NewStore()
		live, _ := store.Live("default", "dev")
		changed, empty := store.Changed(), live.Snapshot()
		waited := make(chan error, 1)
		go func() { waited <- store.Wait(t.Context(), 2) }()
		seen := make(chan *evaluator.Snapshot, 1)
		go func() {
			s, _ := live.Wait(t.Context(), empty)
			seen <- s
		}()
		synctest.Wait()
		require.NoError(t, store.Load(bytes.NewReader(saved)))
		require.NoError(t, <-waited)
		require.Equal(t, 1, (<-seen).Len())
		<-changed
		again, _ := store.Live("default", "dev")
		require.Same(t, live, again)
		require.Equal(t, epoch, live.Snapshot().Epoch())
	})
}

func TestWaitAcrossEpochsSaysRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		other := &node{t: t, store: fsm.NewStore(), now: start, term: 1}
		require.NoError(t, other.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: other.encode(fsm.LeaderEstablished{
			Term: 1, ServerID: "a", ClusterID: clusterID, Epoch: "another", LawLow: 1, LawHigh: 1})}).Err)
		n.do(fsm.CreateTenant{Tenant: "acme"})
		live, _ := n.store.Live("acme", "dev")
		waited := make(chan error, 1)
		go func() { waited <- n.store.Wait(t.Context(), 9) }()
		synctest.Wait()
		require.NoError(t, n.store.Load(bytes.NewReader(other.save())))
		var e *fsm.Error
		require.ErrorAs(t, <-waited, &e)
		require.Equal(t, fsm.KindRestored, e.Kind)
		require.Equal(t, "another", live.Snapshot().Epoch(), "an environment that is gone serves nothing")
	})
}

// Live pointers move first, then the state, then the waiters wake: who wakes finds everything.
func TestPublishIsInOrderAndOncePerBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		live, _ := n.store.Live("default", "dev")
		entries := make([]fsm.Entry, 0, 10)
		for i := range 10 {
			key := string(rune('a' + i))
			p := n.proposal(put(t, boolean(key, "")))
			entries = append(entries, fsm.Entry{Index: uint64(2 + i), Term: 1, Data: p.Encode()})
		}
		wakes := make(chan int, 10)
		changed := n.store.Changed()
		go func() {
			<-changed
			wakes <- live.Snapshot().Len()
		}()
		synctest.Wait()
		n.store.Apply(entries)
		require.Equal(t, 10, <-wakes)
	})
}
