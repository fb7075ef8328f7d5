package clustertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
)

func TestTheFaultTransportSpeaksAllThatRaftAsksFor(t *testing.T) {
	var transport any = new(clustertest.FaultTransport)
	_, ok := transport.(raft.WithPreVote)
	require.True(t, ok, "without RequestPreVote raft switches pre-votes off")
	_, ok = transport.(raft.Transport)
	require.True(t, ok)
	_, ok = transport.(raft.WithClose)
	require.True(t, ok)
}

func TestAWriteThroughAnyNodeIsReadOnThatNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		c.WaitLeader()
		for i, m := range c.Members() {
			key := string(rune('a' + i))
			receipt, err := m.Node().Propose(t.Context(), put(t, key))
			require.NoError(t, err)
			require.GreaterOrEqual(t, m.State().Index(), receipt.Revision)
			require.True(t, has(m.State(), key))
		}
		c.WaitQuiet()
		want := c.Member(0).State().FullHash()
		for _, m := range c.Members() {
			require.Equal(t, want, m.State().FullHash())
		}
	})
}

func TestAnIdleFollowerSeesACommitWithoutWaitingForTheNextHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{CommitTimeout: 200 * time.Millisecond})
		leader := c.WaitLeader()
		c.WaitQuiet()
		time.Sleep(10 * time.Second)
		receipt, err := leader.Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		start := time.Now()
		for _, m := range c.Members() {
			require.NoError(t, m.Store().Wait(t.Context(), receipt.Revision))
		}
		require.Less(t, time.Since(start), 5*time.Millisecond)
	})
}
