package main

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// as proposes as somebody, again and again under one id until it is known what happened.
func (f *flight) as(who, id string, c fsm.Command) (fsm.Receipt, error) {
	f.t.Helper()
	command, err := fsm.EncodeCommand(c)
	require.NoError(f.t, err)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		receipt, err := f.c.WaitLeader().Node().Propose(ctx, &fsm.Proposal{RequestID: id, Actor: fsm.Actor{Kind: fsm.ActorUser, ID: who}, Command: command})
		cancel()
		var e *fsm.Error
		if err == nil || asKind(err, &e) && e.Kind != fsm.KindUnknownOutcome && e.Kind != fsm.KindNoQuorum && e.Kind != fsm.KindNotLeader {
			return receipt, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func asKind(err error, into **fsm.Error) bool {
	e, ok := err.(*fsm.Error) //nolint:errorlint // Propose gives an *Error itself
	*into = e
	return ok
}

var staging = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "staging"}

// promoted is a cluster with thirty flags in dev and an approved promotion of them into staging.
func promoted(t *testing.T, seed uint64) (*flight, string) {
	f := &flight{t: t, c: clustertest.Start(t, clustertest.Options{Nodes: 3, Seed: seed}), land: map[*clustertest.Member]func(){}}
	must := func(who string, c fsm.Command) fsm.Receipt {
		f.ids++
		receipt, err := f.as(who, fmt.Sprintf("made-%d", f.ids), c)
		require.NoError(t, err)
		return receipt
	}
	dev := fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}
	batch := fsm.Batch{Scope: dev}
	for i := range 30 {
		flag, err := evaluator.DecodeFlag(fmt.Appendf(nil, `{"key":"f%d","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`, i))
		require.NoError(t, err)
		batch.Commands = append(batch.Commands, fsm.PutFlag{Scope: dev, Flag: flag})
	}
	must("ann", batch)
	opened := must("ann", fsm.OpenPromotion{Scope: staging, Source: "dev", Type: fsm.PromotionFull})
	env, _ := f.c.WaitLeader().State().Environment(staging.Tenant, staging.Environment)
	change, ok := env.Opened(opened.Revision)
	require.True(t, ok)
	must("ann", fsm.MoveChange{Scope: staging, ID: change.ID, Move: fsm.ChangeMoveValidate})
	must("bob", fsm.MoveChange{Scope: staging, ID: change.ID, Move: fsm.ChangeMoveApprove})
	return f, change.ID
}

// watched notes every revision at which what staging serves changed on a member, and how many flags it then served. It is
// stopped before the bubble ends.
func watched(m *clustertest.Member) (seen func() map[uint64]int, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	steps, done := map[uint64]int{}, make(chan struct{})
	go func() {
		defer close(done)
		live, ok := m.Store().Live(staging.Tenant, staging.Environment)
		for ok {
			s := live.Snapshot()
			steps[s.Revision()] = s.Len()
			if _, err := live.Wait(ctx, s); err != nil {
				return
			}
		}
	}()
	return func() map[uint64]int { return steps }, func() { cancel(); <-done }
}

// S1-08: the leader dies around the entry of an execution or of a rollback. Every node has all of it or nothing, a watcher
// sees one step, and the retry under the same id finds it done.
func TestPromotionsSurviveTheDeathOfLeaders_S1_08(t *testing.T) {
	for _, move := range []fsm.ChangeMove{fsm.ChangeMoveApply, fsm.ChangeMoveRollback} {
		for i, wait := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 8 * time.Millisecond, 60 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s after %s", move, wait), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, id := promoted(t, uint64(i+1))
					if move == fsm.ChangeMoveRollback {
						_, err := f.as("ann", "executed", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveApply})
						require.NoError(t, err)
					}
					f.c.WaitQuiet()
					leader := f.c.WaitLeader()
					follower := f.c.Up()[0]
					if follower == leader {
						follower = f.c.Up()[1]
					}
					seen, stop := watched(follower)
					done := make(chan error, 1)
					go func() {
						_, err := f.as("ann", "the-one", fsm.MoveChange{Scope: staging, ID: id, Move: move})
						done <- err
					}()
					time.Sleep(wait)
					f.c.Crash(leader)
					require.NoError(t, <-done)
					f.c.Restart(leader)
					f.c.WaitQuiet()
					stop()
					want, status := 30, fsm.ChangeCompleted
					if move == fsm.ChangeMoveRollback {
						want, status = 0, fsm.ChangeRolledBack
					}
					for _, m := range f.c.Members() {
						env, _ := m.State().Environment(staging.Tenant, staging.Environment)
						c, ok := env.Change(id)
						require.True(t, ok)
						require.Equal(t, status, c.Status, m.Name)
						require.Equal(t, want, env.Snapshot().Len(), m.Name)
					}
					require.LessOrEqual(t, len(seen()), 2, "before and after, nothing between: %v", seen())
				})
			})
		}
	}
}

// S1-09: leaders die around the time of a scheduled promotion. It happens once.
func TestAScheduledPromotionSurvivesTheDeathOfLeaders_S1_09(t *testing.T) {
	for i, early := range []time.Duration{-time.Second, -20 * time.Millisecond, 0, 5 * time.Millisecond, 30 * time.Millisecond} {
		t.Run(fmt.Sprint("killed at ", early), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, id := promoted(t, uint64(i+11))
				for _, m := range f.c.Members() {
					f.fly(m)
				}
				defer func() {
					for _, land := range f.land {
						land()
					}
				}()
				at := f.c.WaitLeader().Node().Now().Add(30 * time.Second)
				_, err := f.as("ann", "later", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveSchedule, At: at.UnixMilli()})
				require.NoError(t, err)
				leader := f.c.WaitLeader()
				time.Sleep(at.Sub(leader.Node().Now()) + early)
				f.c.Crash(leader)
				f.land[leader]()
				delete(f.land, leader)
				time.Sleep(10 * time.Second)
				f.c.Restart(leader)
				f.fly(leader)
				time.Sleep(5 * time.Second)
				f.c.WaitQuiet()
				for _, m := range f.c.Members() {
					env, _ := m.State().Environment(staging.Tenant, staging.Environment)
					c, _ := env.Change(id)
					require.Equal(t, fsm.ChangeCompleted, c.Status, "%s: %s", m.Name, c.Cause)
					require.Equal(t, 30, env.Snapshot().Len())
					require.GreaterOrEqual(t, c.ExecutedAt, at.UnixMilli())
					fired := 0
					for _, e := range c.Events {
						if e.Move == fsm.ChangeMoveDue {
							fired++
						}
					}
					require.Equal(t, 1, fired, m.Name)
				}
			})
		})
	}
}
