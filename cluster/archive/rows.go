package archive

import (
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/hoistflags/hoist/fsm"
)

// Rows returns rows after seq in order: up to limit of them, and no more than about so many bytes. Where rows are missing
// it goes on behind the gap.
func (a *Archive) Rows(after uint64, limit, bytes int) ([]fsm.Written, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return nil, ErrClosed
	}
	var out []fsm.Written
	from := sort.Search(len(a.segments), func(i int) bool { return a.segments[i].end() > after })
	for i := from; i < len(a.segments) && len(out) < limit && bytes > 0; i++ {
		s := a.segments[i]
		if s.count == 0 {
			continue
		}
		seq := max(after+1, s.first)
		at, err := a.placeOf(s, int(seq-s.first))
		if err != nil {
			return nil, damaged(s.path, seq, err)
		}
		if out, bytes, err = s.read(out, seq, at, limit, bytes); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *Archive) placeOf(s *segment, row int) (int64, error) {
	if a.live != nil && s == a.last() {
		return a.live.place(row)
	}
	x, _, err := openIndex(s.path)
	if err != nil {
		return 0, err
	}
	at, err := x.place(row)
	return at, errors.Join(err, x.f.Close())
}

func (s *segment) read(out []fsm.Written, seq uint64, at int64, limit, bytes int) ([]fsm.Written, int, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, 0, fmt.Errorf("archive: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := f.Seek(at, 0); err != nil {
		return nil, 0, fmt.Errorf("archive: %w", err)
	}
	in := newReader(f)
	for ; seq <= s.end() && len(out) < limit && bytes > 0; seq++ {
		w, size, err := readRow(in)
		if err == nil && w.Seq != seq {
			err = fmt.Errorf("row %d stands there", w.Seq)
		}
		if err != nil {
			return nil, 0, damaged(s.path, seq, err)
		}
		out, bytes = append(out, w), bytes-int(size)
	}
	return out, bytes, nil
}

// Verify reads every row of a folder and follows the chain. It writes nothing, so it may look at the folder of a node that
// runs, or of one that does not: rows that are being written meanwhile are no finding.
func Verify(dir string) (fsm.AuditReport, error) {
	paths, err := files(dir)
	if err != nil {
		return fsm.AuditReport{}, err
	}
	v := &verifier{hash: zeroHash, next: 1}
	for i, path := range paths {
		v.file(path, i == len(paths)-1)
	}
	return v.report, nil
}

// Verify is the function of that name for the folder of this archive.
func (a *Archive) Verify() (fsm.AuditReport, error) {
	if err := a.Sync(); err != nil {
		return fsm.AuditReport{}, err
	}
	return Verify(a.dir)
}

// verifier follows the chain through files.
type verifier struct {
	report fsm.AuditReport
	hash   string // of the row before
	next   uint64 // 0: unknown
}

func (v *verifier) finding(seq uint64, path, why string) {
	v.report.Findings = append(v.report.Findings, fsm.AuditFinding{Seq: seq, Where: path, Why: why})
}

func (v *verifier) file(path string, last bool) {
	began := false
	s, _, err := scan(path, func(_ int64, w fsm.Written) bool {
		if !began {
			began = true
			v.begin(path, w.Seq)
		}
		if err := fsm.VerifyAudit(v.hash, []fsm.Audit{w.Audit}); err != nil {
			v.finding(w.Seq, path, "the row was altered, or the one before it: its hash does not follow")
		} else if w.Record != nil && fsm.RecordHash(w.Record) != w.After {
			v.finding(w.Seq, path, "what the row says it wrote was altered")
		} else {
			v.report.Rows++
		}
		v.hash, v.next = w.Hash, w.Seq+1
		v.report.Last, v.report.Hash = w.Seq, w.Hash
		return true
	})
	if err != nil && !(last && errors.Is(err, errTorn)) {
		v.finding(s.first+uint64(s.count), path, err.Error())
		v.next = 0 // what follows in the file is unknown
	}
}

// begin judges the place where a file begins.
func (v *verifier) begin(path string, seq uint64) {
	if v.report.First == 0 {
		v.report.First = seq
	}
	if seq == v.next {
		return
	}
	s, _, _ := scan(path, func(int64, fsm.Written) bool { return false }) // its header; the rows are judged by the caller
	if v.next > 1 {
		v.finding(v.next, path, fmt.Sprintf("rows %d to %d are missing", v.next, seq-1))
	}
	v.hash = s.previous
}
