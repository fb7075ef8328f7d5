package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/hoistflags/hoist/fsm"
)

// meta is what a member says of itself in gossip, 512 bytes at most.
type meta struct {
	ClusterID string `json:"c,omitempty"` // empty while unknown
	Name      string `json:"n,omitempty"`
	Expect    int    `json:"x,omitempty"` // bootstrap-expect, while the log is empty
	Version   string `json:"v,omitempty"`
	LawLow    int    `json:"l"`
	LawHigh   int    `json:"h"`
	Peer      string `json:"p"`
	API       string `json:"a,omitempty"`
}

// seen is a member as gossip shows it.
type seen struct {
	meta
	id     string
	gossip string // address
	state  memberlist.NodeStateType
}

func (s seen) alive() bool { return s.state == memberlist.StateAlive }

// gossip finds members and tells who is alive. It decides nothing: the raft configuration is the truth about
// membership. Its callbacks run inside memberlist, so they only raise a flag; whoever cares reads the whole list.
type gossip struct {
	node  *Node
	list  *memberlist.Memberlist
	dirty chan struct{} // capacity 1

	mu      sync.Mutex
	members map[string]seen // by server id, the dead included
	own     meta
}

func (w *network) openGossip() error {
	n := w.node
	g := &gossip{node: n, dirty: make(chan struct{}, 1), members: map[string]seen{}}
	w.gossip = g
	g.own = g.describe()
	if encoded, err := json.Marshal(g.own); err != nil || len(encoded) > memberlist.MetaMaxSize {
		return fmt.Errorf("%w: node name, version and addresses are too long for gossip together (%d of %d bytes)", ErrConfig, len(encoded), memberlist.MetaMaxSize)
	}
	c, err := g.config()
	if err != nil {
		return err
	}
	if n.cfg.insecure() && n.cfg.Hooks.Network == nil {
		n.log.Warn("no gossip key is set: anybody who reaches the peer and gossip ports can take part; give every node the same key")
	}
	if g.list, err = memberlist.Create(c); err != nil {
		return fmt.Errorf("start gossip: %w", err)
	}
	return nil
}

func (g *gossip) config() (*memberlist.Config, error) {
	cfg := &g.node.cfg
	c := memberlist.DefaultLANConfig()
	if cfg.Profile == ProfileWAN {
		c = memberlist.DefaultWANConfig()
	}
	c.Name = g.node.id()
	c.Label = cfg.ClusterName
	c.SecretKey = cfg.GossipKey
	c.GossipVerifyIncoming, c.GossipVerifyOutgoing = true, true
	c.Delegate, c.Events, c.Merge, c.Alive, c.Conflict = g, g, g, g, g
	c.DeadNodeReclaimTime = time.Second // a node that comes back under another address is believed at once
	c.GossipToTheDeadTime = time.Hour
	c.LogOutput = nil
	c.Logger = slog.NewLogLogger(gossipLog{g.node.log.Handler()}, slog.LevelWarn)
	c.MsgpackUseNewTimeFormat = true
	if h := cfg.Hooks.Network; h != nil {
		c.Transport = h.Gossip
		return c, nil
	}
	host, port, err := splitAddress(cfg.GossipAddr)
	if err != nil {
		return nil, fmt.Errorf("%w: gossip address: %w", ErrConfig, err)
	}
	c.BindAddr, c.BindPort, c.AdvertisePort = host, port, port
	if cfg.GossipAdvertise != "" {
		if c.AdvertiseAddr, c.AdvertisePort, err = splitAddress(cfg.GossipAdvertise); err != nil {
			return nil, fmt.Errorf("%w: gossip advertise address: %w", ErrConfig, err)
		}
	}
	if len(cfg.DialVia) > 0 {
		if c.Transport, err = newGossipVia(c, cfg.DialVia); err != nil {
			return nil, fmt.Errorf("start gossip: %w", err)
		}
	}
	return c, nil
}

func splitAddress(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.Atoi(text)
	if host == "localhost" {
		host = "127.0.0.1" // gossip wants numbers
	}
	return host, port, err
}

