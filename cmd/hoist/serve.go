package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout/webhook"
	"github.com/hoistflags/hoist/transport"
)

func (a *app) serverCommand() *cobra.Command {
	var stopWithStdin bool
	c := &cobra.Command{
		Use: "server", Short: "Run one node of a cluster",
		Long: `Run one node of a cluster. It serves what it has as soon as its own data is loaded, with or without a leader.

Every setting can also be a HOIST_SERVER__* variable or a line of the --config file; a flag beats a variable, a variable beats the file.
SIGTERM stops the node gracefully: it hands over leadership and stays a member, so starting it again is all it takes to come back.
Exit codes beside the usual ones: 70 the disk failed, 71 this node's state differs from the others', 72 it was removed from the cluster,
73 the data needs a newer hoist.`,
		Example: `  hoist server --bootstrap-expect 1
  hoist server --bootstrap-expect 3 --join 127.0.0.1:7712 --data-dir /tmp/hoist-1
  hoist server --config hoist.yaml`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := loadSettings(cmd)
			if err != nil {
				return err
			}
			ctx, stop := cmd.Context(), func() {}
			if stopWithStdin {
				ctx, stop = untilEOF(ctx, cmd.InOrStdin())
			}
			defer stop()
			return a.serve(ctx, s)
		},
	}
	settingsFlags(c.Flags())
	c.Flags().BoolVar(&stopWithStdin, "stop-with-stdin", false, "stop when standard input ends: for programs that start hoist as a child")
	return c
}

// untilEOF returns a context that ends when r does. A parent that dies closes the pipe, so no child outlives it.
func untilEOF(ctx context.Context, r io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, r) // the end is the message, however it comes
	}()
	return ctx, cancel
}

// serve runs a node until ctx ends or the node cannot go on.
func (a *app) serve(ctx context.Context, s settings) error {
	logger, err := a.logger(s.LogLevel)
	if err != nil {
		return err
	}
	key, err := s.gossipKey()
	if err != nil {
		return err
	}
	sizes, err := s.sizes()
	if err != nil {
		return err
	}
	via, err := s.dialVia()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := libraryMetrics(registry); err != nil {
		return err
	}
	book, err := readWebhooks(s.WebhooksFile)
	if err != nil {
		return err
	}
	running, err := open(ctx, s.HTTP, cluster.Config{
		ClusterName: s.ClusterName, NodeName: s.NodeName, DataDir: s.DataDir, LogStore: cluster.LogStore(s.LogStore),
		PeerAddr: s.Peer, PeerAdvertise: s.PeerAdvertise, GossipAddr: s.Gossip, GossipAdvertise: s.GossipAdvertise,
		APIAddr: s.HTTPAdvertise, GossipKey: key, Insecure: s.Insecure, Join: s.Join, BootstrapExpect: s.BootstrapExpect,
		Profile: cluster.Profile(s.Profile), Version: version, Logger: logger, Registerer: registry,
		DiskReserve: sizes.reserve, DiskBallast: sizes.ballast, DialVia: via,
	}, equipment{registry: registry, book: book, noAuth: s.InsecureNoAuth})
	if err != nil {
		return err
	}
	collect(serverGarbage)
	if !s.InsecureNoAuth && !loopback(s.HTTP) {
		logger.Warn("tokens travel in the clear beyond this machine; put something with TLS in front of the door", "http", s.HTTP)
	}
	logger.Info("serving", "http", running.address(), "peer", s.Peer, "gossip", s.Gossip, "data_dir", s.DataDir, "version", version)
	return running.until(ctx)
}

// How much garbage may gather, in percent of what lives, before it is collected. A server with few flags has a small heap,
// which Go would otherwise collect many times a second under writes: that was a tenth of a write's cost. An edge makes
// little garbage, and is small where it matters that it is.
const (
	serverGarbage = 200
	edgeGarbage   = 50
)

