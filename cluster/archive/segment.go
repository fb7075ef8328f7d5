package archive

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/fsm"
)

// A segment file is: magic, number of its first row, hash of the row before that (32 bytes), then per row its length, the
// CRC-32C of its bytes, its bytes (fsm.Written.Encode). Numbers are big endian.
const (
	magic      = "HOISTAU1"
	headerSize = len(magic) + 8 + 32
	frameSize  = 8
	maxFrame   = 64 << 20
)

// A file is full at so many rows or bytes.
const (
	fullRows  = 16_384
	fullBytes = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is what is kept in memory of one file.
type segment struct {
	path        string
	first       uint64 // number of its first row
	count       int
	size        int64
	previous    string // hash of the row before the first, hex
	last        string // hash of the last row, hex
	from, until int64  // leader times of its first and last row
}

func (s *segment) full() bool { return s.count >= fullRows || s.size >= fullBytes }

func (s *segment) end() uint64 { return s.first + uint64(s.count) - 1 }

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.rows", first))
}

func (s *segment) indexPath() string { return strings.TrimSuffix(s.path, ".rows") + ".index" }

func header(first uint64, previous string) ([]byte, error) {
	hash, err := hex.DecodeString(previous)
	if err != nil || len(hash) != 32 {
		return nil, fmt.Errorf("archive: %q is no hash of a row", previous)
	}
	return append(binary.BigEndian.AppendUint64([]byte(magic), first), hash...), nil
}

// appendFrame adds one row as the file holds it.
func appendFrame(b []byte, row *fsm.Written) []byte {
	at := len(b)
	b = row.Encode(append(slices.Grow(b, frameSize+512+len(row.Record)), make([]byte, frameSize)...))
	head, body := b[at:at+frameSize], b[at+frameSize:]
	binary.BigEndian.PutUint32(head, uint32(len(body)))
	binary.BigEndian.PutUint32(head[4:], crc32.Checksum(body, castagnoli))
	return b
}

// errTorn is the end of a file in the middle of a row: what a crash leaves.
var errTorn = errors.New("the file ends within a row")

// scan reads a file from its beginning. It calls row with where each row stands, until that says false; good is where the
// last whole row ends.
func scan(path string, row func(at int64, w fsm.Written) bool) (s segment, good int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	s = segment{path: path}
	in := newReader(f)
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(in, head); err != nil {
		return s, 0, errTorn
	}
	if string(head[:len(magic)]) != magic {
		return s, 0, errors.New("this is no file of audit rows")
	}
	s.first, s.previous = binary.BigEndian.Uint64(head[len(magic):]), hex.EncodeToString(head[len(magic)+8:])
	s.last, good = s.previous, int64(headerSize)
	for {
		w, size, err := readRow(in)
		if errors.Is(err, io.EOF) {
			s.size = good
			return s, good, nil
		}
		if err != nil {
			return s, good, err
		}
		if want := s.first + uint64(s.count); w.Seq != want {
			return s, good, fmt.Errorf("row %d stands where row %d should", w.Seq, want)
		}
		if s.count == 0 {
			s.from = w.At
		}
		s.count, s.last, s.until = s.count+1, w.Hash, w.At
		if !row(good, w) {
			return s, good, nil
		}
		good += size
	}
}

// readRow reads the next row: io.EOF at the end, errTorn within a row.
func readRow(in io.Reader) (w fsm.Written, size int64, err error) {
	var head [frameSize]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return w, 0, io.EOF
		}
		return w, 0, errTorn
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > maxFrame {
		return w, 0, fmt.Errorf("a row of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return w, 0, errTorn
	}
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return w, 0, errChecksum
	}
	w, err = fsm.DecodeWritten(body)
	return w, frameSize + int64(length), err
}

var errChecksum = errors.New("the checksum of a row differs")

// readAt reads the row that stands at a place of an open file.
func readAt(f *os.File, at int64) (fsm.Written, error) {
	w, _, err := readRow(io.NewSectionReader(f, at, frameSize+maxFrame))
	if errors.Is(err, io.EOF) {
		err = errTorn
	}
	return w, err
}

// damaged names the file and the row in an error.
func damaged(path string, seq uint64, err error) error {
	return fmt.Errorf("archive: row %d in %s: %w", seq, path, err)
}
