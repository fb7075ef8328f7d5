package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

// Room is the disk a data directory is on, and a file there that only takes up space: deleting it gives a full disk the
// room that getting well needs.
type Room interface {
	Space() (free, size uint64, err error) // bytes this process could still write, and all there are
	Ballast() (held int64)                 // bytes the ballast file takes up
	SetBallast(bytes int64) error          // 0 deletes it
}

const (
	lowShare     = 10 // percent of the disk: below it, a warning
	fullShare    = 5  // percent of the disk: below it, or below the reserve, the node takes no writes
	reserveShare = 4  // the reserve is at most this part of the disk, so that a small one can be used at all
	ballastShare = 16 // and the ballast this part
	tightTrail   = 256

	defaultReserve = 256 << 20
	defaultBallast = 64 << 20
	lookEvery      = time.Second
)

// space is what a node knows about its disk.
type space struct {
	free, size atomic.Uint64
	full       atomic.Bool   // takes no writes and does not want to lead
	low        bool          // owned by watchSpace
	hit        chan struct{} // capacity 1: a write found no space
}

// errFull marks writes that found no space. The store's own errors do not all keep their cause.
func errFull(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

// limits are the thresholds in bytes for a disk of a size.
func (c *Config) limits(size uint64) (low, full, ballast uint64) {
	full = max(size/100*fullShare, min(uint64(c.DiskReserve), size/reserveShare))
	return max(size/100*lowShare, full), full, min(uint64(c.DiskBallast), size/ballastShare)
}

// watchSpace looks at the disk once a second, and at once when a write found no space.
func (n *Node) watchSpace() {
	if n.stores.Room == nil {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := n.lookAtSpace(); err != nil {
			n.log.Warn("the free space of the disk is not known", "error", err)
		}
		select {
		case <-tick.C:
		case <-n.space.hit:
		case <-n.ctx.Done():
			return
		}
	}
}

// lookAtSpace compares what is free with the thresholds and does what follows from it. What the ballast would take counts
// as taken, so that deleting it makes nobody believe that the disk is well.
func (n *Node) lookAtSpace() error {
	free, size, err := n.stores.Room.Space()
	if err != nil {
		return err
	}
	n.space.free.Store(free)
	n.space.size.Store(size)
	low, full, ballast := n.cfg.limits(size)
	missing := ballast - min(ballast, uint64(n.stores.Room.Ballast()))
	usable := free - min(free, missing)
	switch was := n.space.full.Load(); {
	case !was && usable < full:
		n.log.Error("the disk is almost full: no writes are taken and somebody else shall lead until space is free again",
			"free", free, "needed", full, "fix", "free space on the disk of the data directory, or make it larger; no restart is needed")
		n.space.full.Store(true)
		n.spawn(n.shorten)
	case was && usable >= full+full/10:
		n.log.Info("the disk has space again: writes are taken", "free", free)
		n.space.full.Store(false)
		n.changed.raise()
	}
	if isLow := usable < low; isLow != n.space.low {
		n.space.low = isLow
		if isLow {
			n.log.Warn("the disk is filling up", "free", free, "size", size, "no_writes_below", full)
		}
	}
	if n.space.full.Load() {
		n.spawn(n.yield)
		return nil
	}
	if missing > 0 && usable >= full+full/10 {
		return n.stores.Room.SetBallast(int64(ballast))
	}
	return nil
}

// outOfSpace is the log store's cry for room: true if some was made.
func (n *Node) outOfSpace() bool {
	select {
	case n.space.hit <- struct{}{}:
	default:
	}
	if n.stores.Room == nil {
		return false
	}
	if !n.space.full.Swap(true) {
		n.log.Error("a write found the disk full: no writes are taken and somebody else shall lead until space is free again",
			"fix", "free space on the disk of the data directory, or make it larger; no restart is needed")
	}
	if n.stores.Room.Ballast() == 0 {
		return false
	}
	if err := n.stores.Room.SetBallast(0); err != nil {
		n.log.Error("the ballast file could not be deleted", "error", err)
		return false
	}
	n.log.Warn("the ballast file was deleted to make room")
	return true
}

// shorten writes a snapshot and cuts the log behind it: the log's file does not shrink, but its pages are used again.
func (n *Node) shorten() {
	trail := func(logs uint64) error {
		c := n.raft().ReloadableConfig()
		c.TrailingLogs = logs
		return n.raft().ReloadConfig(c)
	}
	before := n.raft().ReloadableConfig().TrailingLogs
	err := trail(min(before, tightTrail))
	if err == nil {
		_, err = n.Snapshot(n.ctx)
		err = errors.Join(err, trail(before))
	}
	if err != nil && n.ctx.Err() == nil {
		n.log.Warn("the log could not be shortened", "error", err)
	}
}

// roomy is a voter that could lead instead of this node: healthy, its disk not full, its log the longest.
func (n *Node) roomy() (best raft.Server, ok bool) {
	if n.network == nil {
		return best, false
	}
	var last uint64
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		r := n.reports.get(string(s.ID))
		if s.Suffrage != raft.Voter || string(s.ID) == n.id() || !r.healthy(time.Now()) || r.state.DiskFull {
			continue
		}
		if !ok || r.state.Last > last {
			best, last, ok = s, r.state.Last, true
		}
	}
	return best, ok
}

// yield hands leadership to a node with space, if this one leads and there is such a node.
func (n *Node) yield() {
	if n.raft().State() != raft.Leader || !n.yielding.TryLock() {
		return
	}
	defer n.yielding.Unlock()
	if to, ok := n.roomy(); ok {
		ctx, cancel := context.WithTimeout(n.ctx, orderTime)
		defer cancel()
		if err := n.await(ctx, n.raft().LeadershipTransferToServer(to.ID, to.Address)); err != nil {
			n.log.Warn("leadership could not be handed to a server with space", "server", to.ID, "error", err)
		}
	}
}

// writable says whether this leader's disk may take one more write. While somebody else could take over, the write waits
// for that.
func (n *Node) writable() (a attempt, ok bool) {
	if !n.space.full.Load() {
		return attempt{}, true
	}
	if _, ok := n.roomy(); ok {
		return attempt{verdict: notLogged, err: errDiskFull}, false
	}
	return attempt{err: &fsm.Error{Kind: fsm.KindReadOnlyDisk, Op: "propose", Detail: fmt.Sprintf(
		"the disk of the leader (%s) is almost full and no other voter has space, so nothing is written; evaluations keep working: free space there, no restart is needed", n.cfg.NodeName)}}, false
}

var errDiskFull = errors.New("the leader's disk is full and another server takes over")
