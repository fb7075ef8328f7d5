package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
)

var person = fsm.Actor{Kind: "user", ID: "ada"}

func logger(t testing.TB) *slog.Logger {
	if os.Getenv("HOIST_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

func kill(key string) *fsm.Proposal {
	command, err := fsm.EncodeCommand(fsm.Kill{Key: key})
	if err != nil {
		panic(err)
	}
	return &fsm.Proposal{Actor: person, Command: command}
}

func TestLoneNodeInMemoryTakesWrites(t *testing.T) {
	store := fsm.NewStore()
	start := time.Now()
	node, err := cluster.Open(t.Context(), cluster.Config{Store: store, Logger: logger(t)})
	require.NoError(t, err)
	r, err := node.Propose(t.Context(), kill("a"))
	require.NoError(t, err)
	t.Log(r, time.Since(start))
	require.GreaterOrEqual(t, store.State().Index(), r.Revision)
	require.NoError(t, node.Close())
	t.Log(time.Since(start))
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestThree(t *testing.T) {
	var nodes []*cluster.Node
	var join []string
	for i := range 3 {
		n, err := cluster.Open(context.Background(), cluster.Config{Store: fsm.NewStore(), Logger: logger(t), NodeName: fmt.Sprint("n", i+1), DataDir: t.TempDir(),
			PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", BootstrapExpect: 3, Join: join})
		require.NoError(t, err)
		nodes = append(nodes, n)
		join = []string{n.Status().GossipAddr}
	}
	start := time.Now()
	for {
		_, err := nodes[1].Propose(t.Context(), kill("a"))
		if err == nil {
			break
		}
		t.Log(err)
		require.Less(t, time.Since(start), 20*time.Second)
	}
	t.Log("first write after", time.Since(start))
	for _, n := range nodes {
		t.Logf("%+v", n.Status())
		start := time.Now()
		for i := range 500 {
			_, err := n.Propose(t.Context(), kill(fmt.Sprint(i)))
			require.NoError(t, err)
		}
		t.Log(n.Status().Role, 500/time.Since(start).Seconds(), "writes/s")
		start = time.Now()
		_, err := n.ReadIndex(t.Context())
		require.NoError(t, err)
		t.Log("read index", time.Since(start), n.Age())
	}
	for _, n := range nodes {
		require.NoError(t, n.Close())
	}
}
