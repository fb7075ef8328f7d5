package clustertest

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/cluster"
)

// Disk is one node's storage over its crashes. What is inside is what was synced: a write lands when its sync is
// through, so a crash loses exactly the writes whose caller had no answer yet.
type Disk struct {
	inner *cluster.Stores

	mu   sync.Mutex
	life int           // counts crashes
	sync time.Duration // how long a sync takes
	err  error         // what writes of the log answer
	all  bool          // and all other writes too
	grow bool          // or only those that add to the log
	torn bool          // half of such a write lands all the same
	hung chan struct{} // closed when a hang is over
	room room
}

// NewDisk makes an empty disk.
func NewDisk() *Disk {
	return &Disk{inner: cluster.MemoryStores(), sync: 100 * time.Microsecond, room: room{free: DiskSize}}
}

// Crash loses what was not synced and cuts the old process off: what it writes from now on goes nowhere.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	d.err, d.all, d.torn, d.grow = nil, false, false, false
	d.release()
}

// Tear lets writes of the log fail with err after half of a batch has landed.
func (d *Disk) Tear(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.all, d.torn, d.grow = err, false, true, false
}

// Fail lets writes of the log fail with err; nil ends it.
func (d *Disk) Fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.all, d.torn, d.grow = err, false, false, false
}

// FailAppends lets writes that add to the log fail with err, and those that cut it succeed; nil ends it.
func (d *Disk) FailAppends(err error) {
	d.Fail(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grow = err != nil
}

// FailAll lets every write fail with err, those of terms and votes too; nil ends it.
func (d *Disk) FailAll(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.all, d.torn, d.grow = err, true, false, false
}

// Length is how many entries the log holds.
func (d *Disk) Length() (uint64, error) {
	first, err := d.inner.Log.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := d.inner.Log.LastIndex()
	return last + 1 - first, err
}

// Slow makes every sync take so long.
func (d *Disk) Slow(sync time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sync = sync
}

// Hang lets writes wait until the disk crashes or is released.
func (d *Disk) Hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hung = make(chan struct{})
}

// Release ends a hang; the writes that waited land.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
}

func (d *Disk) release() {
	if d.hung != nil {
		close(d.hung)
		d.hung = nil
	}
}

// stores is the disk as the process of this life sees it.
func (d *Disk) stores() *cluster.Stores {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := &view{LogStore: d.inner.Log, StableStore: d.inner.Stable, disk: d, life: d.life}
	return &cluster.Stores{Log: v, Stable: v, Snapshots: &snapshotView{d.inner.Snapshots, v}, Files: &filesView{d.inner.Files, v}, Room: d}
}

// view lets one life of the process at the disk.
type view struct {
	raft.LogStore
	raft.StableStore
	disk *Disk
	life int
}

// write lets do happen when the sync is through, unless the process crashed meanwhile.
func (v *view) write(log bool, do func() error) error {
	v.disk.mu.Lock()
	wait, hung, err, all := v.disk.sync, v.disk.hung, v.disk.err, v.disk.all
	if v.disk.room.free == 0 {
		v.disk.mu.Unlock()
		return syscall.ENOSPC
	}
	v.disk.mu.Unlock()
	if hung != nil {
		<-hung
	}
	time.Sleep(wait)
	if err != nil && (log || all) {
		return err
	}
	v.disk.mu.Lock()
	defer v.disk.mu.Unlock()
	switch {
	case v.disk.life == v.life:
		return do()
	case log: // a voter that is alone must not go on and commit
		return errCrashed
	}
	return nil // nobody hears this answer any more, the network is cut too; an error would make raft panic
}

var errCrashed = errors.New("clustertest: the process that writes has crashed")

func (v *view) StoreLog(l *raft.Log) error { return v.StoreLogs([]*raft.Log{l}) }

func (v *view) StoreLogs(logs []*raft.Log) error {
	err := v.write(true, func() error { return v.LogStore.StoreLogs(logs) })
	if v.disk.tears() && err != nil && len(logs) > 1 {
		return errors.Join(err, v.write(false, func() error { return v.LogStore.StoreLogs(logs[:len(logs)/2]) }))
	}
	return err
}

func (d *Disk) tears() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.torn
}

func (v *view) DeleteRange(low, high uint64) error {
	v.disk.mu.Lock()
	spared := v.disk.grow
	v.disk.mu.Unlock()
	return v.write(!spared, func() error { return v.LogStore.DeleteRange(low, high) })
}

func (v *view) Set(key, value []byte) error {
	return v.write(false, func() error { return v.StableStore.Set(key, value) })
}

func (v *view) SetUint64(key []byte, value uint64) error {
	return v.write(false, func() error { return v.StableStore.SetUint64(key, value) })
}

type filesView struct {
	cluster.Files
	view *view
}

func (f *filesView) WriteFile(name string, data []byte) error {
	return f.view.write(false, func() error { return f.Files.WriteFile(name, data) })
}

type snapshotView struct {
	raft.SnapshotStore
	view *view
}

func (s *snapshotView) Create(version raft.SnapshotVersion, index, term uint64, servers raft.Configuration, serversIndex uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, servers, serversIndex, t)
	return &sinkView{sink, s.view}, err
}

type sinkView struct {
	raft.SnapshotSink
	view *view
}

func (s *sinkView) Close() error { return s.view.write(false, s.SnapshotSink.Close) }
