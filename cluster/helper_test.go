package cluster_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

var (
	person = fsm.Actor{Kind: "user", ID: "ada"}
	dev    = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}
)

// logger shows the nodes' logs when asked for.
func logger() *slog.Logger {
	if os.Getenv("HOIST_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func proposal(t testing.TB, c fsm.Command) *fsm.Proposal {
	command, err := fsm.EncodeCommand(c)
	require.NoError(t, err)
	return &fsm.Proposal{Actor: person, Command: command}
}

// put writes a small flag.
func put(t testing.TB, key string) *fsm.Proposal {
	f, err := evaluator.DecodeFlag([]byte(`{"key":"` + key + `","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`))
	require.NoError(t, err)
	return proposal(t, fsm.PutFlag{Scope: dev, Flag: f})
}

// toggle is a small command: it changes the flag each time i grows by one.
func toggle(t testing.TB, key string, i int) *fsm.Proposal {
	return proposal(t, fsm.SetEnabled{Scope: dev, Key: key, Enabled: i%2 == 0})
}

// patient are timings for real time on a machine that others use too: a process may wait for its turn for longer than the
// lease of the LAN profile, and nobody would lead for long.
func patient(c *raft.Config) {
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 600*time.Millisecond, 600*time.Millisecond, 600*time.Millisecond
}

// startThree starts three nodes over loopback, on disk, and waits for the first write.
func startThree(t testing.TB) []*cluster.Node {
	nodes, _ := startThreeStores(t)
	return nodes
}

func startThreeStores(t testing.TB) (nodes []*cluster.Node, stores []*fsm.Store) {
	var join []string
	for i := range 3 {
		stores = append(stores, fsm.NewStore())
		n, err := cluster.Open(t.Context(), cluster.Config{
			Store: stores[i], Logger: logger(), NodeName: fmt.Sprint("n", i+1), DataDir: t.TempDir(),
			PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", BootstrapExpect: 3, Join: join,
			Hooks: cluster.Hooks{Raft: patient},
		})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, n.Close()) })
		nodes = append(nodes, n)
		join = []string{n.Status().GossipAddr}
	}
	for start := time.Now(); ; {
		_, err := nodes[0].Propose(t.Context(), put(t, "first"))
		if err == nil {
			return nodes, stores
		}
		require.Less(t, time.Since(start), 30*time.Second, "no first write: %v", err)
	}
}
