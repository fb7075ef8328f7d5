package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/fsm"
)

// Node is one member of a cluster.
type Node struct {
	cfg      Config
	log      *slog.Logger
	raftLog  *raftLogger
	timings  timings
	identity atomic.Pointer[identity]
	fatal    chan error

	stores   *Stores
	disk     *logStore     // the guarded stores
	logs     raft.LogStore // disk behind a cache of recent entries
	machine  *machine
	engine   atomic.Pointer[raft.Raft]
	notify   chan bool             // raft's word on leadership
	seen     chan raft.Observation // raft's word on who leads
	hadState bool                  // the data directory was not empty at start

	restarting sync.Mutex  // a raft is being replaced, or ended for good
	restarts   []time.Time // within the last minute
	strayAt    uint64      // where raft's belief ended when it was last found wrong; owned by keepProgress

	transport *transport
	network   *network // nil for a lone node
	announcer announcer
	fresh     freshness
	reads     readBatch

	reports  reports
	founders founders
	member   atomic.Bool   // this server was seen in its own configuration
	changes  atomic.Int32  // changes of the servers under way here
	met      chan struct{} // closed when the first look around is done
	meetOnce sync.Once

	lead    atomic.Pointer[leadership]
	leader  leaderWatch
	changed signal // leadership or leader changed
	callers window // Propose
	appends window // entries handed to raft

	rejoining bool // the data was corrupt and put aside: this server has to be let in again

	maintenance atomic.Bool // the state is being replaced

	space    space
	yielding sync.Mutex // leadership is being handed to a server with space

	saved      uint64        // applied index on disk
	learning   chan struct{} // held while what is learned is written: a mutex held over a write would stop a bubble's time
	ledgers    []*ledger     // none without a data directory
	metrics    *metrics
	collectors []prometheus.Collector

	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	spawning  sync.Mutex
	closing   atomic.Bool
	dying     atomic.Bool // a reason to end was given: nothing is handed over any more
	closeOnce sync.Once
	closeErr  error
}

// Open starts a node. It returns when the local data is loaded and served; it does not wait for a leader.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, fatal: make(chan error, 1), metrics: newMetrics(), met: make(chan struct{}), learning: make(chan struct{}, 1),
		notify: make(chan bool, 10), seen: make(chan raft.Observation, 16), space: space{hit: make(chan struct{}, 1)}}
	n.timings, _ = cfg.Profile.timings() // complete has checked it
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.log = cfg.Logger.With("node", cfg.NodeName)
	n.raftLog = newRaftLogger(n.log)
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// open goes from the disk outwards: data, state, network, raft, members.
func (n *Node) open() error {
	if err := n.openLocal(); err != nil {
		return err
	}
	if err := n.openNetwork(); err != nil {
		return err
	}
	if err := n.startRaft(); err != nil {
		return err
	}
	if err := n.register(n.cfg.Registerer); err != nil {
		return err
	}
	n.goes(n.watchRaft)
	n.goes(n.keepProgress)
	for _, l := range n.ledgers {
		n.goes(l.fill)
	}
	n.goes(n.watchSpace)
	return n.takePart()
}

// openLocal opens the disk and serves what it holds. A disk that cannot hold what was written to it is put aside, and the
// node starts as a new server.
func (n *Node) openLocal() error {
	if err := n.resumeQuarantine(); err != nil {
		return err
	}
	attempt := func() error {
		if err := n.openStores(); err != nil {
			return err
		}
		return n.loadState()
	}
	err := attempt()
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || n.cfg.DataDir == "" || n.cfg.Hooks.Stores != nil {
		return err
	}
	err = nil
	if n.stores != nil {
		err = n.stores.Close()
		n.stores, n.disk, n.machine = nil, nil, nil
	}
	if err := errors.Join(err, n.quarantine(corrupt), n.forgetState()); err != nil {
		return err
	}
	n.rejoining = true
	return attempt()
}

// forgetState empties the store of what was read before the rest turned out to be corrupt.
func (n *Node) forgetState() error {
	var empty bytes.Buffer
	if err := fsm.NewStore().State().Save(&empty); err != nil {
		return err
	}
	return n.cfg.Store.Load(&empty)
}

func (n *Node) openStores() (err error) {
	var log LogStore
	switch {
	case n.cfg.Hooks.Stores != nil:
		n.stores = n.cfg.Hooks.Stores
	case n.cfg.DataDir == "":
		n.stores = MemoryStores()
	default:
		if n.stores, log, err = openDisk(n.cfg.DataDir, n.cfg.LogStore, n.raftLog); err != nil {
			return err
		}
	}
	if err := n.openLedgers(); err != nil {
		return err
	}
	id, err := loadIdentity(n.stores.Files, log)
	if err != nil {
		return err
	}
	n.identity.Store(&id)
	n.disk = &logStore{LogStore: n.stores.Log, stable: n.stores.Stable, duration: n.metrics.fsync, fail: n.fail, isolate: n.isolate,
		makeRoom: n.outOfSpace, absent: func() { n.lead.Store(nil); n.changed.raise() }, end: runtime.Goexit}
	n.logs, err = raft.NewLogCache(512, n.disk)
	return err
}

