package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/hoistflags/hoist/fsm"
)

// oneWrite is about how many bytes of rows go into a file at once.
const oneWrite = 64 << 10

// ErrClosed is the answer of an archive that was closed.
var ErrClosed = errors.New("archive: closed")

// Archive is a folder of rows. It has one writer; readers may read beside it.
type Archive struct {
	dir      string
	Damaged  []string // what Open found broken and put aside, in words
	mu       sync.RWMutex
	segments []*segment // by their first row; the last is written to
	file     *os.File   // of the last one; nil: the next row begins a new one
	live     *postings  // its index
	head     uint64     // number of the newest row
	hash     string     // its hash
	unsynced int
	closed   bool
}

var zeroHash = strings.Repeat("0", 64)

// Open reads the folder, which it makes if need be. What a crash left of the last row is cut off. A last file that is
// broken elsewhere is put aside under the name *.damaged, and Damaged says so: its rows are to be fetched again.
func Open(dir string) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	a := &Archive{dir: dir}
	if err := a.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// load takes what stands in the folder, instead of what it took before.
func (a *Archive) load() error {
	paths, err := files(a.dir)
	if err != nil {
		return err
	}
	a.segments, a.file, a.live, a.head, a.hash, a.unsynced = nil, nil, nil, 0, zeroHash, 0
	for i, path := range paths {
		if i < len(paths)-1 {
			err = a.openFull(path)
		} else {
			err = a.openLast(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openFull takes a file that is not written to any more from its index, which is made again when it is missing or unfit.
func (a *Archive) openFull(path string) error {
	s, err := readSummary(path)
	if err != nil {
		live := newPostings()
		scanned, _, why := scan(path, live.add)
		if why != nil {
			return a.putAside(path, scanned.first+uint64(scanned.count), why)
		}
		if err := live.write(&scanned); err != nil {
			return err
		}
		s = scanned
	}
	a.segments = append(a.segments, &s)
	a.head, a.hash = s.end(), s.last
	return nil
}

func (a *Archive) openLast(path string) error {
	live := newPostings()
	s, good, why := scan(path, live.add)
	if errors.Is(why, errTorn) || errors.Is(why, errChecksum) && lastRow(path, good) {
		if err := cut(path, good); err != nil {
			return err
		}
		s.size, why = good, nil
	}
	switch {
	case why != nil:
		return a.putAside(path, s.first+uint64(s.count), why)
	case s.count == 0:
		return os.Remove(path) // a crash before its first row
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	a.segments, a.file, a.live = append(a.segments, &s), f, live
	a.head, a.hash = s.end(), s.last
	return nil
}

// lastRow tells whether nothing comes after the row that begins at a place: then a crash may have left it so.
func lastRow(path string, at int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	var head [frameSize]byte
	if err != nil {
		return false
	}
	if _, err := f.ReadAt(head[:], at); err != nil {
		return true
	}
	length := int64(head[0])<<24 | int64(head[1])<<16 | int64(head[2])<<8 | int64(head[3])
	return at+frameSize+length >= info.Size()
}

func cut(path string, size int64) error {
	if size < int64(headerSize) {
		return os.Truncate(path, 0) // removed by whoever opens it next, or below: it has no row
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

func (a *Archive) putAside(path string, seq uint64, why error) error {
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	a.Damaged = append(a.Damaged, fmt.Sprintf("row %d in %s: %v; the file is kept as %s", seq, path, why, aside))
	return nil
}

// Head is the number and hash of the newest row; 0 and zeros before the first.
func (a *Archive) Head() (seq uint64, hash string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.head, a.hash
}

// Append writes rows that follow the newest one. They are safe after Sync, or the system's own time. Where it fails, the
// rows before that place are kept.
func (a *Archive) Append(rows []fsm.Written) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(rows) > 0 {
		if err := a.ready(&rows[0]); err != nil {
			return err
		}
		frames, ends := a.gather(rows)
		if err := a.write(rows[:len(ends)], frames, ends); err != nil {
			return err
		}
		rows = rows[len(ends):]
	}
	return nil
}

// ready sees to it that the row follows and that there is a file for it.
func (a *Archive) ready(row *fsm.Written) error {
	if a.closed {
		return ErrClosed
	}
	if row.Seq != a.head+1 {
		return fmt.Errorf("archive: row %d does not follow row %d", row.Seq, a.head)
	}
	if err := fsm.VerifyAudit(a.hash, []fsm.Audit{row.Audit}); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if a.file != nil && a.last().full() {
		if err := a.seal(); err != nil {
			return err
		}
	}
	if a.file == nil {
		return a.begin(row.Seq)
	}
	return nil
}

// gather encodes rows for one write, a system call for each being most of what they cost: the first, and those behind it that
// follow and still belong in the file. It returns where each ends.
func (a *Archive) gather(rows []fsm.Written) (frames []byte, ends []int) {
	then := *a.last()
	began := then.size
	for i := range rows {
		row := &rows[i]
		if i > 0 && (then.full() || len(frames) >= oneWrite || row.Seq != rows[i-1].Seq+1 || fsm.VerifyAudit(rows[i-1].Hash, []fsm.Audit{row.Audit}) != nil) {
			break // the next round says what is wrong
		}
		frames = appendFrame(frames, row)
		ends = append(ends, len(frames))
		then.size, then.count = began+int64(len(frames)), then.count+1
	}
	return frames, ends
}

func (a *Archive) write(rows []fsm.Written, frames []byte, ends []int) error {
	s := a.last()
	if _, err := a.file.Write(frames); err != nil {
		return errors.Join(fmt.Errorf("archive: %w", err), a.file.Truncate(s.size)) // no half row before the next one
	}
	if s.count == 0 {
		s.from = rows[0].At
	}
	at := s.size
	for i := range rows {
		a.live.add(s.size, rows[i])
		s.size = at + int64(ends[i])
	}
	newest := &rows[len(rows)-1]
	s.count, s.last, s.until = s.count+len(rows), newest.Hash, newest.At
	a.head, a.hash = newest.Seq, newest.Hash
	a.unsynced += len(rows)
	return nil
}

func (a *Archive) last() *segment {
	if len(a.segments) == 0 {
		return nil
	}
	return a.segments[len(a.segments)-1]
}

// Skip begins a new file behind rows that are nowhere to be had: the next row is the one after seq, whose hash is given.
func (a *Archive) Skip(seq uint64, hash string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return ErrClosed
	}
	if seq <= a.head {
		return fmt.Errorf("archive: row %d is here already", seq)
	}
	if a.file != nil {
		if err := a.seal(); err != nil {
			return err
		}
	}
	a.head, a.hash = seq, hash
	return nil
}

func (a *Archive) begin(first uint64) error {
	head, err := header(first, a.hash)
	if err != nil {
		return err
	}
	path := segmentPath(a.dir, first)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if _, err := f.Write(head); err != nil {
		return errors.Join(fmt.Errorf("archive: %w", err), f.Close(), os.Remove(path))
	}
	a.file, a.live = f, newPostings()
	a.segments = append(a.segments, &segment{path: path, first: first, size: int64(headerSize), previous: a.hash, last: a.hash})
	return syncDir(a.dir)
}

// seal ends the last file: its rows are made safe and its index is written beside it.
func (a *Archive) seal() error {
	if err := errors.Join(a.file.Sync(), a.file.Close()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	a.file, a.unsynced = nil, 0
	live := a.live
	a.live = nil
	return live.write(a.last())
}

// Sync makes what was appended safe against a crash of the machine.
func (a *Archive) Sync() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil || a.unsynced == 0 {
		return nil
	}
	a.unsynced = 0
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// Close makes everything safe and ends the archive.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	if a.file == nil {
		return nil
	}
	return errors.Join(a.file.Sync(), a.file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 64<<10) }
