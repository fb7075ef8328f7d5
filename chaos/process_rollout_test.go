package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	messages "github.com/hoistflags/hoist/transport/wire"
)

// A leader stands still over an election while a rollout is under way, and wakes up with its controller in the middle of a
// thought. The next leader goes on with the rollout; every move is in the log once, in the term of whoever made it.
func TestALeaderThatWakesUpMovesNoRollout(t *testing.T) {
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: binary(t)})
	leader := awaitLeader(t, w)
	writeUntil(t, w, leader, "before", 10*time.Second)
	_, err := hoistv1connect.NewFlagServiceClient(w.HTTP(0), w.Address(leader)).Put(t.Context(),
		&hoistv1.PutFlagRequest{Environment: chaos.Rollouts, Flag: messages.EncodeFlag(chaos.Target("r"))})
	require.NoError(t, err)
	started, err := hoistv1connect.NewRolloutServiceClient(w.HTTP(0), w.Address(leader)).Start(t.Context(),
		&hoistv1.StartRolloutRequest{Environment: chaos.Rollouts, Plan: fmt.Sprintf(ladder, "2s", "2s", "2s")})
	require.NoError(t, err)
	events := func(node string) (kinds []string) {
		got, err := hoistv1connect.NewRolloutServiceClient(w.HTTP(0), w.Address(node)).Get(t.Context(),
			&hoistv1.GetRolloutRequest{Environment: chaos.Rollouts, Id: started.GetRollout().GetId()})
		if err != nil {
			return nil // asked again
		}
		for _, e := range got.GetRollout().GetEvents() {
			kinds = append(kinds, e.GetKind())
		}
		return kinds
	}
	next := other(w, leader)
	require.Eventually(t, func() bool { return len(events(next)) >= 2 }, 30*time.Second, 20*time.Millisecond, "the first hold")
	require.NoError(t, w.Pause(leader))
	seen := len(events(next))
	require.Eventually(t, func() bool { return len(events(next)) > seen }, 30*time.Second, 20*time.Millisecond, "another leader goes on")
	require.NoError(t, w.Resume(leader))
	want := []string{"step", "holding", "step", "holding", "step", "holding", "step", "completed"}
	for _, node := range w.Nodes() {
		require.Eventually(t, func() bool { return len(events(node)) >= len(want) }, 60*time.Second, 50*time.Millisecond)
		require.Equal(t, want, events(node), node)
	}
	require.Empty(t, chaos.Settle(w, h))
	require.NoError(t, w.Finish())
	require.Empty(t, chaos.Check(chaos.Evidence{History: h, Dump: w.Dump()}))
}