// loadState serves what this node knew when it stopped.
func (n *Node) loadState() error {
	n.machine = silentMachine()
	n.machine.store, n.machine.fail, n.machine.duration = n.cfg.Store, n.fail, n.metrics.apply
	p, err := loadProgress(n.stores.Files)
	if err != nil {
		return err
	}
	if bug.On("B13") {
		p.Index = 0
	}
	n.saved = p.Index
	n.fresh.current = time.UnixMilli(p.Current)
	if p.Current == 0 {
		n.fresh.current = time.Now()
	}
	start := time.Now()
	if err := replay(n.stores, n.machine, max(p.Index, n.stores.marked)); err != nil {
		return err
	}
	if i := n.cfg.Store.State().Index(); i > 0 {
		n.log.Info("serving the local state", "revision", i, "took", time.Since(start))
	}
	n.machine.mark, n.machine.applied, n.machine.configuration = n.stores.mark, n.onApplied, n.onConfiguration
	return n.learn()
}

// isolate cuts this node off from its peers, so that they elect another leader.
func (n *Node) isolate() {
	if n.transport != nil {
		go func() { _ = n.transport.Close() }() // the process is about to end for another reason, named already
	}
}

// onApplied runs on raft's state machine goroutine after each batch.
func (n *Node) onApplied(index, term uint64) { n.announcer.note(index, term) }

// onConfiguration runs on raft's state machine goroutine when a change of the servers is committed.
func (n *Node) onConfiguration(uint64, raft.Configuration) { n.changed.raise() }

// goes runs f until the node is closed; f ends with n.ctx.
func (n *Node) goes(f func()) {
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		f()
	}()
}

// spawn is goes for work that comes up later: it refuses once the node is being closed.
func (n *Node) spawn(f func()) bool {
	n.spawning.Lock()
	defer n.spawning.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.goes(f)
	return true
}

// keepProgress writes down how far the log is applied, and what the state says of the cluster: at once when it has been
// quiet, so that a kill switch thrown into the quiet survives a crash that follows it, and else once a second.
func (n *Node) keepProgress() {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	var news <-chan struct{} // nil after a write, so that the next one waits for the tick
	for {
		var err error
		select {
		case <-tick.C:
			n.checkStray()
			err = errors.Join(n.learnNow(), n.stores.mark.err())
		case <-news:
		case <-n.ctx.Done():
			return
		}
		changed, before := n.cfg.Store.Changed(), n.saved
		if err = errors.Join(err, n.saveProgress()); err != nil {
			n.log.Warn("the node's small files could not be written", "error", err)
		}
		if news = nil; n.saved == before {
			news = changed
		}
	}
}

// learnNow is learn for any goroutine.
func (n *Node) learnNow() error {
	n.learning <- struct{}{}
	defer func() { <-n.learning }()
	return n.learn()
}

func (n *Node) id() string { return n.identity.Load().ServerID }

func (n *Node) clusterID() string {
	if id := n.cfg.Store.State().ClusterID(); id != "" {
		return id
	}
	return n.identity.Load().ClusterID
}

const (
	drainFor = 5 * time.Second
	closeFor = 15 * time.Second
	dieFor   = 2 * time.Second // for a node that cannot go on: its supervisor waits to start it again
)

// Close stops gracefully: it accepts no more writes, hands leadership on, lets what is in flight finish (5 s at most)
// and releases the data directory. The node stays in the configuration, and takes part again when it is opened.
//
// A disk that hangs would keep it waiting for ever, so after 15 s it gives up with an error: the process should end then.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		done := make(chan error, 1)
		go func() { done <- n.close() }()
		patience := closeFor
		if n.dying.Load() {
			patience = dieFor
		}
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case n.closeErr = <-done:
		case <-limit.C:
			n.closeErr = fmt.Errorf("close: not done after %s; does the disk hang?", patience)
		}
	})
	return n.closeErr
}

func (n *Node) close() error {
	n.restarting.Lock()
	n.closing.Store(true) // from here on raft is not replaced any more
	n.restarting.Unlock()
	n.changed.raise()
	if n.transport != nil {
		n.transport.leave()
	}
	var errs []error
	if n.raft() != nil && !n.dying.Load() {
		n.handOn()
		n.drain()
	}
	n.raftLog.hush()
	n.spawning.Lock() // from here on nothing is started any more
	n.cancel()
	n.spawning.Unlock()
	n.unregister(n.cfg.Registerer)
	if n.network != nil {
		errs = append(errs, n.network.leaveQuietly())
	}
	if n.raft() != nil {
		errs = append(errs, n.raft().Shutdown().Error())
	}
	n.wg.Wait()
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	if n.network != nil {
		errs = append(errs, n.network.Close())
	}
	errs = append(errs, n.closeLedgers())
	if n.disk != nil && n.machine != nil {
		errs = append(errs, n.saveProgress())
		n.disk.Close()
	}
	if n.stores != nil && n.stores.Close != nil {
		errs = append(errs, n.stores.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// handOn gives leadership to a follower; a single voter has nobody to give it to.
func (n *Node) handOn() {
	if n.raft().State() != raft.Leader || n.voters() < 2 {
		return
	}
	if err := n.raft().LeadershipTransfer().Error(); err != nil {
		n.log.Warn("leadership could not be handed on; the others will elect", "error", err)
	}
}

// drain waits until nothing is in flight.
func (n *Node) drain() {
	deadline := time.Now().Add(drainFor)
	for !(n.callers.idle() && n.appends.idle()) && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
}

// voters counts the voters of the latest configuration.
func (n *Node) voters() (count int) {
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}
