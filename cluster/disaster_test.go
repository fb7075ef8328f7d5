package cluster_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
)

func leading(t *testing.T, members []*member) *member {
	t.Helper()
	var leader *member
	require.Eventually(t, func() bool {
		for _, m := range members {
			if _, leads := m.node.Leading(); leads {
				leader = m
				return true
			}
		}
		return false
	}, 20*time.Second, 5*time.Millisecond)
	return leader
}

func flagIn(s *fsm.State, key string) bool {
	env, ok := s.Environment(dev.Tenant, dev.Environment)
	if !ok {
		return false
	}
	_, ok = env.Flag(key)
	return ok
}

func TestABackupIsRestoredOnEveryNodeUnderANewEpoch(t *testing.T) {
	members := startMembers(t)
	writeSome(t, members[0].node)
	for _, m := range members { // --wait for everybody
		_, err := m.node.ReadIndex(t.Context())
		require.NoError(t, err)
	}
	manifest, file, err := members[2].node.Backup()
	require.NoError(t, err, "any node")
	domain := members[2].config.Store.State().DomainHash()
	require.Equal(t, domain, manifest.DomainHash)
	late, err := members[1].node.Propose(t.Context(), put(t, "late"))
	require.NoError(t, err)
	old := late.Epoch

	leader := leading(t, members)
	waiting := make(chan error, 1)
	go func() { waiting <- leader.config.Store.Wait(t.Context(), late.Revision+1000) }()
	for _, m := range members {
		if m != leader {
			_, err = m.node.Restore(t.Context(), file)
			var e *fsm.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fsm.KindNotLeader, e.Kind)
		}
	}
	r, err := leader.node.Restore(t.Context(), file)
	require.NoError(t, err)
	require.Len(t, r.Verified, 3)
	require.NotEqual(t, old, r.Epoch)
	require.Error(t, <-waiting, "who waited in the old epoch is told")
	for _, m := range members {
		state := m.config.Store.State()
		require.Equal(t, domain, state.DomainHash())
		require.Equal(t, r.Epoch, state.Epoch())
		require.True(t, flagIn(state, "some-3"))
		require.False(t, flagIn(state, "late"))
	}
	for _, m := range members {
		receipt, err := m.node.Propose(t.Context(), put(t, "after-"+m.config.NodeName))
		require.NoError(t, err)
		require.Equal(t, r.Epoch, receipt.Epoch)
	}
	for _, m := range members {
		require.NoError(t, m.node.Close())
		m.open(t)
		require.True(t, flagIn(m.config.Store.State(), "some-3"), "and stays so over a restart")
		require.Equal(t, r.Epoch, m.config.Store.State().Epoch())
	}
}

func TestAChangedBackupIsRefused(t *testing.T) {
	node, err := cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), Logger: logger()})
	require.NoError(t, err)
	defer func() { require.NoError(t, node.Close()) }()
	writeSome(t, node)
	_, file, err := node.Backup()
	require.NoError(t, err)
	file[len(file)-9] ^= 1
	_, err = node.Restore(t.Context(), file)
	require.ErrorContains(t, err, "SHA-256")
	_, err = node.Restore(t.Context(), []byte("apiVersion: v1\n"))
	require.ErrorContains(t, err, "no backup")
	_, err = node.Propose(t.Context(), put(t, "a"))
	require.NoError(t, err, "nothing happened")
}

// A backup of a cluster that was much further, into a fresh one.
func TestABackupMovesIntoAnotherCluster(t *testing.T) {
	dir := ""
	open := func() (*cluster.Node, *fsm.Store) {
		store := fsm.NewStore()
		dir = t.TempDir()
		node, err := cluster.Open(t.Context(), cluster.Config{Store: store, Logger: logger(), DataDir: dir})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, node.Close()) })
		_, err = node.Propose(t.Context(), put(t, "own"))
		require.NoError(t, err)
		return node, store
	}
	from, _ := open()
	for range 3 {
		writeSome(t, from)
	}
	manifest, file, err := from.Backup()
	require.NoError(t, err)
	to, store := open()
	own := store.State().ClusterID()
	_, err = to.Restore(t.Context(), file)
	require.NoError(t, err)
	require.Equal(t, own, store.State().ClusterID(), "the cluster stays the one it is")
	require.Equal(t, manifest.DomainHash, store.State().DomainHash())
	receipt, err := to.Propose(t.Context(), put(t, "new"))
	require.NoError(t, err)
	require.Greater(t, receipt.Revision, manifest.Revision)
	require.True(t, flagIn(store.State(), "new"))

	require.NoError(t, to.Close())
	report, err := archive.Verify(filepath.Join(dir, "audit"))
	require.NoError(t, err)
	require.Empty(t, report.Findings, "the rows follow the restored ones")
	seq, hash := store.State().AuditHead()
	require.Equal(t, fsm.AuditReport{Rows: seq, First: 1, Last: seq, Hash: hash}, report)
	aside, err := filepath.Glob(filepath.Join(dir, "audit", "*.parted*"))
	require.NoError(t, err)
	require.NotEmpty(t, aside, "what this cluster did before is kept")
}

func TestASurvivorBecomesANewCluster(t *testing.T) {
	members := startMembers(t)
	writeSome(t, members[0].node)
	receipt, err := members[1].node.Propose(t.Context(), put(t, "last"))
	require.NoError(t, err)
	_, err = members[2].node.ReadIndex(t.Context())
	require.NoError(t, err)
	for _, m := range members {
		require.NoError(t, m.node.Close())
	}
	dir := members[2].config.DataDir
	seen, err := cluster.Inspect(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, seen.Newest(), receipt.Revision)
	require.Len(t, seen.Servers, 3)
	for _, f := range seen.Findings {
		require.NotEqual(t, cluster.SeverityProblem, f.Severity, f.What)
	}
	r, err := cluster.Recover(dir)
	require.NoError(t, err)
	require.NotEqual(t, seen.ClusterID, r.ClusterID)

	survivor := members[2]
	survivor.open(t)
	require.True(t, flagIn(survivor.config.Store.State(), "last"), "served at once")
	leading(t, []*member{survivor})
	after, err := survivor.node.Propose(t.Context(), put(t, "after"))
	require.NoError(t, err)
	require.Equal(t, r.Epoch, after.Epoch)
	require.Greater(t, after.Revision, receipt.Revision)

	// An old member that comes back must not outvote it, nor get in with its old log.
	members[0].open(t)
	require.Never(t, func() bool {
		return len(survivor.node.Status().Members) > 1 && survivor.node.Status().Members[1].Role != "gossip-only"
	}, 2*time.Second, 50*time.Millisecond)
	require.Equal(t, r.Epoch, survivor.config.Store.State().Epoch())
	require.NotEqual(t, r.Epoch, members[0].config.Store.State().Epoch())
}
