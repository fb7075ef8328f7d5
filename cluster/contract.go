// Package cluster keeps N nodes agreeing on one log of proposals.
package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// CONTRACT SKELETON: the owner of cluster replaces it; cmd builds on these signatures.

var errSkeleton = errors.New("cluster: skeleton")

// Profile is a set of raft timings.
type Profile string

const (
	ProfileLAN Profile = "lan"
	ProfileWAN Profile = "wan"
)

// Config says how a node runs.
type Config struct {
	ClusterName     string // label of the gossip, default "hoist"
	NodeName        string // default host name
	DataDir         string // empty: everything in memory (hoist dev)
	PeerAddr        string // listen address host:port; empty together with GossipAddr for a lone in-memory node
	PeerAdvertise   string // default PeerAddr
	GossipAddr      string
	GossipAdvertise string
	APIAddr         string   // advertised in gossip, for redirects and `cluster members`
	GossipKey       []byte   // 32 bytes
	Insecure        bool     // allow non-loopback without a key
	Join            []string // gossip addresses
	BootstrapExpect int      // 0: join only
	Profile         Profile
	Version         string // build version, shown to members
	Store           *fsm.Store
	Logger          *slog.Logger
	Hooks           Hooks
}

// Hooks are seams for tests; zero means production.
type Hooks struct {
	Wall func() time.Time
}

// Node is one member.
type Node struct{ _ int }

// Open starts a node. It returns when local data is loaded and served; it does not wait for a leader.
func Open(ctx context.Context, cfg Config) (*Node, error) { panic(errSkeleton) }

// Propose gets the proposal committed through whichever node leads, and returns when it is applied HERE (read your
// writes on the asked node). Errors are *fsm.Error.
func (n *Node) Propose(ctx context.Context, p *fsm.Proposal) (fsm.Receipt, error) { panic(errSkeleton) }

// ReadIndex returns when the local state is at least as new as the call: linearizable reads follow it.
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) { panic(errSkeleton) }

// Age is how long ago this node last knew that it was current.
func (n *Node) Age() time.Duration { panic(errSkeleton) }

func (n *Node) Status() Status                                          { panic(errSkeleton) }
func (n *Node) Join(ctx context.Context, addrs []string) error          { panic(errSkeleton) }
func (n *Node) Remove(ctx context.Context, id string, force bool) error { panic(errSkeleton) } // forwarded to the leader
func (n *Node) Transfer(ctx context.Context, to string) error           { panic(errSkeleton) } // to = id or name, empty = any
func (n *Node) Snapshot(ctx context.Context) (index uint64, err error)  { panic(errSkeleton) }

// Fatal delivers the reason why the process must end (with *ExitError), e.g. disk, removed, law.
func (n *Node) Fatal() <-chan error { panic(errSkeleton) }

// Close stops gracefully: transfers leadership if it leads, drains, and releases the data directory. The node stays in
// the configuration.
func (n *Node) Close() error { panic(errSkeleton) }

// ExitError carries the process exit code of consensus.md: 70 disk, 71 divergence, 72 removed, 73 unknown law.
type ExitError struct {
	Code   int
	Detail string
}

func (e *ExitError) Error() string { return e.Detail }

// Status is what `hoist cluster status` shows.
type Status struct {
	ClusterID   string
	ClusterName string
	NodeID      string
	NodeName    string
	Role        string // leader, follower, candidate, non-voter, joining, waiting
	Leader      string // id
	Term        uint64
	Commit      uint64
	Applied     uint64 // revision of the local state
	Epoch       string
	Age         time.Duration
	Quorum      int
	CanLose     int // healthy voters that may still fail
	Insecure    bool
	Members     []Member
}

// Member is one server of the raft configuration, or one seen in gossip only.
type Member struct {
	ID          string
	Name        string
	Role        string // leader, voter, non-voter, gossip-only
	Health      string // alive, suspect, dead, unknown
	PeerAddr    string
	GossipAddr  string
	APIAddr     string
	Version     string
	Lag         uint64        // entries behind the leader's commit; leader only
	LastContact time.Duration // leader only
}
