// Package clustertest runs N real nodes in one process, in the virtual time of a testing/synctest bubble, over a network
// and disks that can be broken.
//
// Raft, gossip, the peer protocol and the state machine are the production code; only sockets, disks and time are
// simulated. The invariant: everything a Cluster starts lives inside the bubble that called Start and is gone when the
// test ends, and Crash keeps exactly what was synced.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := clustertest.Start(t, clustertest.Options{Nodes: 3, Seed: 1})
//		leader := c.WaitLeader()
//		c.Isolate(leader)
//		_, err := c.Member(2).Node().Propose(t.Context(), proposal)
//	})
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
)

// Options say what to start. Zero values are a healthy cluster of three on the LAN profile.
type Options struct {
	Nodes             int
	Seed              uint64
	Name              string // of the cluster; default "hoist"
	Profile           cluster.Profile
	CommitTimeout     time.Duration // default 50 ms: an idle bubble is then cheap
	SnapshotThreshold uint64        // default 100
	TrailingLogs      uint64        // default 1,000
	PromoteAfter      time.Duration // default 2 s
	Logger            *slog.Logger
	Tape              *Tape              // records what every node applies; may be nil
	Raft              func(*raft.Config) // last word on raft's settings; may be nil

	// Around hears of every entry at every Point on every member, in the goroutine that has it, and may Crash that member
	// there; may be nil.
	Around func(*Member, Point, *raft.Log)
}

// Cluster is a set of nodes that share a Network.
type Cluster struct {
	Network *Network
	t       testing.TB
	options Options

	mu      sync.Mutex
	members []*Member
	closing []chan struct{} // of crashed processes still winding down
}

// Member is one machine: it keeps its name and disk while processes come and go on it.
type Member struct {
	Name string
	Disk *Disk
	Wall func() time.Time // its wall clock; nil: the bubble's, as Skew left it

	skew    atomic.Pointer[skew]
	process atomic.Pointer[process]
	port    *port
	address int // counts its moves to new addresses
	number  int
}

// skew is how wrong a wall clock is.
type skew struct {
	offset time.Duration
	drift  float64
	since  time.Time
}

// Skew sets the member's wall clock off by an offset that grows by drift seconds a second. It may be called while the
// member runs.
func (m *Member) Skew(offset time.Duration, drift float64) {
	m.skew.Store(&skew{offset, drift, time.Now()})
}

func (m *Member) wall() time.Time {
	if m.Wall != nil {
		return m.Wall()
	}
	now := time.Now()
	if s := m.skew.Load(); s != nil {
		now = now.Add(s.offset + time.Duration(s.drift*float64(now.Sub(s.since))))
	}
	return now
}

// process is one life of a node.
type process struct {
	node  *cluster.Node
	store *fsm.Store
}

// Node is the running process, nil while the member is down.
func (m *Member) Node() *cluster.Node {
	if p := m.process.Load(); p != nil {
		return p.node
	}
	return nil
}

// Running is the running process with its store, nil while the member is down.
func (m *Member) Running() (*cluster.Node, *fsm.Store) {
	if p := m.process.Load(); p != nil {
		return p.node, p.store
	}
	return nil, nil
}

// State is what the running process serves.
func (m *Member) State() *fsm.State { return m.process.Load().store.State() }

// Store is the store of the running process.
func (m *Member) Store() *fsm.Store { return m.process.Load().store }

// Start runs a cluster inside the calling bubble and ends it with the test. It does not wait for a leader.
func Start(t testing.TB, o Options) *Cluster {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 50 * time.Millisecond
	}
	if o.SnapshotThreshold == 0 {
		o.SnapshotThreshold = 100
	}
	if o.TrailingLogs == 0 {
		o.TrailingLogs = 1000
	}
	if o.PromoteAfter == 0 {
		o.PromoteAfter = 2 * time.Second
	}
	c := &Cluster{Network: NewNetwork(o.Seed), t: t, options: o}
	t.Cleanup(c.close)
	for range o.Nodes {
		c.start(c.Add(), o.Nodes)
	}
	return c
}

// Add puts one more machine there, without a process.
func (c *Cluster) Add() *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &Member{Name: fmt.Sprintf("n%d", len(c.members)+1), Disk: NewDisk(), number: len(c.members) + 1}
	c.members = append(c.members, m)
	return m
}

// Join starts one more node, which asks to be let in.
func (c *Cluster) Join() *Member {
	m := c.Add()
	c.start(m, 0)
	return m
}

// Member is the machine with the given index.
func (c *Cluster) Member(i int) *Member { return c.Members()[i] }

// Members are all machines, running or not.
func (c *Cluster) Members() []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.members)
}

// Names are the names of all machines.
func (c *Cluster) Names() []string {
	var names []string
	for _, m := range c.Members() {
		names = append(names, m.Name)
	}
	return names
}

// Up lists the running members.
func (c *Cluster) Up() []*Member {
	var up []*Member
	for _, m := range c.Members() {
		if m.Node() != nil {
			up = append(up, m)
		}
	}
	return up
}

func (m *Member) peerAddress() string { return fmt.Sprintf("%s.%d:7701", m.Name, m.address) }
func (m *Member) gossipIP() net.IP    { return net.IPv4(10, byte(m.address), 0, byte(m.number)) }

const gossipPort = 7702

