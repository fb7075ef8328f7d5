package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
)

// Two goroutines are not ours to end: a probe of gossip outlives Shutdown by its own timeout, and bbolt leaves one behind
// when it panics over a corrupt file.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("go.etcd.io/bbolt.(*DB).freepages.func2"))
}

func TestALoneNodeInMemoryTakesWrites(t *testing.T) {
	store := fsm.NewStore()
	node, err := cluster.Open(t.Context(), cluster.Config{Store: store, Logger: logger()})
	require.NoError(t, err)
	receipt, err := node.Propose(t.Context(), put(t, "a"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, store.State().Index(), receipt.Revision)
	require.NotEmpty(t, receipt.Epoch)
	_, err = node.ReadIndex(t.Context())
	require.NoError(t, err)
	require.Zero(t, node.Age())
	require.Equal(t, "leader", node.Status().Role)
	require.NoError(t, node.Close())
}

// An entry that does not decode would end every process that applies it, for ever: it must not get into the log.
func TestWhatDoesNotDecodeNeverEntersTheLog(t *testing.T) {
	store := fsm.NewStore()
	n, err := cluster.Open(t.Context(), cluster.Config{Store: store, Logger: logger()})
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	_, err = n.Propose(t.Context(), put(t, "a"))
	require.NoError(t, err)
	for _, data := range [][]byte{{1, 99, 0, '{', '}'}, {}, make([]byte, 1<<20)} {
		_, err = n.Propose(t.Context(), &fsm.Proposal{Actor: person, Command: data})
		var e *fsm.Error
		require.ErrorAs(t, err, &e)
		require.Contains(t, []fsm.Kind{fsm.KindMalformed, fsm.KindInvalid}, e.Kind)
	}
	_, err = n.Propose(t.Context(), put(t, "b"))
	require.NoError(t, err)
}

func TestALoneNodeOnDiskServesItsStateAgain(t *testing.T) {
	dir := t.TempDir()
	open := func() (*cluster.Node, *fsm.Store) {
		store := fsm.NewStore()
		node, err := cluster.Open(t.Context(), cluster.Config{Store: store, DataDir: dir, Logger: logger()})
		require.NoError(t, err)
		return node, store
	}
	node, _ := open()
	_, err := cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), DataDir: dir})
	require.ErrorContains(t, err, "in use by another hoist process")
	receipt, err := node.Propose(t.Context(), put(t, "a"))
	require.NoError(t, err)
	id := node.Status().NodeID
	require.NoError(t, node.Close())

	node, store := open()
	require.GreaterOrEqual(t, store.State().Index(), receipt.Revision, "served before anybody leads")
	require.Equal(t, id, node.Status().NodeID)
	again, err := node.Propose(t.Context(), put(t, "b"))
	require.NoError(t, err)
	require.Greater(t, again.Revision, receipt.Revision)
	require.Equal(t, receipt.Epoch, again.Epoch)
	require.NoError(t, node.Close())
}

func TestThreeNodesOverLoopbackAgree(t *testing.T) {
	nodes := startThree(t)
	for i, n := range nodes {
		start := time.Now()
		_, err := n.Propose(t.Context(), toggle(t, "first", i))
		require.NoError(t, err)
		_, err = n.ReadIndex(t.Context())
		require.NoError(t, err)
		t.Log(n.Status().Role, time.Since(start))
		s := n.Status()
		require.Len(t, s.Members, 3)
		require.Equal(t, 2, s.Quorum)
		require.Equal(t, 1, s.CanLose)
	}
}
