package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

// joinRequest asks the leader to let a server in.
type joinRequest struct {
	ServerID string `json:"id"`
	Name     string `json:"name,omitempty"`
	Address  string `json:"address"`
}

// joinAnswer is the leader's answer, or the way to it.
type joinAnswer struct {
	ClusterID string `json:"cluster_id,omitempty"`
	Leader    string `json:"leader,omitempty"` // ask this server instead
	Address   string `json:"address,omitempty"`
	Error     string `json:"error,omitempty"`
}

// admit is the leader's side of a join: a stranger becomes a non-voter, a known server with a new address keeps its role.
func (n *Node) admit(ctx context.Context, r joinRequest) joinAnswer {
	if n.lead.Load() == nil {
		_, id := n.raft().LeaderWithID()
		a := joinAnswer{Error: "this server does not lead", Leader: string(id)}
		if id != "" {
			a.Address = n.network.addressOf(string(id))
		}
		return a
	}
	servers := n.raft().GetConfiguration().Configuration().Servers
	for _, s := range servers {
		switch {
		case string(s.ID) == r.ServerID && string(s.Address) == r.Address:
			return joinAnswer{ClusterID: n.clusterID()}
		case string(s.ID) != r.ServerID && string(s.Address) == r.Address:
			if err := n.replace(ctx, s); err != nil {
				return joinAnswer{Error: err.Error()}
			}
		}
	}
	n.warnOfNamesake(servers, r)
	if err := n.setServer(ctx, servers, r.ServerID, r.Address); err != nil {
		return joinAnswer{Error: err.Error()}
	}
	n.log.Info("a server joined", "server", r.ServerID, "name", r.Name, "address", r.Address)
	return joinAnswer{ClusterID: n.clusterID()}
}

// replace removes a server whose address a new one has: it lost its disk.
func (n *Node) replace(ctx context.Context, old raft.Server) error {
	if err := n.mayRemove(string(old.ID)); err != nil {
		return fmt.Errorf("the address %s belongs to server %s, which lost its data it seems, and cannot be replaced: %w", old.Address, old.ID, err)
	}
	return n.change(ctx, func() raft.IndexFuture { return n.raft().RemoveServer(old.ID, 0, changeQueue) })
}

// warnOfNamesake tells of a member with the same name that is gone: most likely the same machine before it lost its disk.
func (n *Node) warnOfNamesake(servers []raft.Server, r joinRequest) {
	for _, s := range servers {
		if m, ok := n.network.gossip.find(string(s.ID)); ok && r.Name != "" && m.Name == r.Name && m.id != r.ServerID {
			n.log.Warn("a server joins under a name that is taken; if it lost its disk, remove the old one", "name", r.Name, "new", r.ServerID, "old", m.id,
				"fix", "hoist cluster remove "+m.id)
		}
	}
}

// setServer adds a server as a non-voter, or gives a known one its new address.
func (n *Node) setServer(ctx context.Context, servers []raft.Server, id, address string) error {
	voter := slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == id && s.Suffrage == raft.Voter })
	return n.change(ctx, func() raft.IndexFuture {
		if voter {
			return n.raft().AddVoter(raft.ServerID(id), raft.ServerAddress(address), 0, changeQueue)
		}
		return n.raft().AddNonvoter(raft.ServerID(id), raft.ServerAddress(address), 0, changeQueue)
	})
}

// change runs one change of the servers; while it is under way this leader's list is not final.
func (n *Node) change(ctx context.Context, do func() raft.IndexFuture) error {
	n.changes.Add(1)
	return n.await(ctx, releasing{do(), func() { n.changes.Add(-1) }})
}

// tendMembers is the leader's care for the servers, once a second: it notes new addresses, gives a vote to those who
// have caught up, and puts new law in force when everybody knows it.
func (n *Node) tendMembers(ctx context.Context, l *leadership) error {
	if n.network == nil {
		return nil
	}
	now := time.Now()
	servers := n.raft().GetConfiguration().Configuration().Servers
	for _, s := range servers {
		if string(s.ID) == n.id() && string(s.Address) == n.network.address {
			continue
		}
		address := n.network.addressOf(string(s.ID))
		r := n.reports.get(string(s.ID))
		if address != string(s.Address) && (r.healthy(now) || string(s.ID) == n.id()) {
			n.log.Info("a server has a new address", "server", s.ID, "old", s.Address, "new", address)
			return n.setServer(ctx, servers, string(s.ID), address)
		}
		if s.Suffrage != raft.Voter && r.healthy(now) && now.Sub(r.since) >= n.cfg.PromoteAfter && r.lag <= maxLag {
			n.log.Info("a server has caught up and votes from now on", "server", s.ID)
			return n.change(ctx, func() raft.IndexFuture { return n.raft().AddVoter(s.ID, s.Address, 0, changeQueue) })
		}
	}
	if version, ok := n.lawForAll(servers); ok {
		return n.proposeOwn(ctx, fsm.RaiseVersion{Version: version}, l.clock.now())
	}
	return nil
}

