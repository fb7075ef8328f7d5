package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

const markFile = "applied.mark"

// mark is the committed index a node is about to serve, written over and over into 12 bytes of one file before each batch
// is applied. It is not synced: the system keeps it when the process is killed between two instructions, and then
// nobody sees the node go back. What a power failure takes of it is bounded by progress, which is synced once a second.
type mark struct {
	file    *os.File
	highest uint64
	failure atomic.Pointer[error] // of the last write
}

// openMark opens (or makes) the file; the index is 0 when it holds none that is whole.
func openMark(dir string) (m *mark, index uint64, err error) {
	path := filepath.Join(dir, markFile)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("read %s: %w", markFile, err)
	}
	if len(data) == 12 && crc32.ChecksumIEEE(data[:8]) == binary.LittleEndian.Uint32(data[8:]) {
		index = binary.LittleEndian.Uint64(data)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", markFile, err)
	}
	return &mark{file: f, highest: index}, index, nil
}

// note writes the index if it is the highest so far, in one write that lies within one page. It is called from one
// goroutine; err tells how it went.
func (m *mark) note(index uint64) {
	if m == nil || index <= m.highest {
		return
	}
	m.highest = index
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], index)
	binary.LittleEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	if _, err := m.file.WriteAt(b[:], 0); err != nil {
		err = fmt.Errorf("write %s: %w", markFile, err)
		m.failure.Store(&err)
		return
	}
	if m.failure.Load() != nil {
		m.failure.Store(nil)
	}
}

// err is what became of the newest write.
func (m *mark) err() error {
	if m == nil {
		return nil
	}
	if failure := m.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

// Close closes the file.
func (m *mark) Close() error { return m.file.Close() }