// Seeds are the gossip addresses of all members.
func (c *Cluster) Seeds() []string {
	var seeds []string
	for _, m := range c.Members() {
		seeds = append(seeds, fmt.Sprintf("%s:%d", m.gossipIP(), gossipPort))
	}
	return seeds
}

func (c *Cluster) start(m *Member, expect int) {
	if err := c.TryStart(m, expect, c.Seeds()); err != nil {
		c.t.Fatalf("start %s: %v", m.Name, err)
	}
}

// TryStart starts a process on a member's machine, with the given bootstrap-expect and seeds.
func (c *Cluster) TryStart(m *Member, expect int, seeds []string) error {
	m.port = c.Network.open(m.Name, m.peerAddress())
	store, stores, around := fsm.NewStore(), m.Disk.stores(), func(Point, *raft.Log) {}
	if c.options.Around != nil {
		around = func(p Point, l *raft.Log) { c.options.Around(m, p, l) }
		stores.Log = aroundLog{stores.Log, around}
	}
	node, err := cluster.Open(context.Background(), cluster.Config{
		ClusterName: c.options.Name, NodeName: m.Name, Store: store, Profile: c.options.Profile,
		BootstrapExpect: expect, Join: seeds, Logger: c.options.Logger, PromoteAfter: c.options.PromoteAfter,
		SnapshotThreshold: c.options.SnapshotThreshold, TrailingLogs: c.options.TrailingLogs,
		Hooks: cluster.Hooks{
			Wall: m.wall, Stores: stores,
			Network: &cluster.Network{Listener: m.port, Dial: m.port.dial, Raft: m.port.transport, Gossip: m.port.gossip(m.gossipIP(), gossipPort)},
			Raft: func(r *raft.Config) {
				r.CommitTimeout = c.options.CommitTimeout
				r.SnapshotInterval = 5 * time.Second
				if c.options.Raft != nil {
					c.options.Raft(r)
				}
			},
			Machine: func(f raft.FSM) raft.FSM {
				return &taped{inner: f, cluster: c, name: m.Name, store: store, around: around}
			},
		},
	})
	if err != nil {
		return errors.Join(err, m.port.Close())
	}
	m.process.Store(&process{node, store})
	return nil
}

// Restart starts a stopped or crashed member again.
func (c *Cluster) Restart(m *Member) { c.start(m, 0) }

// Move gives a stopped member new addresses.
func (c *Cluster) Move(m *Member) { m.address++ }

// Stop ends a member's process gracefully.
func (c *Cluster) Stop(m *Member) {
	if err := m.Node().Close(); err != nil {
		c.t.Errorf("stop %s: %v", m.Name, err)
	}
	if err := m.port.Close(); err != nil {
		c.t.Error(err)
	}
	m.process.Store(nil)
}

// Crash ends a member's process between two instructions: nothing it does from now on reaches disk or network.
func (c *Cluster) Crash(m *Member) {
	m.Disk.Crash()
	if err := m.port.Close(); err != nil {
		c.t.Error(err)
	}
	node, done := m.Node(), make(chan struct{})
	m.process.Store(nil)
	c.mu.Lock()
	c.closing = append(c.closing, done)
	c.mu.Unlock()
	go func() { // a real crash has no such end; here the goroutines must go
		defer close(done)
		_ = node.Close() // whatever fails there, the process is dead to the others
	}()
}

// Isolate cuts a member off from all others.
func (c *Cluster) Isolate(m *Member) {
	var rest []string
	for _, name := range c.Names() {
		if name != m.Name {
			rest = append(rest, name)
		}
	}
	c.Network.Partition(c.Names(), rest)
}

// Leader is the member that leads an established term, nil when there is none. During a partition the one with the
// highest term counts.
func (c *Cluster) Leader() *Member {
	var leader *Member
	var term uint64
	for _, m := range c.Up() {
		node, store := m.Running()
		if node == nil {
			continue // it ended meanwhile
		}
		if s := node.Status(); s.Role == "leader" && s.Term > term && store.State().EstablishedTerm() == s.Term {
			leader, term = m, s.Term
		}
	}
	return leader
}

// Wait polls until ok, at most for the given virtual time.
func (c *Cluster) Wait(what string, limit time.Duration, ok func() bool) {
	c.t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > limit {
			for _, m := range c.Up() {
				c.t.Logf("%s: %+v", m.Name, m.Node().Status())
			}
			c.t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// WaitLeader waits until somebody leads.
func (c *Cluster) WaitLeader() *Member {
	c.t.Helper()
	c.Wait("a leader", 30*time.Second, func() bool { return c.Leader() != nil })
	return c.Leader()
}

// WaitQuiet waits until all running members have applied the same, and there is a leader.
func (c *Cluster) WaitQuiet() {
	c.t.Helper()
	c.Wait("all members at one revision", 60*time.Second, func() bool {
		leader := c.Leader()
		if leader == nil {
			return false
		}
		for _, m := range c.Up() {
			if m.State().Index() != leader.State().Index() {
				return false
			}
		}
		return true
	})
}

func (c *Cluster) close() {
	c.Network.Heal()
	for _, m := range c.Up() {
		m.Disk.Release()
		c.Stop(m)
	}
	c.mu.Lock()
	closing := c.closing
	c.mu.Unlock()
	for _, done := range closing {
		<-done
	}
	time.Sleep(lingerTime)
}

// lingerTime lets memberlist's probes and raft's backoffs run out: they outlive Shutdown by design, and a bubble's time
// stands still once its test function has returned.
const lingerTime = time.Minute
