package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	seedsFile   = "members.json" // gossip addresses of the others, for a restart without --join
	joinLongest = 10 * time.Second
	enterEvery  = 250 * time.Millisecond
)

// takePart makes this node a member: of its own cluster, of one it founds with others, or of one it finds.
func (n *Node) takePart() error {
	self := raft.Server{ID: raft.ServerID(n.id()), Address: raft.ServerAddress(n.transport.LocalAddr())}
	if n.cfg.lone() {
		if n.hadState {
			return nil
		}
		return n.bootstrap([]raft.Server{self})
	}
	if n.rejoining && !n.hadState { // it was in a cluster, so it founds none
		n.cfg.BootstrapExpect = 0
		n.log.Warn("waiting to be let in as a new server, because the old data was corrupt")
	}
	if n.hadState && n.cfg.BootstrapExpect > 0 {
		n.log.Info("bootstrap-expect is ignored: the data directory holds a cluster already", "bootstrap_expect", n.cfg.BootstrapExpect)
	}
	if !n.hadState && n.cfg.BootstrapExpect == 0 && len(n.cfg.Join) == 0 {
		n.log.Warn("this server belongs to no cluster and knows none: start it with --bootstrap-expect N to found one or with --join ADDRESS to enter one, or tell it with `hoist cluster join ADDRESS`")
	}
	n.member.Store(n.configured())
	n.network.serve()
	n.goes(n.meet)
	n.goes(n.enter)
	n.goes(n.watchPeers)
	return nil
}

// configured tells whether this server is in its own configuration.
func (n *Node) configured() bool {
	return slices.ContainsFunc(n.raft().GetConfiguration().Configuration().Servers, func(s raft.Server) bool { return string(s.ID) == n.id() })
}

// meet keeps this node in touch by gossip: it tries the given addresses and those it remembers, for ever, as long as it
// sees nobody.
func (n *Node) meet() {
	g := n.network.gossip
	remembered, err := n.seedsIn(n.stores.Files)
	if err != nil {
		n.log.Warn("the remembered members cannot be read", "error", err)
	}
	delay := 500 * time.Millisecond
	for {
		seeds := append(slices.Clone(n.cfg.Join), remembered...)
		if len(seeds) > 0 && len(g.addresses()) == 0 {
			if _, err := g.list.Join(seeds); err != nil && len(g.addresses()) == 0 {
				n.log.Info("no member could be met yet", "tried", seeds, "error", err)
			}
		}
		n.meetOnce.Do(func() { close(n.met) })
		if now := g.addresses(); len(now) > 0 {
			delay = 500 * time.Millisecond
			if !slices.Equal(now, remembered) {
				remembered = now
				if err := n.saveSeeds(now); err != nil {
					n.log.Warn("the members cannot be remembered", "error", err)
				}
			}
		} else {
			delay = min(2*delay, joinLongest)
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(delay))) + delay/10): // full jitter
		case <-n.ctx.Done():
			return
		}
	}
}

// seedsIn are the gossip addresses of members that this node remembers.
func (n *Node) seedsIn(files Files) (seeds []string, err error) {
	data, err := readOptional(files, seedsFile)
	if err != nil || data == nil {
		return nil, err
	}
	return seeds, json.Unmarshal(data, &seeds)
}

func (n *Node) saveSeeds(seeds []string) error {
	data, err := json.Marshal(seeds)
	if err != nil {
		return err
	}
	return n.stores.Files.WriteFile(seedsFile, data)
}

