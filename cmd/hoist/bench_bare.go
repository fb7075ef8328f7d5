package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/spf13/cobra"
	"go.etcd.io/bbolt"
)

// bareProcessStart is how long three bare processes may take to elect a leader.
const bareProcessStart = 15 * time.Second

// bareNode is one process of the baseline of `bench writes`: raft, raft-boltdb and a handler, nothing else.
type bareNode struct {
	http, peer, dir string
	peers           []string // all of them; the first one bootstraps
}

// bareNodeCommand is started by `bench writes` only, so it is not listed.
func (a *app) bareNodeCommand() *cobra.Command {
	b := &bareNode{}
	c := &cobra.Command{
		Use: "bare-node", Short: "One process of the baseline of bench writes", Hidden: true,
		Example: "  hoist bench writes --compare-baseline", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilEOF(cmd.Context(), cmd.InOrStdin())
			defer stop()
			return b.run(ctx)
		},
	}
	f := c.Flags()
	f.StringVar(&b.http, "http", "", "address of the handler")
	f.StringVar(&b.peer, "peer", "", "address of raft")
	f.StringVar(&b.dir, "data-dir", "", "where the log lives")
	f.StringSliceVar(&b.peers, "peers", nil, "raft addresses of all nodes")
	return c
}

// nothing is a state machine without a state.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                  { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error)  { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error        { return r.Close() }
func (nothing) Persist(sink raft.SnapshotSink) error { return sink.Close() }
func (nothing) Release()                             {}

func (b *bareNode) run(ctx context.Context) error {
	node, err := b.open()
	if err != nil {
		return err
	}
	write := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if err := node.Apply(body, 5*time.Second).Error(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok") // a client that has gone needs no answer
	})
	server := &http.Server{Addr: b.http, ReadHeaderTimeout: 10 * time.Second, Handler: write}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	_ = server.ListenAndServe() // ends when the benchmark does
	return node.Shutdown().Error()
}

// open starts raft with the timings of the LAN profile.
func (b *bareNode) open() (*raft.Raft, error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(b.peer)
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 150*time.Millisecond
	cfg.CommitTimeout, cfg.MaxAppendEntries, cfg.BatchApplyCh = 5*time.Millisecond, 64, true
	cfg.SnapshotThreshold, cfg.TrailingLogs = 16384, 65536
	cfg.NoLegacyTelemetry = true
	cfg.Logger = hclog.NewNullLogger()
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(b.dir, "raft.db"), MsgpackUseNewTimeFormat: true,
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, Timeout: time.Second}})
	if err != nil {
		return nil, err
	}
	cached, err := raft.NewLogCache(512, store)
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStore(b.dir, 1, io.Discard)
	if err != nil {
		return nil, err
	}
	network, err := raft.NewTCPTransport(b.peer, nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return nil, err
	}
	node, err := raft.NewRaft(cfg, nothing{}, cached, store, snapshots, network)
	if err != nil || b.peer != b.peers[0] {
		return node, err
	}
	var members raft.Configuration
	for _, peer := range b.peers {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(peer), Address: raft.ServerAddress(peer)})
	}
	return node, node.BootstrapCluster(members).Error()
}

// startBareCluster starts three processes and finds the one that accepts writes.
func startBareCluster(ctx context.Context, dir string) (target, func(), error) {
	addresses, err := freeAddresses(2 * demoNodes)
	if err != nil {
		return target{}, nil, err
	}
	peers := addresses[:demoNodes]
	var stops []func()
	stop := func() {
		for _, s := range stops {
			s()
		}
	}
	for i, peer := range peers {
		s, err := startBareNode(addresses[demoNodes+i], peer, filepath.Join(dir, fmt.Sprintf("bare-%d", i)), peers)
		if err != nil {
			stop()
			return target{}, nil, err
		}
		stops = append(stops, s)
	}
	request := rawPost("/", "application/octet-stream", make([]byte, 100)) // about what a small command takes in the log
	for end := time.Now().Add(bareProcessStart); time.Now().Before(end) && ctx.Err() == nil; {
		for _, addr := range addresses[demoNodes:] {
			t := target{name: "baseline: bare raft, 3 nodes", addr: addr, base: true, requests: func(int) [][]byte { return [][]byte{request} }}
			if _, err := t.once(ctx); err == nil {
				return t, stop, nil
			}
		}
		sleepUntil(ctx, time.Now().Add(100*time.Millisecond))
	}
	stop()
	return target{}, nil, failed("the same again", "the bare raft cluster found no leader")
}

func startBareNode(httpAddr, peer, dir string, peers []string) (func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	process := exec.Command(self, "bench", "bare-node", "--http", httpAddr, "--peer", peer,
		"--data-dir", dir, "--peers", strings.Join(peers, ","))
	leash, err := process.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting a bare node: %w", err)
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("starting a bare node: %w", err)
	}
	return func() {
		_ = leash.Close()          // it ends with its input
		_ = process.Process.Kill() // and at once
		_ = process.Wait()
	}, nil
}
