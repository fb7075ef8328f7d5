package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// raftConfig is raft's settings for this node. A first start takes three times the profile's timeouts until a leader
// was heard, since the others are being started too; the only voter of a cluster need not wait for anybody.
func (n *Node) raftConfig(notify chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.id())
	c.HeartbeatTimeout, c.ElectionTimeout = n.timings.heartbeat, n.timings.heartbeat
	c.LeaderLeaseTimeout = n.timings.lease
	c.CommitTimeout = n.timings.commit
	c.MaxAppendEntries = 64
	c.BatchApplyCh = true // group commit
	c.ShutdownOnRemove = false
	c.NoSnapshotRestoreOnStart = true // replay did it
	c.NoLegacyTelemetry = true
	c.SnapshotThreshold = n.cfg.SnapshotThreshold
	c.SnapshotInterval = 30 * time.Second
	c.TrailingLogs = n.cfg.TrailingLogs
	c.NotifyCh = notify
	c.Logger = n.raftLog
	if n.cfg.Hooks.Raft != nil {
		n.cfg.Hooks.Raft(c)
		n.timings = timings{c.HeartbeatTimeout, c.LeaderLeaseTimeout, c.CommitTimeout}
	}
	return c
}

// lonelyTimeout is long enough for a voter that has nobody to wait for.
const lonelyTimeout = 20 * time.Millisecond

// startRaft starts raft over stores that were replayed already.
func (n *Node) startRaft() error {
	c := n.raftConfig(n.notify)
	had, err := raft.HasExistingState(n.logs, n.disk, n.stores.Snapshots)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	n.hadState = had
	switch {
	case n.cfg.lone():
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = lonelyTimeout, lonelyTimeout, lonelyTimeout
	case n.cfg.BootstrapExpect == 1 && len(n.cfg.Join) == 0:
		c.HeartbeatTimeout, c.ElectionTimeout = c.LeaderLeaseTimeout, c.LeaderLeaseTimeout // alone, it need not wait for anybody
	case !n.hadState:
		c.HeartbeatTimeout, c.ElectionTimeout = 3*c.HeartbeatTimeout, 3*c.ElectionTimeout
	}
	n.transport.installed = n.afterInstall
	if err := n.newRaft(c); err != nil {
		return err
	}
	n.goes(func() { n.followLeadership(n.notify) })
	return nil
}

// steady puts the profile's timeouts in force; called at the first contact with a leader.
func (n *Node) steady() {
	r := n.raft().ReloadableConfig()
	r.HeartbeatTimeout, r.ElectionTimeout = n.timings.heartbeat, n.timings.heartbeat
	if err := n.raft().ReloadConfig(r); err != nil {
		n.log.Warn("raft keeps its first timeouts", "error", err)
	}
}

// bootstrap founds a cluster of the given servers; every founder does it with the same list.
func (n *Node) bootstrap(servers []raft.Server) error {
	err := n.raft().BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if errors.Is(err, raft.ErrCantBootstrap) { // the others were quicker and their log is here already
		return nil
	}
	return err
}
