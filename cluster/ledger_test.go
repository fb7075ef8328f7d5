package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// writeRows changes flags until the change log has n rows more, and returns when that is applied.
func writeRows(t *testing.T, node *cluster.Node, n int) {
	t.Helper()
	for round := 0; n > 0; round++ {
		var commands []fsm.Command
		for i := range min(n, 400) {
			commands = append(commands, fsm.PutFlag{Flag: &evaluator.Flag{Key: fmt.Sprintf("f%d", i), Type: evaluator.TypeString,
				Kind: evaluator.KindConfig, Value: new(evaluator.String(fmt.Sprintf("%p %d", &commands, round)))}})
		}
		command, err := fsm.EncodeCommand(fsm.Batch{Scope: fsm.Scope{Tenant: "default", Environment: "dev"}, Commands: commands})
		require.NoError(t, err)
		_, err = node.Propose(t.Context(), &fsm.Proposal{RequestID: fmt.Sprintf("%p-%d", &commands, n), Actor: fsm.Actor{Kind: fsm.ActorUser}, Command: command})
		require.NoError(t, err)
		n -= len(commands)
	}
}

// S0-21: rows that left the state are in the folder of the node, in order, with what they wrote.
func TestRowsThatLeaveTheStateAreKept(t *testing.T) {
	dir := t.TempDir()
	store := fsm.NewStore()
	node, err := cluster.Open(t.Context(), cluster.Config{Store: store, DataDir: dir, Logger: logger()})
	require.NoError(t, err)
	writeRows(t, node, 9000)
	require.NoError(t, node.Close())
	seq, hash := store.State().AuditHead()
	require.Greater(t, seq, uint64(9000-1))
	require.Greater(t, store.State().Audit(0, 1)[0].Seq, uint64(1), "the state forgets")
	report, err := archive.Verify(filepath.Join(dir, "audit"))
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.Equal(t, fsm.AuditReport{Rows: seq, First: 1, Last: seq, Hash: hash}, report)
}

func TestANodeThatComesThroughASnapshotFetchesTheRowsItMissed(t *testing.T) {
	other := t.TempDir()
	config := cluster.Config{Store: fsm.NewStore(), Logger: logger(), NodeName: "first", DataDir: t.TempDir(), TrailingLogs: 1,
		PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", BootstrapExpect: 1}
	first, err := cluster.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, first.Close()) })
	writeRows(t, first, 9000)
	_, err = first.Snapshot(t.Context())
	require.NoError(t, err)

	store := fsm.NewStore()
	second, err := cluster.Open(t.Context(), cluster.Config{Store: store, Logger: logger(), NodeName: "second", DataDir: other,
		PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", Join: []string{first.Status().GossipAddr}})
	require.NoError(t, err)
	for start := time.Now(); ; { // the archive is filled beside the state
		writeRows(t, first, 1)
		seq, _ := second.Ledger().Head()
		if have, _ := store.State().AuditHead(); have > 0 && seq+100 > have {
			break
		}
		require.Less(t, time.Since(start), 30*time.Second, "row %d", seq)
	}
	require.NoError(t, second.Close())
	report, err := archive.Verify(filepath.Join(other, "audit"))
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.Equal(t, uint64(1), report.First)
}

// A node that was killed may have kept rows that its state has yet to read from the log again.
func TestAnArchiveAheadOfTheStatePartsNothing(t *testing.T) {
	dir, store := t.TempDir(), fsm.NewStore()
	config := cluster.Config{Store: store, DataDir: dir, Logger: logger()}
	node, err := cluster.Open(t.Context(), config)
	require.NoError(t, err)
	writeRows(t, node, 20)
	require.NoError(t, node.Close())
	seq, _ := store.State().AuditHead()
	for _, file := range []string{"applied.json", "applied.mark"} { // as if the machine had lost its power: the state begins further back
		require.NoError(t, os.RemoveAll(filepath.Join(dir, file)))
	}
	config.Store = fsm.NewStore()
	node, err = cluster.Open(t.Context(), config)
	require.NoError(t, err)
	writeRows(t, node, 1)
	require.NoError(t, node.Close())
	report, err := archive.Verify(filepath.Join(dir, "audit"))
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.Equal(t, seq+1, report.Last)
	aside, err := filepath.Glob(filepath.Join(dir, "audit", "*.parted*"))
	require.NoError(t, err)
	require.Empty(t, aside)
}
