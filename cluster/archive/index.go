package archive

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/fsm"
)

// An index file tells in which rows of its segment a term stands. It is: magic, number of rows, of terms, length of the
// terms' text and of the lists, first row, hash before it, last hash, times of the first and last row, size of the segment,
// CRC-32C of the summary; then where each row begins (4 bytes), where each term's text and list begin (4 + 4 bytes, one
// more at the end), the text of the terms in order, and their lists: differences of row numbers as varints.
const (
	indexMagic  = "HOISTIX1"
	summarySize = len(indexMagic) + 4*4 + 8 + 32 + 32 + 8 + 8 + 8 + 4
)

// What a term is about is its first byte.
const (
	termTenant      = 'n'
	termEnvironment = 'e'
	termTarget      = 't'
	termUser        = 'u'
	termCorrelation = 'c'
	termVerb        = 'v'
)

// postings is the index of the file that is being written.
type postings struct {
	places []uint32
	terms  map[string][]uint32
}

func newPostings() *postings { return &postings{terms: map[string][]uint32{}} }

// add takes the next row; it has the shape that scan calls.
func (p *postings) add(at int64, w fsm.Written) bool {
	row := uint32(len(p.places))
	p.places = append(p.places, uint32(at))
	for _, term := range termsOf(&w.Audit) {
		if list := p.terms[term]; len(list) == 0 || list[len(list)-1] != row {
			p.terms[term] = append(list, row)
		}
	}
	return true
}

func termsOf(row *fsm.Audit) []string {
	terms := make([]string, 0, 8)
	for _, t := range []struct {
		kind byte
		text string
	}{{termTenant, row.Tenant}, {termEnvironment, row.Environment}, {termTarget, row.Target}, {termUser, row.Actor.ID},
		{termUser, row.Actor.Email}, {termUser, row.Actor.Owner}, {termCorrelation, row.Correlation}, {termVerb, row.Verb}} {
		if t.text != "" || t.kind == termTenant {
			terms = append(terms, string(t.kind)+t.text)
		}
	}
	return terms
}

// write puts the index beside its segment, atomically.
func (p *postings) write(s *segment) error {
	names := slices.Sorted(maps.Keys(p.terms))
	var directory, text, lists []byte
	for _, name := range names {
		directory = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(directory, uint32(len(text))), uint32(len(lists)))
		text = append(text, name...)
		before := uint32(0)
		for _, row := range p.terms[name] {
			lists = binary.AppendUvarint(lists, uint64(row-before))
			before = row
		}
	}
	directory = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(directory, uint32(len(text))), uint32(len(lists)))
	b, err := s.summary(len(names), len(text), len(lists))
	if err != nil {
		return err
	}
	for _, at := range p.places {
		b = binary.BigEndian.AppendUint32(b, at)
	}
	b = append(append(append(b, directory...), text...), lists...)
	return writeFile(s.indexPath(), b)
}

func (s *segment) summary(terms, text, lists int) ([]byte, error) {
	previous, err := hex.DecodeString(s.previous)
	last, err2 := hex.DecodeString(s.last)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("archive: the hashes of %s: %w", s.path, err)
	}
	b := []byte(indexMagic)
	for _, n := range []int{s.count, terms, text, lists} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = append(append(binary.BigEndian.AppendUint64(b, s.first), previous...), last...)
	for _, n := range []int64{s.from, s.until, s.size} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// index is an index file that is open.
type index struct {
	f                          *os.File
	rows, terms, text, lists   int
	places, directory, blob, l int64 // where they begin
}

