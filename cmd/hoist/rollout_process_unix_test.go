//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// trial is three real servers with rollouts under way; their metrics say 0, or 0.4 for flags that begin with bad.
type trial struct {
	t        *testing.T
	children []*child
	ids      map[string]string // rollout id by flag
}

func newTrial(t *testing.T, hold string, flags ...string) *trial {
	x := &trial{t: t, children: three(t), ids: map[string]string{}}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/bad") {
			fmt.Fprint(w, "0.4")
			return
		}
		fmt.Fprint(w, "0")
	}))
	t.Cleanup(provider.Close)
	for _, flag := range flags {
		x.ask(func(ctx context.Context, n *node) error {
			_, err := n.flags.Put(ctx, &hoistv1.PutFlagRequest{Environment: defaultEnvironment, Flag: &hoistv1.Flag{Key: flag, Type: "boolean", Enabled: true,
				Off: "off", Variants: []*hoistv1.Variant{{Key: "on", Value: structpb.NewBoolValue(true)}, {Key: "off", Value: structpb.NewBoolValue(false)}},
				Default: &hoistv1.Serve{Variant: "off"}}})
			return err
		})
		plan := fmt.Sprintf(`name: %s
flag: %[1]s
target: {variant: "on"}
steps: [{setWeight: 10}, {hold: %s}, {setWeight: 50}, {hold: %[2]s}, {setWeight: 100}, {hold: %[2]s}]
analysis: {background: {startingStep: 1, metrics: [{name: errors, interval: 1s, failureLimit: 2, consecutiveErrorLimit: -1, failureCondition: result > 0.05,
  web: {url: "%s/%[1]s/{{args.cohort}}"}}]}}
`, flag, hold, provider.URL)
		x.ask(func(ctx context.Context, n *node) error {
			started, err := n.rollouts.Start(ctx, &hoistv1.StartRolloutRequest{Environment: defaultEnvironment, Plan: plan})
			x.ids[flag] = started.GetRollout().GetId()
			return err
		})
	}
	return x
}

// ask asks the nodes in turn until one answers.
func (x *trial) ask(question func(ctx context.Context, n *node) error) {
	x.t.Helper()
	var last error
	require.Eventually(x.t, func() bool {
		for _, c := range x.children {
			ctx, cancel := context.WithTimeout(x.t.Context(), 3*time.Second)
			last = question(ctx, c.node)
			cancel()
			if last == nil {
				return true
			}
		}
		return false
	}, time.Minute, 50*time.Millisecond, "%v", last)
}

func (x *trial) leader() (leader *child) {
	x.t.Helper()
	require.Eventually(x.t, func() bool {
		leader = (&killer{children: x.children}).leader(x.t.Context())
		return leader != nil
	}, time.Minute, 50*time.Millisecond)
	return leader
}

// live counts the rollouts that have not ended.
func (x *trial) live() (n int) {
	x.ask(func(ctx context.Context, one *node) error {
		all, err := one.rollouts.List(ctx, &hoistv1.ListRolloutsRequest{Environment: defaultEnvironment, Live: true})
		n = len(all.GetRollouts())
		return err
	})
	return n
}

// judge: the same events as without any trouble, each weight once, no hold cut short, on every node.
func (x *trial) judge(hold time.Duration) {
	x.t.Helper()
	require.NoError(x.t, awaitCurrent(x.t.Context(), x.children))
	for flag, id := range x.ids {
		want := []string{"step", "holding", "step", "holding", "step", "holding", "step", "completed"}
		if strings.HasPrefix(flag, "bad") {
			want = []string{"step", "holding", "rolled_back"}
		}
		for _, c := range x.children {
			got, err := c.node.rollouts.Get(x.t.Context(), &hoistv1.GetRolloutRequest{Environment: defaultEnvironment, Id: id})
			require.NoError(x.t, err)
			var kinds []string
			weights := map[float64]int{}
			for i, e := range got.GetRollout().GetEvents() {
				kinds = append(kinds, e.GetKind())
				require.EqualValues(x.t, i+1, e.GetSeq())
				if e.GetKind() == "step" {
					weights[e.GetWeight()]++
				}
				if i > 0 && kinds[i-1] == "holding" && e.GetKind() == "step" {
					require.GreaterOrEqual(x.t, e.GetAt().AsTime().Sub(got.GetRollout().GetEvents()[i-1].GetAt().AsTime()), hold, "a hold is served in full")
				}
			}
			require.Equal(x.t, want, kinds, "%s on %s", flag, c.name)
			if strings.HasPrefix(flag, "bad") {
				require.Equal(x.t, map[float64]int{10: 1}, weights, "each weight is set once")
			} else {
				require.Equal(x.t, map[float64]int{10: 1, 50: 1, 100: 2}, weights, "each weight is set once; landing is the second step at 100")
			}
			told := does(x.t, "rollout", "explain", id, "--all", "--addr", c.http, "-e", defaultEnvironment)
			require.NotContains(x.t, told, "not kept", "%s on %s", flag, c.name)
			require.Contains(x.t, told, "from the providers' own bytes")
		}
	}
}

// The leader's process is killed at ten random points while canaries are under way.
func TestRolloutsSurviveTenKilledLeaders(t *testing.T) {
	x := newTrial(t, "4s", "good-1", "good-2", "good-3", "bad-1", "bad-2")
	chance := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	for range 10 {
		time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond) // a random point, on purpose
		victim := x.leader()
		require.NoError(t, victim.kill())
		require.NoError(t, victim.start(gossipOf(x.children)))
	}
	require.Eventually(t, func() bool { return x.live() == 0 }, 2*time.Minute, 200*time.Millisecond)
	x.judge(4 * time.Second)
}

// A leader whose process is stopped over an election wakes up and can move nothing: its term is over.
func TestAStoppedLeaderThatWakesUpMovesNothing(t *testing.T) {
	x := newTrial(t, "3s", "good-1", "bad-1")
	old := x.leader()
	require.NoError(t, old.process.Process.Signal(syscall.SIGSTOP))
	awake := false
	defer func() {
		if !awake {
			require.NoError(t, old.process.Process.Signal(syscall.SIGCONT))
		}
	}()
	others := &trial{t: t, ids: x.ids}
	for _, c := range x.children {
		if c != old {
			others.children = append(others.children, c)
		}
	}
	require.NotEqual(t, old.name, others.leader().name)
	require.Eventually(t, func() bool { return others.live() < 2 }, time.Minute, 100*time.Millisecond, "another leader goes on")
	require.NoError(t, old.process.Process.Signal(syscall.SIGCONT))
	awake = true
	require.Eventually(t, func() bool { // a node that sleeps for so long may also end by itself, and then its supervisor starts it
		if old.alive() != nil && old.start(gossipOf(x.children)) != nil {
			return false
		}
		return awaitCurrent(t.Context(), x.children) == nil
	}, time.Minute, 200*time.Millisecond)
	require.Eventually(t, func() bool { return x.live() == 0 }, 2*time.Minute, 200*time.Millisecond)
	x.judge(3 * time.Second)
}
