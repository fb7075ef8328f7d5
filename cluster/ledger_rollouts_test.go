package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// measuring starts a rollout on a node and returns what takes one measurement of it.
func measuring(t *testing.T, node *cluster.Node, store *fsm.Store) func() {
	t.Helper()
	dev := fsm.Scope{Tenant: "default", Environment: "dev"}
	plan := &fsm.Plan{}
	require.NoError(t, json.Unmarshal([]byte(`{"name":"p","flag":"f","target":{"variant":"on"},"steps":[{"setWeight":10},{"hold":{}}],
		"analysis":{"background":{"metrics":[{"name":"errors","interval":"1s","failureCondition":"result > 0.1",
		"prometheus":{"address":"http://p","query":"q{{args.cohort}}"}}]}}}`), plan))
	flag, err := evaluator.DecodeFlag([]byte(`{"key":"f","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],
		"off":"off","default":{"variant":"off"}}`))
	require.NoError(t, err)
	sent := 0
	propose := func(p *fsm.Proposal, c fsm.Command) fsm.Receipt {
		sent++
		p.RequestID = fmt.Sprintf("%p-%d", plan, sent)
		p.Command, err = fsm.EncodeCommand(c)
		require.NoError(t, err)
		receipt, err := node.Propose(t.Context(), p)
		require.NoError(t, err)
		return receipt
	}
	propose(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorUser}}, fsm.PutFlag{Scope: dev, Flag: flag})
	receipt := propose(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorUser}}, fsm.StartRollout{Scope: dev, Plan: plan})
	id := fsm.RolloutID("p", receipt.Revision)
	return func() {
		require.True(t, propose(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: store.State().EstablishedTerm()},
			fsm.Measured{Rollouts: []fsm.RolloutMeasured{{Scope: dev, ID: id, Metrics: []fsm.MetricMeasured{{Run: 1,
				Measurement: fsm.Measurement{Verdict: fsm.VerdictSuccessful}, Raw: fsm.NewRawAnswer(fmt.Append(nil, "answer ", sent))}}}}}).Changed)
	}
}

// soundRecords verifies a folder: every row from the first on, each with its record.
func soundRecords(t *testing.T, dir string, rows uint64) {
	t.Helper()
	folder := filepath.Join(dir, "rollouts")
	report, err := archive.Verify(folder)
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.Equal(t, []uint64{1, rows, rows}, []uint64{report.First, report.Last, report.Rows})
	a, err := archive.Open(folder)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	kept, err := a.Rows(0, 1<<20, 1<<30)
	require.NoError(t, err)
	for _, row := range kept {
		require.NotNil(t, row.Record, "row %d", row.Seq)
	}
}

// S0-22: answers leave the state at once and are in the folder of the node, also when that was lost, as far as the log reaches.
func TestAnswersAreKeptBesideTheState(t *testing.T) {
	dir, store := t.TempDir(), fsm.NewStore()
	config := cluster.Config{Store: store, DataDir: dir, Logger: logger()}
	node, err := cluster.Open(t.Context(), config)
	require.NoError(t, err)
	measure := measuring(t, node, store)
	for range 300 {
		measure()
	}
	require.NoError(t, node.Close())
	soundRecords(t, dir, 301)

	require.NoError(t, os.RemoveAll(filepath.Join(dir, "rollouts")))
	config.Store = fsm.NewStore()
	node, err = cluster.Open(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, node.Close())
	soundRecords(t, dir, 301)
}

func TestANodeThatComesThroughASnapshotFetchesTheAnswersItMissed(t *testing.T) {
	firstStore := fsm.NewStore()
	first, err := cluster.Open(t.Context(), cluster.Config{Store: firstStore, Logger: logger(), NodeName: "first", DataDir: t.TempDir(), TrailingLogs: 1,
		PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", BootstrapExpect: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, first.Close()) })
	measure := measuring(t, first, firstStore)
	for range 40 { // fewer than the state has rows of
		measure()
	}
	_, err = first.Snapshot(t.Context())
	require.NoError(t, err)
	dir, store := t.TempDir(), fsm.NewStore()
	second, err := cluster.Open(t.Context(), cluster.Config{Store: store, Logger: logger(), NodeName: "second", DataDir: dir,
		PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", Join: []string{first.Status().GossipAddr}})
	require.NoError(t, err)
	measure()
	want, _ := firstStore.State().RolloutLog().AuditHead()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) { // the archive is filled beside the state
		if seq, _ := second.Rollouts().Head(); seq >= want {
			break
		}
		require.Less(t, time.Since(start), time.Minute)
	}
	require.NoError(t, second.Close())
	soundRecords(t, dir, want)
}

// What was measured after a backup was made is not this cluster's past once it is restored: it is put aside.
func TestARestorePartsTheLogOfRollouts(t *testing.T) {
	dir, store := t.TempDir(), fsm.NewStore()
	a, err := archive.Open(filepath.Join(dir, "rollouts"))
	require.NoError(t, err)
	foreign := fsm.ChainAudit([]fsm.Written{{Audit: fsm.Audit{Index: 1, Verb: "rollout.start"}}, {Audit: fsm.Audit{Index: 2, Verb: "rollout.measured"}}})
	require.NoError(t, a.Append(foreign))
	require.NoError(t, a.Close())
	node, err := cluster.Open(t.Context(), cluster.Config{Store: store, DataDir: dir, Logger: logger()})
	require.NoError(t, err)
	measure := measuring(t, node, store)
	measure()
	require.NoError(t, node.Close())
	soundRecords(t, dir, 2)
	aside, err := filepath.Glob(filepath.Join(dir, "rollouts", "*.parted*"))
	require.NoError(t, err)
	require.NotEmpty(t, aside)
}
