package cluster

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/fsm"
)

// machine is the only raft.FSM: it hands committed entries to the fsm.Store and knows nothing of their meaning.
// Its methods run on raft's state machine goroutine, so nothing here may wait.
type machine struct {
	store         *fsm.Store
	mark          *mark                                          // notes what is about to be served
	applied       func(index, term uint64)                       // after each batch
	configuration func(index uint64, servers raft.Configuration) // a committed change of the members
	fail          func(error)
	duration      prometheus.Observer

	halted     atomic.Bool  // an entry was beyond this binary's law: nothing may be applied after it
	snapshotAt atomic.Int64 // unix nanoseconds of the newest snapshot
}

var errHalted = errors.New("this node met an entry it must not apply and is about to end")

// ApplyBatch applies entries in their order. In batch mode raft sends configuration entries here too; they only move
// the index, and so count for whoever waits for a revision.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	responses := make([]any, len(logs))
	if m.halted.Load() {
		for i := range responses {
			responses[i] = fsm.Outcome{Err: errHalted}
		}
		return responses
	}
	m.mark.note(logs[len(logs)-1].Index) // before anybody sees it
	start := time.Now()
	entries := make([]fsm.Entry, len(logs))
	for i, l := range logs {
		entries[i] = fsm.Entry{Index: l.Index, Term: l.Term}
		if l.Type == raft.LogCommand {
			entries[i].Data = l.Data
		}
	}
	var law *fsm.LawError
	for i, o := range m.store.Apply(entries) {
		responses[i] = o
		if law == nil && errors.As(o.Err, &law) {
			m.halted.Store(true)
			m.fail(exitFromLaw(law))
		}
	}
	m.duration.Observe(time.Since(start).Seconds())
	if m.halted.Load() {
		return responses
	}
	last := logs[len(logs)-1]
	m.applied(last.Index, last.Term)
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			m.configuration(l.Index, raft.DecodeConfiguration(l.Data))
		}
	}
	return responses
}

// Apply is ApplyBatch of one.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot captures the state, which is one pointer.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.halted.Load() {
		return nil, errHalted
	}
	return &snapshot{state: m.store.State(), done: func() { m.snapshotAt.Store(time.Now().UnixNano()) }}, nil
}

// Restore replaces the state by a snapshot; on error the old state stays.
func (m *machine) Restore(r io.ReadCloser) error {
	plain, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer plain.Close()
	err = m.store.Load(plain)
	var law *fsm.LawError
	if errors.As(err, &law) {
		m.halted.Store(true)
		m.fail(exitFromLaw(law))
	}
	return err
}

// snapshotAge is the time since the newest snapshot of this process, 0 before the first.
func (m *machine) snapshotAge() time.Duration {
	at := m.snapshotAt.Load()
	if at == 0 {
		return 0
	}
	return time.Since(time.Unix(0, at))
}

// snapshot is one captured state. It is compressed here, so that the file and the copy sent to a follower both are.
type snapshot struct {
	state *fsm.State
	done  func()
}

// Persist writes the snapshot; raft cancels the sink when it fails.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	w, err := zstd.NewWriter(sink, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	if err := errors.Join(s.state.Save(w), w.Close()); err != nil {
		return err
	}
	s.done()
	return nil
}

// Release has nothing to release: the state is immutable.
func (s *snapshot) Release() {}