// describe is what this node says of itself now.
func (g *gossip) describe() meta {
	n := g.node
	m := meta{ClusterID: n.clusterID(), Name: n.cfg.NodeName, Version: n.cfg.Version,
		LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion, Peer: n.network.address, API: n.cfg.APIAddr}
	if m.ClusterID == "" {
		m.Expect = n.cfg.BootstrapExpect
	}
	return m
}

// spread tells the others when what this node says of itself has changed. What it cannot tell now travels with the next
// full exchange.
func (g *gossip) spread() {
	now := g.describe()
	g.mu.Lock()
	same := now == g.own
	g.own = now
	g.mu.Unlock()
	if same {
		return
	}
	if err := g.list.UpdateNode(time.Second); err != nil {
		g.node.log.Debug("gossip did not spread this node's description yet", "error", err)
	}
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, err := json.Marshal(g.own)
	if err != nil { // cannot be: plain text and numbers
		return nil
	}
	return b
}

// NotifyMsg, GetBroadcasts, LocalState and MergeRemoteState implement memberlist.Delegate: nothing travels by gossip
// but who is there.
func (g *gossip) NotifyMsg([]byte)                  {}
func (g *gossip) GetBroadcasts(_, _ int) [][]byte   { return nil }
func (g *gossip) LocalState(bool) []byte            { return nil }
func (g *gossip) MergeRemoteState(_ []byte, _ bool) {}

// NotifyJoin, NotifyLeave and NotifyUpdate implement memberlist.EventDelegate.
func (g *gossip) NotifyJoin(node *memberlist.Node)   { g.note(node) }
func (g *gossip) NotifyLeave(node *memberlist.Node)  { g.note(node) }
func (g *gossip) NotifyUpdate(node *memberlist.Node) { g.note(node) }

func (g *gossip) note(node *memberlist.Node) {
	s := seen{id: node.Name, gossip: node.Address(), state: node.State}
	if json.Unmarshal(node.Meta, &s.meta) != nil {
		return // a stranger that got past the label; it is no use to anybody
	}
	g.mu.Lock()
	g.members[s.id] = s
	g.mu.Unlock()
	select {
	case g.dirty <- struct{}{}:
	default:
	}
}

// NotifyMerge implements memberlist.MergeDelegate: clusters never merge.
func (g *gossip) NotifyMerge(peers []*memberlist.Node) error {
	for _, p := range peers {
		if err := g.foreign(p); err != nil {
			return err
		}
	}
	return nil
}

// NotifyAlive implements memberlist.AliveDelegate.
func (g *gossip) NotifyAlive(peer *memberlist.Node) error { return g.foreign(peer) }

func (g *gossip) foreign(peer *memberlist.Node) error {
	var m meta
	if err := json.Unmarshal(peer.Meta, &m); err != nil {
		return fmt.Errorf("member %s says nothing readable of itself: %w", peer.Name, err)
	}
	own := g.node.clusterID()
	if own == "" || m.ClusterID == "" || own == m.ClusterID {
		return nil
	}
	why := fmt.Sprintf("%s (%s) belongs to cluster %s, this node to cluster %s: two clusters never merge; check --join", m.Name, peer.Address(), m.ClusterID, own)
	g.node.network.refuse(peer.Name, why)
	return errors.New(why)
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (g *gossip) NotifyConflict(existing, other *memberlist.Node) {
	g.node.network.refuse(existing.Name, fmt.Sprintf("server id %s is used at %s and at %s: was a data directory copied? Empty one of them", existing.Name, existing.Address(), other.Address()))
}

// all lists everybody ever seen, this node included, in order of their ids.
func (g *gossip) all() []seen {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.SortedFunc(maps.Values(g.members), func(a, b seen) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
}

func (g *gossip) find(id string) (seen, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.members[id]
	return s, ok
}

// peerAddress is where a member last said it listens.
func (g *gossip) peerAddress(id string) string {
	if g == nil {
		return ""
	}
	s, _ := g.find(id)
	return s.Peer
}

// addresses are the gossip addresses of the others that were alive when last seen.
func (g *gossip) addresses() []string {
	var list []string
	for _, s := range g.all() {
		if s.alive() && s.id != g.node.id() {
			list = append(list, s.gossip)
		}
	}
	return list
}

// Close stops gossip without a word of leaving: the node stays a member.
func (g *gossip) Close() error {
	if g == nil || g.list == nil {
		return nil
	}
	return g.list.Shutdown()
}
