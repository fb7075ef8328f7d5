package cluster

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/bug"
)

const (
	hangAfter     = 2 * time.Second // a write this long is a hung disk
	hangBeats     = 8               // in which that time is counted
	failureWindow = time.Minute     // two failed writes within it end the process
	fullPause     = 100 * time.Millisecond
	opSet         = "set" // a term or a vote
)

var errStoreClosed = errors.New("the log store is closed")

// logStore guards the stores of raft: it measures every write, ends the process when the disk hangs or keeps failing,
// and lets Close wait for callers in flight. A hung write never becomes an error: it may still land, and a leader that
// thought otherwise would be wrong about its own log.
type logStore struct {
	raft.LogStore
	stable   raft.StableStore
	duration *prometheus.HistogramVec
	fail     func(error) // ends the process
	isolate  func()      // closes the transport: a node with a hung disk must not stay a leader
	makeRoom func() bool // the disk is full; true: it is worth another try
	end      func()      // ends the calling goroutine: raft would panic with the error of a term; nil: it gets the error
	absent   func()      // raft waits for the disk with a term or a vote: this node leads no more

	mu       sync.RWMutex
	closed   bool
	users    sync.WaitGroup
	failedAt time.Time
}

// IsMonotonic makes raft drop the whole log when it installs a snapshot. With gaps allowed, a follower with a divergent
// tail would be sent the same snapshot for ever.
func (s *logStore) IsMonotonic() bool { return true }

func (s *logStore) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errStoreClosed
	}
	s.users.Add(1)
	return nil
}

// Close refuses further calls and waits for those in flight; the stores below may be closed after it.
func (s *logStore) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.users.Wait()
}

// write runs one durable operation under the watchdog.
func (s *logStore) write(op string, do func() error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.Done()
	err := s.timed(op, do)
	if errFull(err) {
		return s.whenFull(op, do, err)
	}
	if err != nil {
		s.failed(op, err)
	}
	return err
}

// writeTerm is write for a term or a vote. Raft panics when a term cannot be written, so an error never gets there: the
// process ends in order, and raft's goroutine with it.
func (s *logStore) writeTerm(do func() error) error {
	err := s.write(opSet, do)
	if err == nil || s.end == nil || errors.Is(err, errStoreClosed) {
		return err
	}
	s.fail(&ExitError{Code: ExitDisk, Detail: fmt.Sprintf("a term or a vote cannot be written (%v); check the disk of the data directory, then start again", err)})
	s.isolate()
	s.end()
	return err
}

// timed runs do under the watchdog.
func (s *logStore) timed(op string, do func() error) error {
	start := time.Now()
	watched := watch(func() {
		s.fail(&ExitError{Code: ExitDisk, Detail: fmt.Sprintf("the disk hangs: %s takes longer than %s; check the disk of the data directory, then start again", op, hangAfter)})
		s.isolate()
	})
	err := do()
	watched.end()
	s.duration.WithLabelValues(op).Observe(time.Since(start).Seconds())
	return err
}

// whenFull tries once more when room could be made. A full disk is no reason to end: entries are refused, which raft
// answers by not leading, and are sent again later. Only a vote or a term must be written, since raft panics without:
// that waits until there is space, and the node takes no part meanwhile.
func (s *logStore) whenFull(op string, do func() error, err error) error {
	if s.makeRoom() {
		err = s.timed(op, do)
	}
	for op == opSet && errFull(err) && !s.isClosed() {
		s.absent()
		time.Sleep(fullPause)
		err = s.timed(op, do)
	}
	if err != nil && !errFull(err) {
		s.failed(op, err)
	}
	return err
}

func (s *logStore) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}

// failed ends the process at the second failure within a minute: one may be a passing shortage, and raft steps down for
// it, but a node that fails again would only be elected again.
func (s *logStore) failed(op string, err error) {
	s.mu.Lock()
	again := !s.failedAt.IsZero() && time.Since(s.failedAt) < failureWindow
	s.failedAt = time.Now()
	s.mu.Unlock()
	if again {
		s.fail(&ExitError{Code: ExitDisk, Detail: fmt.Sprintf("the log cannot be written (%s: %v), twice within a minute; check the disk of the data directory, then start again", op, err)})
		s.isolate()
	}
}

func (s *logStore) FirstIndex() (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.users.Done()
	return s.LogStore.FirstIndex()
}

func (s *logStore) LastIndex() (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.users.Done()
	return s.LogStore.LastIndex()
}

func (s *logStore) GetLog(index uint64, log *raft.Log) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.users.Done()
	return s.LogStore.GetLog(index, log)
}

func (s *logStore) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if bug.On("B18") { // what the system still holds counts as written
		go func() { _ = s.LogStore.StoreLogs(logs) }()
		return nil
	}
	return s.write("store_logs", func() error { return s.LogStore.StoreLogs(logs) })
}

func (s *logStore) DeleteRange(low, high uint64) error {
	return s.write("delete_range", func() error { return s.LogStore.DeleteRange(low, high) })
}

func (s *logStore) Set(key, value []byte) error {
	return s.writeTerm(func() error { return s.stable.Set(key, value) })
}

func (s *logStore) SetUint64(key []byte, value uint64) error {
	return s.writeTerm(func() error { return s.stable.SetUint64(key, value) })
}

func (s *logStore) Get(key []byte) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.users.Done()
	return s.stable.Get(key)
}

func (s *logStore) GetUint64(key []byte) (uint64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.users.Done()
	return s.stable.GetUint64(key)
}
