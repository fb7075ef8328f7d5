package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/fsm"
)

// Config says how a node runs. The zero value with a Store is a lone node in memory.
type Config struct {
	ClusterName     string   // label of the gossip, default "hoist"
	NodeName        string   // for people; default the host name
	DataDir         string   // empty: everything in memory
	LogStore        LogStore // of the data directory; empty: the one it has, bolt for a new one
	PeerAddr        string   // listen address host:port; empty together with GossipAddr for a lone node without any port
	PeerAdvertise   string   // what others dial; default what PeerAddr bound
	GossipAddr      string   // listen address host:port, TCP and UDP
	GossipAdvertise string   // IP:port others gossip to; default what GossipAddr bound
	APIAddr         string   // advertised to members, for redirects and `hoist cluster members`
	GossipKey       []byte   // 16, 24 or 32 bytes; needed beyond loopback unless Insecure
	Insecure        bool     // allow addresses beyond loopback without a key
	Join            []string
	DialVia         map[string]string // peer or gossip address of a member: the address to dial instead
	BootstrapExpect int               // voters that found the cluster together; 0: join only
	Profile         Profile           // default ProfileLAN
	Version         string            // build version, shown to members
	Store           *fsm.Store
	Logger          *slog.Logger
	Registerer      prometheus.Registerer // nil: metrics are kept but not registered

	PromoteAfter      time.Duration // healthy this long before a new member votes; default 10 s
	SnapshotThreshold uint64        // log entries between snapshots; default 16,384
	TrailingLogs      uint64        // entries kept behind a snapshot; default 65,536

	DiskReserve int64 // below this much free space (or 5 % of the disk) no writes are taken; default 256 MiB, at most a quarter of the disk
	DiskBallast int64 // bytes of a file that is deleted when the disk is full; default 64 MiB, at most a 16th of the disk; negative: no such file

	Hooks Hooks
}

// Hooks are seams for tests; zero means production.
type Hooks struct {
	Wall    func() time.Time        // the wall clock, nil = time.Now
	Stores  *Stores                 // instead of DataDir
	Network *Network                // instead of TCP and UDP
	Raft    func(*raft.Config)      // last word on raft's settings
	Machine func(raft.FSM) raft.FSM // stands between raft and the state machine; a raft.BatchingFSM again
}

// Network replaces the sockets of a node. Addresses are plain strings of the network's own making.
type Network struct {
	Listener net.Listener                                                  // where peers arrive
	Dial     func(address string, timeout time.Duration) (net.Conn, error) // towards a peer listener
	Raft     func(raft.ServerAddressProvider) RaftTransport                // nil: raft runs over Listener and Dial
	Gossip   memberlist.Transport                                          // nil: no gossip
}

// Profile is a set of raft timings.
type Profile string

// The profiles; WAN also suits small or noisy virtual machines.
const (
	ProfileLAN Profile = "lan"
	ProfileWAN Profile = "wan"
)

// timings are the values a profile stands for.
type timings struct {
	heartbeat, lease, commit time.Duration
}

func (p Profile) timings() (timings, error) {
	switch p {
	case ProfileLAN:
		return timings{300 * time.Millisecond, 150 * time.Millisecond, 5 * time.Millisecond}, nil
	case ProfileWAN:
		return timings{1500 * time.Millisecond, 750 * time.Millisecond, 20 * time.Millisecond}, nil
	}
	return timings{}, fmt.Errorf("profile %q is unknown: use %q or %q", p, ProfileLAN, ProfileWAN)
}

// ErrConfig marks errors in Config, so that a command can answer "wrong usage".
var ErrConfig = errors.New("cluster: configuration")

// complete fills defaults and checks what can be checked before anything is opened.
func (c *Config) complete() error {
	if c.Store == nil {
		return fmt.Errorf("%w: Store is missing", ErrConfig)
	}
	if c.ClusterName == "" {
		c.ClusterName = "hoist"
	}
	if c.NodeName == "" {
		c.NodeName, _ = os.Hostname() // an empty name is legal, members then show the id
	}
	if c.Profile == "" {
		c.Profile = ProfileLAN
	}
	if _, err := c.Profile.timings(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	switch c.LogStore {
	case "", LogBolt, LogWAL:
	default:
		return fmt.Errorf("%w: log store %q is unknown: use %q or %q", ErrConfig, c.LogStore, LogBolt, LogWAL)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.PromoteAfter == 0 {
		c.PromoteAfter = 10 * time.Second
	}
	if c.SnapshotThreshold == 0 {
		c.SnapshotThreshold = 16384
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 65536
	}
	if c.DiskReserve <= 0 {
		c.DiskReserve = defaultReserve
	}
	if c.DiskBallast == 0 {
		c.DiskBallast = defaultBallast
	}
	c.DiskBallast = max(c.DiskBallast, 0)
	if c.Hooks.Wall == nil {
		c.Hooks.Wall = time.Now
	}
	if c.BootstrapExpect < 0 {
		return fmt.Errorf("%w: bootstrap-expect is %d: use the number of voters that found the cluster", ErrConfig, c.BootstrapExpect)
	}
	return c.checkNetwork()
}

func (c *Config) checkNetwork() error {
	if (c.PeerAddr == "") != (c.GossipAddr == "") {
		return fmt.Errorf("%w: peer and gossip address go together: give both or neither", ErrConfig)
	}
	if c.lone() {
		if len(c.Join) > 0 || c.BootstrapExpect > 1 {
			return fmt.Errorf("%w: join and bootstrap-expect above 1 need a peer and a gossip address", ErrConfig)
		}
		return nil
	}
	if c.Hooks.Network != nil {
		return nil
	}
	switch len(c.GossipKey) {
	case 0, 16, 24, 32:
	default:
		return fmt.Errorf("%w: the gossip key has %d bytes: use 32", ErrConfig, len(c.GossipKey))
	}
	for _, a := range []struct{ name, listen, advertise string }{
		{"peer", c.PeerAddr, c.PeerAdvertise}, {"gossip", c.GossipAddr, c.GossipAdvertise},
	} {
		host, _, err := net.SplitHostPort(a.listen)
		if err != nil {
			return fmt.Errorf("%w: %s address %q: %w", ErrConfig, a.name, a.listen, err)
		}
		if unspecified(host) && a.advertise == "" {
			return fmt.Errorf("%w: %s address %q listens everywhere: say with the advertise address where others reach it", ErrConfig, a.name, a.listen)
		}
		if !loopback(host) && len(c.GossipKey) == 0 && !c.Insecure {
			return fmt.Errorf("%w: %s address %q is beyond loopback: give a gossip key, or accept strangers with --insecure", ErrConfig, a.name, a.listen)
		}
	}
	return nil
}

// lone tells whether the node has no network at all (hoist dev).
func (c *Config) lone() bool { return c.PeerAddr == "" && c.Hooks.Network == nil }

// insecure tells whether anybody who reaches the ports can take part.
func (c *Config) insecure() bool { return !c.lone() && len(c.GossipKey) == 0 }

func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
