package cluster

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/hashicorp/raft"
)

// MemoryStores keeps everything in memory, for `hoist dev` and for tests. Opened again with the same value, a node finds
// what it left.
func MemoryStores() *Stores {
	log := &memoryLog{entries: map[uint64]*raft.Log{}, values: map[string][]byte{}, numbers: map[string]uint64{}}
	return &Stores{Log: log, Stable: log, Snapshots: &memorySnapshots{}, Files: &memoryFiles{files: map[string][]byte{}}}
}

// memoryLog is a log and stable store. Raft's own in-memory store reports a last index of 2^64-1 once everything was
// deleted, and a node does not start on that.
type memoryLog struct {
	mu          sync.RWMutex
	entries     map[uint64]*raft.Log
	first, last uint64
	values      map[string][]byte
	numbers     map[string]uint64
}

func (m *memoryLog) FirstIndex() (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.first, nil
}

func (m *memoryLog) LastIndex() (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.last, nil
}

func (m *memoryLog) GetLog(index uint64, log *raft.Log) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	entry, ok := m.entries[index]
	if !ok {
		return raft.ErrLogNotFound
	}
	*log = *entry
	return nil
}

func (m *memoryLog) StoreLog(log *raft.Log) error { return m.StoreLogs([]*raft.Log{log}) }

func (m *memoryLog) StoreLogs(logs []*raft.Log) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range logs {
		m.entries[l.Index] = l
		if m.first == 0 || l.Index < m.first {
			m.first = l.Index
		}
		m.last = max(m.last, l.Index)
	}
	return nil
}

func (m *memoryLog) DeleteRange(low, high uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := max(low, m.first); i <= min(high, m.last); i++ {
		delete(m.entries, i)
	}
	if len(m.entries) == 0 {
		m.first, m.last = 0, 0
		return nil
	}
	for m.entries[m.first] == nil {
		m.first++
	}
	for m.entries[m.last] == nil {
		m.last--
	}
	return nil
}

// errNotFound carries the exact text raft looks for.
const errNotFound = storeError("not found")

type storeError string

func (e storeError) Error() string { return string(e) }

func (m *memoryLog) Set(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[string(key)] = append([]byte(nil), value...)
	return nil
}

func (m *memoryLog) Get(key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value, ok := m.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return value, nil
}

func (m *memoryLog) SetUint64(key []byte, value uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.numbers[string(key)] = value
	return nil
}

func (m *memoryLog) GetUint64(key []byte) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value, ok := m.numbers[string(key)]
	if !ok {
		return 0, errNotFound
	}
	return value, nil
}

type memoryFiles struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (m *memoryFiles) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	return data, nil
}

func (m *memoryFiles) WriteFile(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name] = append([]byte(nil), data...)
	return nil
}

// memorySnapshots keeps the newest complete snapshot. Raft's own in-memory store shows a snapshot from its first byte on,
// so a failed one would replace a good one.
type memorySnapshots struct {
	mu      sync.Mutex
	meta    raft.SnapshotMeta
	content []byte
}

func (m *memorySnapshots) Create(version raft.SnapshotVersion, index, term uint64, servers raft.Configuration, serversIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &memorySink{store: m, meta: raft.SnapshotMeta{Version: version, ID: fmt.Sprintf("%d-%d", term, index), Index: index, Term: term,
		Configuration: servers, ConfigurationIndex: serversIndex}}, nil
}

func (m *memorySnapshots) List() ([]*raft.SnapshotMeta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meta.ID == "" {
		return nil, nil
	}
	meta := m.meta
	return []*raft.SnapshotMeta{&meta}, nil
}

func (m *memorySnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meta.ID != id {
		return nil, nil, fmt.Errorf("there is no snapshot %s", id)
	}
	meta := m.meta
	return &meta, io.NopCloser(bytes.NewReader(m.content)), nil
}

type memorySink struct {
	store *memorySnapshots
	meta  raft.SnapshotMeta
	bytes.Buffer
}

func (s *memorySink) ID() string    { return s.meta.ID }
func (s *memorySink) Cancel() error { return nil }

func (s *memorySink) Close() error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.meta.Size = int64(s.Len())
	s.store.meta, s.store.content = s.meta, s.Bytes()
	return nil
}
