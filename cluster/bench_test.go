package cluster_test

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
)

// BenchmarkWrite measures writes of a small command on three on-disk nodes over loopback, through the leader, through a
// follower and spread over all, by one and by 64 clients.
func BenchmarkWrite(b *testing.B) {
	for _, clients := range []int{1, 64} {
		for _, through := range []string{"leader", "follower", "all"} {
			b.Run(fmt.Sprintf("clients=%d/through=%s", clients, through), func(b *testing.B) { benchmarkWrite(b, clients, through) })
		}
	}
}

func benchmarkWrite(b *testing.B, clients int, through string) {
	nodes := startThree(b)
	var targets []*cluster.Node
	for _, n := range nodes {
		if leads := n.Status().Role == "leader"; through == "all" || leads == (through == "leader") {
			targets = append(targets, n)
		}
	}
	if through == "follower" {
		targets = targets[:1]
	}
	for c := range clients {
		_, err := targets[c%len(targets)].Propose(b.Context(), put(b, fmt.Sprint("flag-", c)))
		require.NoError(b, err)
	}
	b.ResetTimer()
	inParallel(b, clients, func(c, i int) {
		if _, err := targets[c%len(targets)].Propose(b.Context(), toggle(b, fmt.Sprint("flag-", c), i)); err != nil {
			b.Error(err)
		}
	})
}

// inParallel shares b.N operations among clients.
func inParallel(b *testing.B, clients int, do func(client, i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				do(c, int(next.Load()))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "writes/s")
}

// BenchmarkBareRaft is the yardstick: the same raft settings and store, three nodes in one process over loopback, and
// nothing else.
func BenchmarkBareRaft(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			leader := startBare(b)
			data := make([]byte, 150)
			b.ResetTimer()
			inParallel(b, clients, func(int, int) {
				if err := leader.Apply(data, time.Second).Error(); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

func startBare(b *testing.B) *raft.Raft {
	var servers []raft.Server
	var all []*raft.Raft
	leads := make(chan bool, 10)
	for i := range 3 {
		c := raft.DefaultConfig()
		if i == 0 { // it alone knows the others, so it is the one that gets elected
			c.NotifyCh = leads
		}
		c.LocalID = raft.ServerID(fmt.Sprint(i))
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.CommitTimeout = 300*time.Millisecond, 300*time.Millisecond, 150*time.Millisecond, 5*time.Millisecond
		c.BatchApplyCh, c.MaxAppendEntries = true, 64
		c.Logger = hclog.NewNullLogger()
		store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(b.TempDir(), "raft.db"), MsgpackUseNewTimeFormat: true})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, store.Close()) })
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: bareStream{l}, MaxPool: 3, MaxRPCsInFlight: 1, Timeout: time.Second, Logger: hclog.NewNullLogger()})
		r, err := raft.NewRaft(c, bareFSM{}, store, store, raft.NewInmemSnapshotStore(), trans)
		require.NoError(b, err)
		b.Cleanup(func() {
			require.NoError(b, r.Shutdown().Error())
			trans.CloseStreams()
			require.NoError(b, trans.Close())
		})
		servers = append(servers, raft.Server{ID: c.LocalID, Address: trans.LocalAddr()})
		all = append(all, r)
	}
	require.NoError(b, all[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error())
	for {
		select {
		case won := <-leads:
			if won && all[0].Barrier(time.Second).Error() == nil {
				return all[0]
			}
		case <-time.After(10 * time.Second):
			b.Fatal("nobody leads")
		}
	}
}

type bareStream struct{ net.Listener }

func (bareStream) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(a), timeout)
}

// bareFSM does nothing.
type bareFSM struct{}

func (bareFSM) Apply(*raft.Log) any                 { return nil }
func (bareFSM) Snapshot() (raft.FSMSnapshot, error) { return &raft.MockSnapshot{}, nil }
func (bareFSM) Restore(io.ReadCloser) error         { return nil }

// BenchmarkVisible measures from the answer of a write on the leader until both followers show it, on an idle cluster.
func BenchmarkVisible(b *testing.B) {
	nodes, stores := startThreeStores(b)
	idle := time.NewTicker(20 * time.Millisecond)
	defer idle.Stop()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		<-idle.C
		start := time.Now()
		r, err := leaderOf(nodes).Propose(b.Context(), toggle(b, "first", i))
		require.NoError(b, err)
		for _, s := range stores {
			require.NoError(b, s.Wait(b.Context(), r.Revision))
		}
		took = append(took, time.Since(start))
	}
	report(b, took, "visible")
}

func leaderOf(nodes []*cluster.Node) *cluster.Node {
	for _, n := range nodes {
		if n.Status().Role == "leader" {
			return n
		}
	}
	return nodes[0]
}

func report(b *testing.B, took []time.Duration, what string) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, what+"-p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, what+"-p99-ms")
}
