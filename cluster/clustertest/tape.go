package clustertest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

// Tape records what every node of a cluster applies, in one log. Two nodes that apply different entries at one index are
// noted: nothing worse can happen to a replicated log.
type Tape struct {
	mu        sync.Mutex
	entries   map[uint64]Applied
	clashes   []string
	sightings []Sighting
	installs  map[string][]time.Time
}

// Applied is one entry as the first node applied it.
type Applied struct {
	fsm.Entry
	At      time.Time
	Servers []raft.Server // of a configuration entry
}

// Sighting is what one node's state came to at one index.
type Sighting struct {
	Member       string
	Epoch        string
	Index        uint64
	Domain, Full string // hashes, hex
}

// NewTape makes an empty tape.
func NewTape() *Tape { return &Tape{entries: map[uint64]Applied{}, installs: map[string][]time.Time{}} }

// Entries is the log, sorted by index. Entries that only raft knows are not in it.
func (t *Tape) Entries() []Applied {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.entries), func(a, b Applied) int { return cmp.Compare(a.Index, b.Index) })
}

// Clashes tells of indexes at which nodes applied different entries.
func (t *Tape) Clashes() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.clashes)
}

// Sightings are the hashes after every batch of every node, in the order of recording.
func (t *Tape) Sightings() []Sighting {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.sightings)
}

// Installs are the times at which a member was given a snapshot.
func (t *Tape) Installs(member string) []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.installs[member])
}

// record takes a batch; last is the index that the process applied before it, 0 when it is its first.
func (t *Tape) record(member string, last uint64, logs []*raft.Log, after *fsm.State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range logs {
		for i := last + 1; last > 0 && i < l.Index; i++ {
			if other, known := t.entries[i]; known {
				t.clashes = append(t.clashes, fmt.Sprintf("%s has no entry for the state machine at index %d, where another node applied one of term %d", member, i, other.Term))
			}
		}
		last = l.Index
		a := Applied{Entry: fsm.Entry{Index: l.Index, Term: l.Term}, At: time.Now()}
		if l.Type == raft.LogCommand {
			a.Data = l.Data
		} else {
			a.Servers = raft.DecodeConfiguration(l.Data).Servers
		}
		first, known := t.entries[l.Index]
		switch {
		case !known:
			t.entries[l.Index] = a
		case first.Term != a.Term || !bytes.Equal(first.Data, a.Data):
			t.clashes = append(t.clashes, fmt.Sprintf("%s applied an entry of term %d at index %d, where another node applied a different one of term %d",
				member, a.Term, a.Index, first.Term))
		}
	}
	if after.Index() == logs[len(logs)-1].Index {
		t.sightings = append(t.sightings, Sighting{member, after.Epoch(), after.Index(), after.DomainHash(), after.FullHash()})
	}
}

// taped stands between raft and a node's state machine.
type taped struct {
	inner   raft.FSM
	cluster *Cluster
	name    string
	store   *fsm.Store
	around  func(Point, *raft.Log)
	last    uint64 // index; owned by raft's state machine goroutine
}

// ApplyBatch implements raft.BatchingFSM.
func (m *taped) ApplyBatch(logs []*raft.Log) []any {
	m.cluster.Network.standStill(m.name)
	out := m.inner.(raft.BatchingFSM).ApplyBatch(logs)
	if tape := m.cluster.options.Tape; tape != nil {
		tape.record(m.name, m.last, logs, m.store.State())
	}
	m.last = logs[len(logs)-1].Index
	for _, l := range logs {
		m.around(HasApplied, l)
	}
	return out
}

// Apply implements raft.FSM.
func (m *taped) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot implements raft.FSM.
func (m *taped) Snapshot() (raft.FSMSnapshot, error) { return m.inner.Snapshot() }

// Restore implements raft.FSM.
func (m *taped) Restore(r io.ReadCloser) error {
	if tape := m.cluster.options.Tape; tape != nil {
		tape.mu.Lock()
		tape.installs[m.name] = append(tape.installs[m.name], time.Now())
		tape.mu.Unlock()
	}
	m.last = 0
	return m.inner.Restore(r)
}