// Join meets members by their gossip addresses, beside those of the configuration. It returns when one answered.
func (n *Node) Join(ctx context.Context, addrs []string) error {
	if n.network == nil {
		return fmt.Errorf("%w: this node has no gossip port to join with", ErrConfig)
	}
	done := make(chan error, 1)
	if !n.spawn(func() {
		met, err := n.network.gossip.list.Join(addrs)
		if met > 0 {
			err = nil
		}
		done <- err
	}) {
		return errClosing
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("no member could be met at %v: %w", addrs, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter runs until this server is in its own configuration: it founds a cluster with others, or asks to be let in.
func (n *Node) enter() {
	tick := time.NewTicker(enterEvery)
	defer tick.Stop()
	for !n.configured() {
		if err := n.tryEnter(); err != nil {
			n.log.Info("not in a cluster yet", "because", err)
		}
		if n.configured() {
			break
		}
		select {
		case <-tick.C:
		case <-n.network.gossip.dirty:
		case <-n.ctx.Done():
			return
		}
	}
	n.member.Store(true)
	n.rejoined()
}

func (n *Node) tryEnter() error {
	ctx, cancel := context.WithTimeout(n.ctx, orderTime)
	defer cancel()
	for _, m := range n.network.gossip.all() {
		if m.alive() && m.id != n.id() && m.ClusterID != "" {
			return n.askIn(ctx, m.id, m.Peer)
		}
	}
	if n.hadState || n.cfg.BootstrapExpect == 0 {
		return nil // somebody has to come first
	}
	return n.found(ctx)
}

// askIn asks a member to let this server in; one that does not lead names the one that does.
func (n *Node) askIn(ctx context.Context, id, address string) error {
	body, err := json.Marshal(joinRequest{ServerID: n.id(), Name: n.cfg.NodeName, Address: n.network.address})
	if err != nil {
		return err
	}
	for hop := 0; hop < 2; hop++ {
		reply, err := n.network.ask(ctx, id, address, kindJoin, body)
		if err != nil {
			return err
		}
		var a joinAnswer
		if err := json.Unmarshal(reply, &a); err != nil {
			return errMalformed
		}
		switch {
		case a.Error == "":
			return n.adopt(ctx, a.ClusterID)
		case a.Address == "":
			return errors.New(a.Error)
		}
		id, address = a.Leader, a.Address
	}
	return errors.New("the leader moved meanwhile")
}

// adopt takes the cluster's id and waits for the log to arrive.
func (n *Node) adopt(ctx context.Context, clusterID string) error {
	n.learning <- struct{}{}
	id := *n.identity.Load()
	id.ClusterID = clusterID
	err := id.save(n.stores.Files)
	n.identity.Store(&id)
	<-n.learning
	if err != nil {
		return err
	}
	n.log.Info("let in; waiting for the log", "cluster", clusterID)
	for !n.configured() && ctx.Err() == nil {
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
	return nil
}

// founders is the set of servers this node would found a cluster with. The first complete set it sees is kept while
// all of it is alive, so that two overlapping sets can never both get this server's word.
type founders struct {
	mu  sync.Mutex
	ids []string
}

func (f *founders) chosen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids
}

// choose keeps the set already chosen if all of it is still a candidate, else takes the first n candidates.
func (f *founders) choose(candidates []string, n int) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.ids {
		if !slices.Contains(candidates, id) {
			f.ids = nil
			break
		}
	}
	if f.ids == nil && len(candidates) >= n {
		f.ids = slices.Clone(candidates[:n])
	}
	return f.ids
}

// found bootstraps a cluster once as many fresh voters as expected see each other and have all chosen the same set.
// Each of them writes the same configuration, so it does not matter who is first.
func (n *Node) found(ctx context.Context) error {
	select {
	case <-n.met: // with --join, look around first: a lost disk must not found a second cluster
	default:
		return nil
	}
	peers := map[string]string{n.id(): n.network.address}
	candidates := []string{n.id()}
	for _, m := range n.network.gossip.all() {
		if !m.alive() || m.id == n.id() || m.Expect == 0 {
			continue
		}
		if m.Expect != n.cfg.BootstrapExpect {
			err := fmt.Errorf("bootstrap-expect is %d here and %d on %s (%s): start all founders with the same number", n.cfg.BootstrapExpect, m.Expect, m.Name, m.Peer)
			n.fail(err)
			return err
		}
		candidates = append(candidates, m.id)
		peers[m.id] = m.Peer
	}
	slices.Sort(candidates)
	set := n.founders.choose(candidates, n.cfg.BootstrapExpect)
	if !slices.Contains(set, n.id()) {
		return nil // too few yet, or the others found it and let this one in afterwards
	}
	servers := make([]raft.Server, 0, len(set))
	for _, id := range set {
		if err := n.agrees(ctx, id, peers[id], set); err != nil {
			return err
		}
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(peers[id])})
	}
	n.log.Info("founding a cluster", "servers", set)
	return n.bootstrap(servers)
}

// agrees makes sure that a founder is as fresh as this node and has chosen the same set.
func (n *Node) agrees(ctx context.Context, id, address string, set []string) error {
	if id == n.id() {
		return nil
	}
	body, err := n.network.ask(ctx, id, address, kindPeers, nil)
	if err != nil {
		return err
	}
	var s peerState
	if err := json.Unmarshal(body, &s); err != nil {
		return errMalformed
	}
	if len(s.Servers) > 0 && !sameServers(s.Servers, set) {
		return fmt.Errorf("server %s has a cluster of %d already: waiting to be let in", id, len(s.Servers))
	}
	if len(s.Servers) == 0 && !slices.Equal(s.Founders, set) {
		return fmt.Errorf("server %s does not see all founders yet", id)
	}
	return nil
}

// sameServers tells whether a configuration holds exactly the set, all voters: its owner founded already.
func sameServers(servers []raft.Server, set []string) bool {
	for _, s := range servers {
		if s.Suffrage != raft.Voter || !slices.Contains(set, string(s.ID)) {
			return false
		}
	}
	return len(servers) == len(set)
}