// lawForAll is the newest law that every configured server reports to know, if it is newer than the one in force.
func (n *Node) lawForAll(servers []raft.Server) (int, bool) {
	known := []law{{fsm.LawOldest, fsm.LawVersion}}
	for _, s := range servers {
		if string(s.ID) == n.id() {
			continue
		}
		r := n.reports.get(string(s.ID))
		if r.at.IsZero() {
			return 0, false
		}
		known = append(known, law{r.state.LawLow, r.state.LawHigh})
	}
	return raise(n.cfg.Store.State().ClusterVersion(), known)
}

// law is the range of cluster versions a server knows.
type law struct{ low, high int }

// raise finds the newest version that everybody knows above the current one. It never lowers, and a server that could
// not read the new version any more holds it back.
func raise(current int, known []law) (int, bool) {
	version := known[0].high
	for _, k := range known {
		version = min(version, k.high)
	}
	for _, k := range known {
		if k.low > version {
			return 0, false
		}
	}
	return version, version > current
}

// proposeChecksum lets every node compare its state with the leader's at the newest kept index.
func (n *Node) proposeChecksum(ctx context.Context, l *leadership) error {
	index, hash := n.cfg.Store.State().Checkpoint()
	if index == 0 || index == l.checked {
		return nil
	}
	if err := n.proposeOwn(ctx, fsm.Checksum{Index: index, Hash: hash}, l.clock.now()); err != nil {
		return err
	}
	l.checked = index
	return nil
}

// order is what an operator wants of the leader.
type order struct {
	Verb  string        `json:"verb"` // remove, transfer
	ID    string        `json:"id,omitempty"`
	Force bool          `json:"force,omitempty"`
	Time  time.Duration `json:"time"`
}

const (
	verbRemove   = "remove"
	verbTransfer = "transfer"
)

// Remove takes a server (its id or name) out of the cluster for good, whichever node is asked. It is refused with the
// arithmetic when the voters left could not form a quorum, unless force is set.
func (n *Node) Remove(ctx context.Context, id string, force bool) error {
	return n.toLeader(ctx, order{Verb: verbRemove, ID: id, Force: force})
}

// Transfer hands leadership to a server (its id or name), or with an empty name to the one that is furthest.
func (n *Node) Transfer(ctx context.Context, to string) error {
	return n.toLeader(ctx, order{Verb: verbTransfer, ID: to})
}

// toLeader carries an order out here or sends it to the leader.
func (n *Node) toLeader(ctx context.Context, o order) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, orderTime)
		defer cancel()
	}
	_, leader := n.raft().LeaderWithID()
	if n.network == nil || string(leader) == n.id() {
		return n.obey(ctx, o)
	}
	if leader == "" {
		return &fsm.Error{Kind: fsm.KindNoQuorum, Op: o.Verb, Detail: "nobody leads, so the members cannot be changed: try again when a majority of the voters is up"}
	}
	deadline, _ := ctx.Deadline()
	o.Time = time.Until(deadline)
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	reply, err := n.network.ask(ctx, string(leader), n.network.addressOf(string(leader)), kindOrder, body)
	if errors.Is(err, errNotSent) {
		return &fsm.Error{Kind: fsm.KindNotLeader, Op: o.Verb, Detail: "the leader could not be reached: try again", Err: err}
	}
	if err != nil {
		return &fsm.Error{Kind: fsm.KindUnknownOutcome, Op: o.Verb, Detail: "the leader did not answer: look at `hoist cluster members` before trying again", Err: err}
	}
	var p packedError
	if err := json.Unmarshal(reply, &p); err != nil {
		return errMalformed
	}
	return p.unpack()
}

// obey carries an order out on the leader.
func (n *Node) obey(ctx context.Context, o order) error {
	if o.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Time)
		defer cancel()
	}
	if n.lead.Load() == nil {
		return &fsm.Error{Kind: fsm.KindNotLeader, Op: o.Verb, Detail: "this server does not lead any more: try again"}
	}
	var server raft.Server
	if o.ID != "" {
		var err error
		if server, err = n.findServer(o.ID); err != nil {
			return err
		}
	}
	switch o.Verb {
	case verbRemove:
		return n.remove(ctx, server, o.Force)
	case verbTransfer:
		return n.transfer(ctx, server)
	}
	return &fsm.Error{Kind: fsm.KindInvalid, Op: o.Verb, Detail: "the leader does not know this order: do all members run compatible releases?"}
}

