package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// constant is a provider that always says the same.
type constant float64

func (c constant) Query(context.Context, rollout.Query) (rollout.Answer, error) {
	return rollout.Answer{Value: []float64{float64(c)}}, nil
}

// flight is a cluster of real nodes, each with its pilot, in virtual time.
type flight struct {
	t      *testing.T
	c      *clustertest.Cluster
	source constant
	ids    int
	land   map[*clustertest.Member]func()
}

// fly starts the pilot of a member that has just been started.
func (f *flight) fly(m *clustertest.Member) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p := &rollout.Pilot{Store: m.Store(), Cluster: m.Node(), Sources: rollout.Sources{Prometheus: f.source}}
	go func() { defer close(done); _ = p.Run(ctx) }()
	f.land[m] = func() { cancel(); <-done }
}

func (f *flight) propose(c fsm.Command) fsm.Receipt {
	f.t.Helper()
	command, err := fsm.EncodeCommand(c)
	require.NoError(f.t, err)
	f.ids++ // opaque: a UUIDv7 of this process may be of the real time, far ahead of the bubble's
	receipt, err := f.c.WaitLeader().Node().Propose(context.Background(), &fsm.Proposal{RequestID: fmt.Sprintf("ada-%d", f.ids),
		Actor: fsm.Actor{Kind: "user", ID: "ada"}, Command: command})
	require.NoError(f.t, err)
	return receipt
}

func (f *flight) rollout(m *clustertest.Member, id string) *fsm.Rollout {
	env, _ := m.State().Environment(fsm.DefaultTenant, "dev")
	r, ok := env.Rollout(id)
	require.True(f.t, ok)
	return r
}

// live tells whether the rollout goes on; a leader that has just come back may not have read of it yet.
func (f *flight) live(id string) bool {
	env, ok := f.c.WaitLeader().State().Environment(fsm.DefaultTenant, "dev")
	if !ok {
		return true
	}
	r, ok := env.Rollout(id)
	return !ok || r.Phase.Live()
}

const flightPlan = `
name: p
flag: f
target: {variant: "on"}
steps: [{setWeight: 10}, {hold: 20s}, {setWeight: 50}, {hold: 20s}, {setWeight: 100}, {hold: 20s}]
analysis:
  background:
    startingStep: 1
    metrics:
      - {name: errors, interval: 5s, failureCondition: "result[0] > 0.05", prometheus: {address: "http://p", query: "{{args.cohort}}"}}
`

// take starts the cluster and the rollout.
func take(t *testing.T, seed uint64, source constant) (*flight, string) {
	f := &flight{t: t, c: clustertest.Start(t, clustertest.Options{Nodes: 3, Seed: seed}), source: source, land: map[*clustertest.Member]func(){}}
	for _, m := range f.c.Members() {
		f.fly(m)
	}
	scope := fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}
	flag, err := evaluator.DecodeFlag([]byte(`{"key":"f","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"off"}}`))
	require.NoError(t, err)
	f.propose(fsm.PutFlag{Scope: scope, Flag: flag})
	plan, err := rollout.ParsePlan([]byte(flightPlan))
	require.NoError(t, err)
	return f, fsm.RolloutID("p", f.propose(fsm.StartRollout{Scope: scope, Plan: plan}).Revision)
}

// Invariants 8 to 11: leaders of a real cluster are killed at random while a rollout goes on. Nothing happens twice, no
// hold is cut short, and every node ends with the same history.
func TestRolloutSurvivesTheDeathOfLeaders(t *testing.T) {
	for name, source := range map[string]constant{"healthy": 0, "poisoned": 0.4} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, id := take(t, seed+1, source)
					chance := rand.New(rand.NewPCG(seed, 7))
					defer func() {
						for _, land := range f.land {
							land()
						}
					}()
					for f.live(id) {
						time.Sleep(time.Duration(chance.IntN(4000)) * time.Millisecond)
						leader := f.c.WaitLeader()
						f.c.Crash(leader)
						f.land[leader]()
						time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond)
						f.c.Restart(leader)
						f.fly(leader)
					}
					f.c.WaitQuiet()
					want := []string{"step", "holding", "rolled_back"}
					if source == 0 {
						want = []string{"step", "holding", "step", "holding", "step", "holding", "step", "completed"}
					}
					for _, m := range f.c.Members() {
						r := f.rollout(m, id)
						var got []string
						for i, e := range r.History() {
							got = append(got, e.Kind)
							require.EqualValues(t, i+1, e.Seq)
							if i > 0 && r.History()[i-1].Kind == "holding" && e.Kind == "step" {
								require.GreaterOrEqual(t, e.At-r.History()[i-1].At, int64(20_000), "a hold is served in full")
							}
						}
						require.Equal(t, want, got, m.Name)
					}
				})
			})
		}
	}
}
