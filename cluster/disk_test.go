package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
)

func TestADataDirectoryOfANewerReleaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "node.json"), []byte(`{"server_id":"x","law":7}`), 0o600))
	_, err := cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), DataDir: dir})
	var exit *cluster.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, cluster.ExitUnknownLaw, exit.Code)
	require.ErrorContains(t, err, "start a release that knows cluster version 7")
}

func TestBeyondLoopbackAKeyIsNeeded(t *testing.T) {
	c := cluster.Config{Store: fsm.NewStore(), PeerAddr: "192.0.2.1:7701", GossipAddr: "127.0.0.1:7702"}
	_, err := cluster.Open(t.Context(), c)
	require.ErrorIs(t, err, cluster.ErrConfig)
	require.ErrorContains(t, err, `peer address "192.0.2.1:7701" is beyond loopback`)
	c.PeerAddr, c.GossipKey = "127.0.0.1:0", []byte("short")
	_, err = cluster.Open(t.Context(), c)
	require.ErrorContains(t, err, "5 bytes")
	c.GossipKey, c.GossipAddr = nil, ""
	_, err = cluster.Open(t.Context(), c)
	require.ErrorContains(t, err, "go together")
	c.PeerAddr, c.GossipAddr, c.Insecure = ":7701", ":7702", true
	_, err = cluster.Open(t.Context(), c)
	require.ErrorContains(t, err, "advertise")
}

func TestASnapshotAndTheLogAfterItAreServedAgain(t *testing.T) {
	for _, log := range []cluster.LogStore{cluster.LogBolt, cluster.LogWAL} {
		t.Run(string(log), func(t *testing.T) { snapshotAndLog(t, log) })
	}
}

func snapshotAndLog(t *testing.T, log cluster.LogStore) {
	dir := t.TempDir()
	config := func(store *fsm.Store) cluster.Config {
		return cluster.Config{Store: store, DataDir: dir, LogStore: log, TrailingLogs: 1, Logger: logger()}
	}
	store := fsm.NewStore()
	node, err := cluster.Open(t.Context(), config(store))
	require.NoError(t, err)
	for _, key := range []string{"a", "b", "c"} {
		_, err = node.Propose(t.Context(), put(t, key))
		require.NoError(t, err)
	}
	_, err = node.Snapshot(t.Context())
	require.NoError(t, err)
	_, err = node.Propose(t.Context(), put(t, "d"))
	require.NoError(t, err)
	want := store.State().FullHash()
	require.NoError(t, node.Close())

	again := fsm.NewStore()
	node, err = cluster.Open(t.Context(), config(again))
	require.NoError(t, err)
	require.Equal(t, want, again.State().FullHash())
	require.NoError(t, node.Close())
}

func TestADataDirectoryKeepsTheLogStoreItWasMadeWith(t *testing.T) {
	open := func(dir string, log cluster.LogStore) error {
		node, err := cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), DataDir: dir, LogStore: log, Logger: logger()})
		if err != nil {
			return err
		}
		_, err = node.Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		return node.Close()
	}
	for _, made := range []cluster.LogStore{"", cluster.LogBolt, cluster.LogWAL} {
		dir, kept, other := t.TempDir(), cluster.LogBolt, cluster.LogWAL
		if made == cluster.LogWAL {
			kept, other = other, kept
		}
		require.NoError(t, open(dir, made))
		err := open(dir, other)
		require.ErrorIs(t, err, cluster.ErrConfig)
		require.ErrorContains(t, err, fmt.Sprintf("keeps its log in %s, not in %s", kept, other))
		require.ErrorContains(t, err, "hoist cluster remove")
		require.NoError(t, open(dir, ""))
		require.NoError(t, open(dir, kept))
	}
	require.ErrorContains(t, open(t.TempDir(), "paper"), `log store "paper" is unknown`)
}

func TestADataDirectoryInUseIsRefused(t *testing.T) {
	for _, log := range []cluster.LogStore{cluster.LogBolt, cluster.LogWAL} {
		dir := t.TempDir()
		node, err := cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), DataDir: dir, LogStore: log, Logger: logger()})
		require.NoError(t, err)
		_, err = cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), DataDir: dir, Logger: logger()})
		require.ErrorContains(t, err, "is in use by another hoist process")
		require.NoError(t, node.Close())
	}
}

func TestOneRegistryServesOneNodeAtATime(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		node, err := cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), Registerer: registry})
		require.NoError(t, err)
		_, err = node.Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		families, err := registry.Gather()
		require.NoError(t, err)
		names := map[string]bool{}
		for _, f := range families {
			names[f.GetName()] = true
		}
		for _, name := range []string{"hoist_raft_term", "hoist_raft_commit_index", "hoist_raft_applied_index", "hoist_raft_is_leader", "hoist_raft_has_leader",
			"hoist_apply_duration_seconds", "hoist_fsync_duration_seconds", "hoist_state_age_seconds", "hoist_snapshot_age_seconds",
			"hoist_unknown_outcome_total", "hoist_fenced_total", "hoist_raft_abandoned_futures", "hoist_clock_offset_seconds",
			"hoist_cluster_voters", "hoist_cluster_healthy_voters", "hoist_cluster_can_lose", "hoist_raft_restarts_total", "hoist_disk_full"} {
			require.True(t, names[name], name)
		}
		require.NoError(t, node.Close())
	}
}
