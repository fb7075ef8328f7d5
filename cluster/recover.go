package cluster

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

// Recovery is what became of a data directory that was made the beginning of a new cluster.
type Recovery struct {
	ServerID  string
	ClusterID string // the new one
	Epoch     string // likewise
	Revision  uint64 // everything up to here is kept
	Committed int    // entries of the tail that count as committed from now on
}

// Recover makes the server of a data directory the only voter of a new cluster, while no process runs on it: the last
// resort when a majority is lost for good. Everything in its log counts as committed, whatever else the old cluster had
// is lost. The new cluster has an id of its own, so that old members that come back are refused instead of outvoting it,
// and an epoch of its own, so that clients take a snapshot.
func Recover(dir string) (r Recovery, err error) {
	logger := newRaftLogger(slog.New(slog.DiscardHandler))
	stores, _, err := openDisk(dir, "", logger)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stores.Close()) }()
	id, made, err := readIdentity(stores.Files)
	if err != nil {
		return r, err
	}
	if !made {
		return r, fmt.Errorf("%s is no data directory: it holds no %s", dir, identityFile)
	}
	r = Recovery{ServerID: id.ServerID, ClusterID: uuid.NewString(), Epoch: uuid.NewString()}
	m := silentMachine()
	before, err := loadProgress(stores.Files)
	if err != nil {
		return r, err
	}
	last, err := stores.Log.LastIndex()
	if err != nil {
		return r, err
	}
	if applied := max(before.Index, stores.marked); last > applied {
		r.Committed = int(last - applied)
	}
	if err := checkReplay(stores, last); err != nil {
		return r, err
	}
	if err := rebirth(stores, m, id, r, logger); err != nil {
		return r, err
	}
	r.Revision = m.store.State().Index()
	id.ClusterID = r.ClusterID
	return r, id.save(stores.Files)
}

// checkReplay makes sure that the whole log can be applied before anything is changed.
func checkReplay(stores *Stores, last uint64) error {
	probe := silentMachine()
	if err := replay(stores, probe, last); err != nil {
		return fmt.Errorf("the log cannot be applied as it is: %w", err)
	}
	if probe.store.State().Epoch() == "" {
		return errors.New("the directory holds no state: choose another survivor, or restore a backup")
	}
	return nil
}

// silentMachine applies a log outside of a node.
func silentMachine() *machine {
	return &machine{store: fsm.NewStore(), applied: func(uint64, uint64) {}, configuration: func(uint64, raft.Configuration) {},
		fail: func(error) {}, duration: newMetrics().apply}
}

// rebirth lets raft fold the log into a snapshot with this server as the only one, and the machine give it a new epoch.
func rebirth(stores *Stores, m *machine, id identity, r Recovery, logger *raftLogger) error {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id.ServerID)
	c.Logger = logger
	address, transport := raft.NewInmemTransport("")
	self := raft.Configuration{Servers: []raft.Server{{ID: c.LocalID, Address: address}}}
	log := &logStore{LogStore: stores.Log, stable: stores.Stable, duration: newMetrics().fsync, fail: func(error) {}, isolate: func() {}, makeRoom: func() bool { return false }, absent: func() {}}
	err := raft.RecoverCluster(c, reborn{m, r}, log, log, stores.Snapshots, transport, self)
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	return nil
}

// reborn is a machine whose snapshots begin another epoch of another cluster.
type reborn struct {
	*machine
	recovery Recovery
}

// Snapshot captures the state as it is reborn.
func (b reborn) Snapshot() (raft.FSMSnapshot, error) {
	return &snapshot{state: b.store.State().Reborn(b.recovery.Epoch, b.recovery.ClusterID), done: func() {}}, nil
}