// collect sets how much garbage may gather, unless whoever started the process decided that.
func collect(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// instance is a running node and its door.
type instance struct {
	node     *cluster.Node
	server   *transport.Server
	listener net.Listener
	served   chan error // why the door closed
	land     func()     // ends the pilot and waits for it
	logger   *slog.Logger
}

// equipment is what a node has besides its data.
type equipment struct {
	registry *prometheus.Registry // nil: it measures nothing
	book     *webhook.Book        // whom it can tell; nil: nobody
	noAuth   bool                 // its door is open to whoever reaches it
}

// open starts a node: the listener first, because its address is what the members hear and a taken port is the most
// common mistake; then the data; then the door.
func open(ctx context.Context, httpAddr string, cfg cluster.Config, kit equipment) (*instance, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", httpAddr)
	if err != nil {
		return nil, failed("another --http, for example 127.0.0.1:0 for any free port", "the door cannot be opened: %v", err)
	}
	if cfg.APIAddr == "" {
		cfg.APIAddr = listener.Addr().String()
	}
	cfg.Store = fsm.NewStore()
	node, err := cluster.Open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	meters, err := newPilotMeters(kit.registry, cfg.Store)
	if err != nil {
		return nil, errors.Join(err, node.Close(), listener.Close())
	}
	server, err := transport.NewCore(transport.Config{
		Store: cfg.Store, Node: node, Ledger: ledgerOf(node.Ledger()), Rollouts: ledgerOf(node.Rollouts()), Calendars: calendars{}, Admin: membership{node}, Plans: plans{kit.book.Names()}, Logger: cfg.Logger, Registry: kit.registry, Version: version,
		NoAuth: kit.noAuth,
	})
	if err != nil {
		return nil, errors.Join(err, node.Close(), listener.Close())
	}
	i := &instance{node: node, server: server, listener: listener, served: make(chan error, 1), logger: cfg.Logger}
	i.fly(cfg.Store, kit.book, meters)
	go func() { i.served <- server.Serve(listener) }()
	return i, nil
}

// ledgerOf is where the node keeps old rows; nil, and not an interface around nil, when it keeps none.
func ledgerOf(l *archive.Archive) transport.Ledger {
	if l != nil {
		return l
	}
	return nil
}

func (i *instance) address() string { return i.listener.Addr().String() }

// until serves until ctx ends, the node gives up or the door breaks, then closes both.
func (i *instance) until(ctx context.Context) error {
	debug.FreeOSMemory() // what decoding the state left behind; the door is open already
	var why error
	select {
	case <-ctx.Done():
		i.logger.Info("stopping: handing over and draining")
	case why = <-i.node.Fatal():
	case why = <-i.served:
	}
	return errors.Join(why, i.close())
}

// close ends the pilot and shuts the door before the node, so that nothing meets a node that is gone.
func (i *instance) close() error {
	i.land()
	return errors.Join(i.server.Close(), i.node.Close())
}

// gossipKey reads the key that encrypts gossip; nil without one.
func (s *settings) gossipKey() ([]byte, error) {
	if s.GossipKeyFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(s.GossipKeyFile)
	if err != nil {
		return nil, failed("openssl rand -hex 32 > "+s.GossipKeyFile, "gossip_key_file: %v", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != 32 {
		return nil, failed("openssl rand -hex 32 > "+s.GossipKeyFile, "gossip_key_file: %s does not hold 64 hex digits", s.GossipKeyFile)
	}
	return key, nil
}

func logLevel(text string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, failed("--log-level info", "log_level: %q is not debug, info, warn or error", text)
	}
	return level, nil
}

// logger writes to stderr: text for a person, JSON for a machine.
func (a *app) logger(levelText string) (*slog.Logger, error) {
	level, err := logLevel(levelText)
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if terminal(a.stderr) {
		return slog.New(slog.NewTextHandler(a.stderr, options)), nil
	}
	return slog.New(slog.NewJSONHandler(a.stderr, options)), nil
}

// membership shows the cluster to the door, which knows no cluster.
type membership struct{ node *cluster.Node }

func (m membership) Status() transport.ClusterStatus {
	s := m.node.Status()
	status := transport.ClusterStatus{
		ClusterID: s.ClusterID, ClusterName: s.ClusterName, NodeID: s.NodeID, NodeName: s.NodeName, Role: s.Role,
		Leader: s.Leader, Term: s.Term, Commit: s.Commit, Quorum: s.Quorum, CanLose: s.CanLose, Insecure: s.Insecure,
		Margin: s.Margin,
	}
	for _, member := range s.Members {
		status.Members = append(status.Members, transport.ClusterMember(member))
	}
	return status
}

func (m membership) Join(ctx context.Context, addrs []string) error { return m.node.Join(ctx, addrs) }
func (m membership) Remove(ctx context.Context, id string, force bool) error {
	return m.node.Remove(ctx, id, force)
}
func (m membership) Transfer(ctx context.Context, to string) error { return m.node.Transfer(ctx, to) }
func (m membership) Snapshot(ctx context.Context) (uint64, error)  { return m.node.Snapshot(ctx) }
func (m membership) MaxBackup() int                                { return cluster.MaxBackup }

func (m membership) Backup() ([]byte, error) {
	_, file, err := m.node.Backup()
	return file, err
}

func (m membership) Restore(ctx context.Context, file []byte) (transport.BackupRestored, error) {
	r, err := m.node.Restore(ctx, file)
	return transport.BackupRestored{Revision: r.Manifest.Revision, Epoch: r.Manifest.Epoch, DomainHash: r.Manifest.DomainHash,
		Verified: r.Verified, Missing: r.Missing}, err
}
