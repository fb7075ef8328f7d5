package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Status is what `hoist cluster status` shows.
type Status struct {
	ClusterID   string
	ClusterName string
	NodeID      string
	NodeName    string
	Role        string // leader, follower, candidate, non-voter, joining, waiting
	Leader      string // id, empty when nobody leads
	Term        uint64
	Commit      uint64
	Applied     uint64 // revision of the local state
	Epoch       string
	Age         time.Duration
	Quorum      int
	CanLose     int    // healthy voters that may still fail
	Margin      string // the same in words
	Insecure    bool
	PeerAddr    string // as others dial it
	GossipAddr  string
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
	DiskFree    uint64        // bytes
	DiskSize    uint64        // bytes; 0: not known
	DiskFull    bool          // takes no writes
}

// Status describes this node and what it knows of the others. It never waits.
func (n *Node) Status() Status {
	state := n.cfg.Store.State()
	_, leader := n.raft().LeaderWithID()
	s := Status{
		ClusterID: n.clusterID(), ClusterName: n.cfg.ClusterName, NodeID: n.id(), NodeName: n.cfg.NodeName,
		Leader: string(leader), Term: n.raft().CurrentTerm(), Commit: n.raft().CommitIndex(), Applied: state.Index(),
		Epoch: state.Epoch(), Age: n.Age(), Insecure: n.cfg.insecure(),
	}
	if n.network != nil {
		s.PeerAddr = n.network.address
		if own, ok := n.network.gossip.find(n.id()); ok {
			s.GossipAddr = own.gossip
		}
	}
	s.Members = n.members()
	s.Role = "joining"
	if n.cfg.BootstrapExpect > 0 && !n.hadState {
		s.Role = "waiting"
	}
	for _, m := range s.Members {
		if m.ID == s.NodeID {
			s.Role = n.role(m.Role)
		}
	}
	voters, healthy := s.voters()
	if voters > 0 {
		s.Quorum = voters/2 + 1
		s.CanLose = max(healthy-s.Quorum, 0)
	}
	s.Margin = margin(voters, healthy, s.Quorum)
	return s
}

// voters counts those who vote, and those of them who are alive.
func (s *Status) voters() (all, healthy int) {
	for _, m := range s.Members {
		if m.Role != roleLeader && m.Role != roleVoter {
			continue
		}
		all++
		if m.Health == healthAlive {
			healthy++
		}
	}
	return all, healthy
}

// margin says what the numbers mean for whoever has to decide whether to get up.
func margin(voters, healthy, quorum int) string {
	plural := func(n int) string {
		if n == 1 {
			return "1 more node"
		}
		return fmt.Sprintf("%d more nodes", n)
	}
	switch {
	case voters == 0:
		return "in no cluster yet"
	case healthy < quorum:
		return fmt.Sprintf("no quorum: %d of %d voters are healthy and %d are needed; start %s", healthy, voters, quorum, plural(quorum-healthy))
	case voters == 1:
		return "a single voter: it cannot be lost"
	case healthy == quorum:
		return fmt.Sprintf("can lose no more node: %d of %d voters are healthy and all are needed", healthy, voters)
	}
	return "can lose " + plural(healthy-quorum)
}

const (
	roleLeader   = "leader"
	roleVoter    = "voter"
	roleNonVoter = "non-voter"
	roleGossip   = "gossip-only"

	healthAlive   = "alive"
	healthSuspect = "suspect"
	healthDead    = "dead"
	healthUnknown = "unknown"
)

// role is what this server does, from its place among the members.
func (n *Node) role(place string) string {
	switch {
	case place == roleNonVoter || place == roleGossip:
		return place
	case n.raft().State() == raft.Leader:
		return roleLeader
	case n.raft().State() == raft.Candidate:
		return "candidate"
	}
	return "follower"
}

// members lists the servers of the configuration, then those that only gossip knows.
func (n *Node) members() []Member {
	now := time.Now()
	_, leader := n.raft().LeaderWithID()
	leads := n.lead.Load() != nil
	var list []Member
	known := map[string]bool{}
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		m := Member{ID: string(s.ID), Role: roleVoter, PeerAddr: string(s.Address), Health: healthUnknown}
		switch {
		case s.Suffrage != raft.Voter:
			m.Role = roleNonVoter
		case s.ID == leader:
			m.Role = roleLeader
		}
		known[m.ID] = true
		list = append(list, n.complete(m, leads, now))
	}
	if n.network == nil {
		return list
	}
	for _, g := range n.network.gossip.all() {
		if !known[g.id] && g.alive() {
			list = append(list, n.complete(Member{ID: g.id, Role: roleGossip, PeerAddr: g.Peer, Health: healthUnknown}, false, now))
		}
	}
	return list
}

// complete adds what gossip and the newest report say.
func (n *Node) complete(m Member, leads bool, now time.Time) Member {
	if m.ID == n.id() {
		m.Name, m.Version, m.APIAddr, m.Health = n.cfg.NodeName, n.cfg.Version, n.cfg.APIAddr, healthAlive
		m.DiskFree, m.DiskSize, m.DiskFull = n.space.free.Load(), n.space.size.Load(), n.space.full.Load()
	}
	if n.network == nil {
		return m
	}
	g, ok := n.network.gossip.find(m.ID)
	if ok {
		m.Name, m.Version, m.APIAddr, m.GossipAddr = g.Name, g.Version, g.API, g.gossip
		m.Health = healthDead
		if g.alive() {
			m.Health = healthAlive
		}
	}
	if m.ID == n.id() {
		m.Health = healthAlive
		return m
	}
	r := n.reports.get(m.ID)
	if m.Health == healthAlive && !r.at.IsZero() && !r.healthy(now) {
		m.Health = healthSuspect // gossip reaches it, the peer port does not answer
	}
	m.DiskFree, m.DiskSize, m.DiskFull = r.state.DiskFree, r.state.DiskSize, r.state.DiskFull
	if leads && !r.at.IsZero() {
		m.LastContact = now.Sub(r.at)
		m.Lag = r.lag
	}
	return m
}

// Snapshot writes a snapshot of the local state and shortens the log; it gives the index the newest snapshot reaches to.
func (n *Node) Snapshot(ctx context.Context) (index uint64, err error) {
	err = n.await(ctx, n.raft().Snapshot())
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	list, err := n.stores.Snapshots.List()
	if err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	if len(list) == 0 {
		return 0, errors.New("snapshot: nothing is applied yet")
	}
	return list[0].Index, nil
}
