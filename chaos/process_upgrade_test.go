package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	"github.com/hoistflags/hoist/cluster"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// inForce is the cluster version that a node's state is under, as its backup says.
func inForce(t *testing.T, w *chaos.Processes, node string) int {
	t.Helper()
	stream, err := hoistv1connect.NewBackupServiceClient(w.HTTP(0), w.Address(node)).Backup(t.Context(), &hoistv1.BackupRequest{})
	require.NoError(t, err)
	var file []byte
	for stream.Receive() {
		file = append(file, stream.Msg().GetPart()...)
	}
	require.NoError(t, stream.Err())
	line, _, _ := bytes.Cut(file, []byte("\n")) // the rest is for a release that knows the version
	var m cluster.Manifest
	require.NoError(t, json.Unmarshal(line, &m))
	return m.ClusterVersion
}

// A cluster of this release and the next one, under load, upgraded one node after the other: nobody ends, states stay
// equal, what only the next release knows is refused until all run it, and nobody goes back afterwards.
func TestARollingUpgradeRaisesTheLawWhenAllKnowIt(t *testing.T) {
	this, next := binary(t), binary(t, "nextlaw")
	var mu sync.Mutex
	runs := map[string]string{}
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: this, Binaries: func(node string) string {
		mu.Lock()
		defer mu.Unlock()
		return runs[node]
	}})
	change := func(node, binary string) {
		require.NoError(t, w.Stop(node))
		mu.Lock()
		runs[node] = binary
		mu.Unlock()
		require.NoError(t, w.Restart(node))
	}
	archive := func() error {
		_, err := hoistv1connect.NewFlagServiceClient(w.HTTP(0), w.Address(w.Leader())).SetArchived(t.Context(),
			&hoistv1.SetArchivedRequest{Environment: chaos.Registers, Key: "w", Archived: true})
		return err
	}
	writeUntil(t, w, "n1", "before", 10*time.Second)
	stop := chaos.Load{World: w, History: h, Seed: 1, Pause: 100 * time.Millisecond, Follow: 1}.Start(context.Background())
	for i, node := range []string{"n1", "n2"} {
		change(node, next)
		writeUntil(t, w, node, fmt.Sprint("mixed-", i), 20*time.Second)
	}
	lead(t, w, "n1")
	time.Sleep(3 * time.Second) // the leader looks every second whether everybody knows more
	require.Equal(t, 1, inForce(t, w, "n1"), "one server does not know version 2")
	require.ErrorContains(t, archive(), "finish the upgrade")
	change("n3", next)
	require.Eventually(t, func() bool { return inForce(t, w, "n1") == 2 && inForce(t, w, "n3") == 2 }, 30*time.Second, 100*time.Millisecond)
	require.Eventually(t, func() bool { return archive() == nil }, 10*time.Second, 100*time.Millisecond)
	stop()
	for _, m := range h.Marks() {
		require.NotEqual(t, chaos.MarkExit, m.What, "%s ended: %s", m.Node, m.Text)
	}

	change("n3", this)
	require.Eventually(t, func() bool { return exits(h, "n3", 73) > 0 }, 20*time.Second, 50*time.Millisecond, "a downgrade is refused")
	require.Regexp(t, "start a (newer )?release", w.Logs())
	change("n3", next)
	require.Empty(t, chaos.Settle(w, h))
	nodes := w.Dump().Nodes
	require.Len(t, nodes, 3)
	for _, n := range nodes {
		require.Equal(t, nodes[0].Domain, n.Domain, n.Node)
	}
}