// findServer finds a configured server by id or name.
func (n *Node) findServer(name string) (found raft.Server, err error) {
	count := 0
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		if string(s.ID) == name {
			return s, nil
		}
		if n.nameOf(string(s.ID)) == name {
			found = s
			count++
		}
	}
	switch count {
	case 1:
		return found, nil
	case 0:
		return found, &fsm.Error{Kind: fsm.KindNotFound, Op: "find server", Target: name, Detail: fmt.Sprintf("no server %q is in the cluster: `hoist cluster members` lists them", name)}
	}
	return found, &fsm.Error{Kind: fsm.KindInvalid, Op: "find server", Target: name, Detail: fmt.Sprintf("%d servers are named %q: use the id", count, name)}
}

func (n *Node) nameOf(id string) string {
	if id == n.id() {
		return n.cfg.NodeName
	}
	if n.network == nil {
		return ""
	}
	s, _ := n.network.gossip.find(id)
	return s.Name
}

func (n *Node) remove(ctx context.Context, s raft.Server, force bool) error {
	if err := n.mayRemove(string(s.ID)); err != nil && !force {
		return err
	}
	if n.voters() == 1 && s.Suffrage == raft.Voter {
		return &fsm.Error{Kind: fsm.KindInvalid, Op: verbRemove, Target: string(s.ID), Detail: "the only voter cannot be removed: stop the process and delete its data directory instead"}
	}
	if string(s.ID) == n.id() { // a leader's last deed would be to remove itself; somebody else does it
		return n.removeSelf(ctx, force)
	}
	err := n.change(ctx, func() raft.IndexFuture { return n.raft().RemoveServer(s.ID, 0, changeQueue) })
	if err != nil {
		return fmt.Errorf("remove server %s: %w", s.ID, err)
	}
	n.log.Info("a server was removed", "server", s.ID, "name", n.nameOf(string(s.ID)))
	return nil
}

// removeSelf hands leadership on and asks the next leader.
func (n *Node) removeSelf(ctx context.Context, force bool) error {
	if err := n.await(ctx, n.raft().LeadershipTransfer()); err != nil {
		return fmt.Errorf("hand leadership on before the removal: %w", err)
	}
	for {
		changed := n.changed.wait()
		if _, id := n.raft().LeaderWithID(); id != "" && string(id) != n.id() {
			err := n.toLeader(ctx, order{Verb: verbRemove, ID: n.id(), Force: force})
			var e *fsm.Error
			if !errors.As(err, &e) || e.Kind != fsm.KindNotLeader {
				return err
			}
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mayRemove does the arithmetic of a removal.
func (n *Node) mayRemove(id string) error {
	var voters, healthy []string
	removed := "a non-voter"
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		if string(s.ID) == id {
			removed = "a voter"
			continue
		}
		voters = append(voters, string(s.ID))
		if string(s.ID) == n.id() || n.reports.get(string(s.ID)).healthy(time.Now()) {
			healthy = append(healthy, string(s.ID))
		}
	}
	quorum := len(voters)/2 + 1
	if len(healthy) >= quorum {
		return nil
	}
	return &fsm.Error{Kind: fsm.KindInvalid, Op: verbRemove, Target: id, Detail: fmt.Sprintf(
		"without %s (%s) %d voters remain, their quorum is %d, and %d of them are healthy (%s): bring another voter up first, or use --force", id, removed, len(voters), quorum, len(healthy), strings.Join(healthy, ", "))}
}

func (n *Node) transfer(ctx context.Context, to raft.Server) error {
	if n.voters() < 2 {
		return &fsm.Error{Kind: fsm.KindInvalid, Op: verbTransfer, Detail: "there is no other voter to lead"}
	}
	if string(to.ID) == n.id() {
		return nil
	}
	var f raft.Future
	switch {
	case to.ID == "":
		f = n.raft().LeadershipTransfer()
	case to.Suffrage != raft.Voter:
		return &fsm.Error{Kind: fsm.KindInvalid, Op: verbTransfer, Target: string(to.ID), Detail: "the server does not vote yet, so it cannot lead"}
	default:
		f = n.raft().LeadershipTransferToServer(to.ID, to.Address)
	}
	if err := n.await(ctx, f); err != nil {
		return &fsm.Error{Kind: fsm.KindNotLeader, Op: verbTransfer, Detail: "leadership was not handed on: is the server up and caught up?", Err: err}
	}
	return nil
}
