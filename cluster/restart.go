package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// maxRestarts is how often within a minute a node starts its raft anew. What three fresh starts do not cure is not cured
// by a fourth: the process ends then, and its supervisor gives it a clean one.
const maxRestarts = 3

// steadfast is the transport as raft sees it: without Close, which raft's shutdown would call. It outlives a raft that is
// started anew.
type steadfast struct {
	raft.Transport
	raft.WithPreVote
	transport *transport
}

// raft is the running raft. It is replaced when it has to be started anew, so nobody keeps it.
func (n *Node) raft() *raft.Raft { return n.engine.Load() }

// stray tells whether raft believes in entries that its log does not hold. It comes to that when a follower whose log
// parted from the leader's is sent a snapshot that ends before its own last entry: raft empties the log on disk, and
// remembers where it ended. It then refuses whatever follows the snapshot, is sent the same snapshot again, and so on
// for ever; worse, it would ask for votes with a log that it does not have.
func (n *Node) stray() bool {
	believed := n.raft().LastIndex() // before the disk is asked: what is appended meanwhile must not count
	last, err := n.disk.LastIndex()
	if err != nil {
		return false // closed: the node is ending
	}
	if list, err := n.stores.Snapshots.List(); err == nil && len(list) > 0 {
		last = max(last, list[0].Index)
	}
	return believed > last
}

// afterInstall runs when raft has taken a snapshot from the leader and before the leader hears of it.
func (n *Node) afterInstall() {
	if !n.stray() {
		return
	}
	n.log.Warn("the log parted from the leader's and was replaced by a snapshot; raft starts anew", "last", n.raft().LastIndex())
	if err := n.restartRaft(); err != nil {
		n.failf(ExitDisk, "raft could not be started anew: %v; start again, which repairs the log", err)
	}
}

// checkStray is called once a second. A log that could be cut but not appended to (a full disk) leaves the same
// disagreement behind; while raft is at work on its log it is there for an instant, so it has to be seen twice.
func (n *Node) checkStray() {
	if !n.stray() {
		n.strayAt = 0
		return
	}
	believed := n.raft().LastIndex()
	if n.strayAt == believed {
		n.strayAt = 0
		n.afterInstall()
		return
	}
	n.strayAt = believed
}

// restartRaft ends the running raft and starts another one over the same log, state, transport and configuration. Writes
// in flight here end with an unknown outcome and are repeated under their request id.
func (n *Node) restartRaft() error {
	n.restarting.Lock()
	defer n.restarting.Unlock()
	if n.closing.Load() {
		return nil
	}
	now := time.Now()
	recent := n.restarts[:0]
	for _, at := range n.restarts {
		if now.Sub(at) < time.Minute {
			recent = append(recent, at)
		}
	}
	if n.restarts = append(recent, now); len(n.restarts) > maxRestarts {
		return fmt.Errorf("it was %d times within a minute, and the log still does not fit", len(n.restarts)-1)
	}
	if err := n.raft().Shutdown().Error(); err != nil {
		return err
	}
	if err := n.newRaft(n.raftConfig(n.notify)); err != nil {
		return err
	}
	n.metrics.restarts.Inc()
	n.changed.raise()
	return nil
}

// newRaft makes a raft over the node's stores and puts it in use.
func (n *Node) newRaft(c *raft.Config) error {
	var machine raft.FSM = n.machine
	if n.cfg.Hooks.Machine != nil {
		machine = n.cfg.Hooks.Machine(machine)
	}
	r, err := raft.NewRaft(c, machine, n.logs, n.disk, n.stores.Snapshots, steadfast{n.transport, n.transport, n.transport})
	if err != nil {
		return errors.Join(errors.New("start raft"), err)
	}
	r.RegisterObserver(raft.NewObserver(n.seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	}))
	n.engine.Store(r)
	n.transport.raft.Store(r)
	return nil
}