// openIndex opens the index of a segment and reads its summary.
func openIndex(path string) (*index, segment, error) {
	s := segment{path: path}
	f, err := os.Open(s.indexPath())
	if err != nil {
		return nil, s, err
	}
	b := make([]byte, summarySize)
	_, err = f.ReadAt(b, 0)
	body, sum := b[:summarySize-4], b[summarySize-4:]
	if err != nil || string(b[:len(indexMagic)]) != indexMagic || crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return nil, s, errors.Join(fmt.Errorf("archive: %s is no index", f.Name()), f.Close())
	}
	b = b[len(indexMagic):]
	n := func(i int) int { return int(binary.BigEndian.Uint32(b[4*i:])) }
	x := &index{f: f, rows: n(0), terms: n(1), text: n(2), lists: n(3), places: int64(summarySize)}
	x.directory = x.places + 4*int64(x.rows)
	x.blob = x.directory + 8*int64(x.terms+1)
	x.l = x.blob + int64(x.text)
	b = b[16:]
	s.count, s.first = x.rows, binary.BigEndian.Uint64(b)
	s.previous, s.last = hex.EncodeToString(b[8:40]), hex.EncodeToString(b[40:72])
	s.from, s.until, s.size = int64(binary.BigEndian.Uint64(b[72:])), int64(binary.BigEndian.Uint64(b[80:])), int64(binary.BigEndian.Uint64(b[88:]))
	info, err := f.Stat()
	if err != nil || info.Size() != x.l+int64(x.lists) {
		return nil, s, errors.Join(fmt.Errorf("archive: %s is cut off", f.Name()), err, f.Close())
	}
	return x, s, nil
}

// readSummary tells of a full segment what its index says, if the two fit each other.
func readSummary(path string) (segment, error) {
	x, s, err := openIndex(path)
	if err != nil {
		return s, err
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() != s.size {
		err = fmt.Errorf("archive: %s has %d bytes, its index knows %d", path, info.Size(), s.size)
	}
	return s, errors.Join(err, x.f.Close())
}

// place is where a row begins in the segment.
func (x *index) place(row int) (int64, error) {
	var b [4]byte
	_, err := x.f.ReadAt(b[:], x.places+4*int64(row))
	return int64(binary.BigEndian.Uint32(b[:])), err
}

// entry is the directory's: where the text of a term begins and ends.
func (x *index) entry(term int) (text [2]int64, err error) {
	var b [12]byte
	_, err = x.f.ReadAt(b[:], x.directory+8*int64(term))
	return [2]int64{int64(binary.BigEndian.Uint32(b[:])), int64(binary.BigEndian.Uint32(b[8:]))}, err
}

func (x *index) part(begins int64, span [2]int64, most int) ([]byte, error) {
	if span[0] > span[1] || span[1] > int64(most) {
		return nil, fmt.Errorf("archive: %s does not fit itself", x.f.Name())
	}
	b := make([]byte, span[1]-span[0])
	_, err := x.f.ReadAt(b, begins+span[0])
	return b, err
}

// seek finds the first term that is not before the wanted one.
func (x *index) seek(want string) (int, error) {
	lo, hi := 0, x.terms
	for lo < hi {
		mid := (lo + hi) / 2
		span, err := x.entry(mid)
		if err != nil {
			return 0, err
		}
		text, err := x.part(x.blob, span, x.text)
		if err != nil {
			return 0, err
		}
		if strings.Compare(string(text), want) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// each calls visit with the terms from the wanted one on, until that says false. It reads chunk of them at a time.
func (x *index) each(want string, chunk int, visit func(text string, list func() ([]byte, error)) (bool, error)) error {
	from, err := x.seek(want)
	if err != nil {
		return err
	}
	for ; from < x.terms; from += chunk {
		n := min(chunk, x.terms-from)
		b := make([]byte, 8*(n+1))
		if _, err := x.f.ReadAt(b, x.directory+8*int64(from)); err != nil {
			return err
		}
		at := func(i int) int64 { return int64(binary.BigEndian.Uint32(b[4*i:])) }
		text, err := x.part(x.blob, [2]int64{at(0), at(2 * n)}, x.text)
		if err != nil {
			return err
		}
		for i := range n {
			begin, end := at(2*i)-at(0), at(2*i+2)-at(0)
			if begin < 0 || begin > end || end > int64(len(text)) {
				return fmt.Errorf("archive: %s does not fit itself", x.f.Name())
			}
			list := func() ([]byte, error) { return x.part(x.l, [2]int64{at(2*i + 1), at(2*i + 3)}, x.lists) }
			if more, err := visit(string(text[begin:end]), list); err != nil || !more {
				return err
			}
		}
	}
	return nil
}
