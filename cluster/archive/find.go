package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"

	"github.com/hoistflags/hoist/fsm"
)

// rowSet is a set of rows of one segment.
type rowSet []uint64

func newRowSet(n int) rowSet { return make(rowSet, (n+63)/64) }

func (s rowSet) put(row uint64) {
	if int(row/64) < len(s) {
		s[row/64] |= 1 << (row % 64)
	}
}

func (s rowSet) only(o rowSet) {
	for i := range s {
		s[i] &= o[i]
	}
}

// below is the greatest member that is less than n; -1 when there is none.
func (s rowSet) below(n int) int {
	for i := min((n-1)/64, len(s)-1); i >= 0 && n > 0; i-- {
		word := s[i]
		if i == n/64 {
			word &= 1<<(n%64) - 1
		}
		if word != 0 {
			return 64*i + 63 - bits.LeadingZeros64(word)
		}
	}
	return -1
}

// Find returns up to limit rows that the filter wants, newest first; before, unless it is 0, begins below that row. A row
// that cannot be read is an error that names its file.
func (a *Archive) Find(want fsm.AuditFilter, before uint64, limit int) ([]fsm.Written, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return nil, ErrClosed
	}
	if before == 0 {
		before = a.head + 1
	}
	var out []fsm.Written
	for i := len(a.segments) - 1; i >= 0 && len(out) < limit; i-- {
		s := a.segments[i]
		if s.count == 0 || s.first >= before || s.until < want.From || want.Until > 0 && s.from >= want.Until {
			continue
		}
		var err error
		if out, err = a.findIn(s, want, before, limit, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// lookup is an index, on disk or in memory.
type lookup interface {
	// rowsOf marks the rows of every term that begins with the prefix and is accepted.
	rowsOf(set rowSet, prefix string, exact bool, accept func(text string) bool) error
	place(row int) (int64, error)
}

func (a *Archive) findIn(s *segment, want fsm.AuditFilter, before uint64, limit int, out []fsm.Written) (found []fsm.Written, err error) {
	var terms lookup = a.live
	if a.live == nil || s != a.last() {
		x, _, err := openIndex(s.path)
		if err != nil {
			return nil, err
		}
		defer x.f.Close() //nolint:errcheck // only read
		terms = x
	}
	set, err := candidates(terms, s.count, want)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	for row := set.below(int(min(before-s.first, uint64(s.count)))); row >= 0 && len(out) < limit; row = set.below(row) {
		at, err := terms.place(row)
		if err != nil {
			return nil, damaged(s.path, s.first+uint64(row), err)
		}
		w, err := readAt(f, at)
		if err == nil && w.Seq != s.first+uint64(row) {
			err = fmt.Errorf("row %d stands there", w.Seq)
		}
		if err != nil {
			return nil, damaged(s.path, s.first+uint64(row), err)
		}
		if want.Matches(&w.Audit) {
			out = append(out, w)
		}
	}
	return out, nil
}

// candidates are the rows in which every wanted term stands.
func candidates(terms lookup, rows int, want fsm.AuditFilter) (rowSet, error) {
	set := newRowSet(rows)
	tenants := func(text string) bool { return text == "" || text == want.Tenant }
	if err := terms.rowsOf(set, string(termTenant), false, tenants); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		kind byte
		text string
	}{{termEnvironment, want.Environment}, {termTarget, want.Target}, {termUser, want.User}, {termCorrelation, want.Correlation}, {termVerb, want.Verb}} {
		if t.text == "" {
			continue
		}
		one := newRowSet(rows)
		if err := terms.rowsOf(one, string(t.kind)+t.text, true, nil); err != nil {
			return nil, err
		}
		set.only(one)
	}
	if want.KeyPattern == "" {
		return set, nil
	}
	one := newRowSet(rows)
	keys := func(target string) bool {
		_, key, _ := strings.Cut(target, "/")
		return fsm.MatchKey(want.KeyPattern, key)
	}
	if err := terms.rowsOf(one, string(termTarget), false, keys); err != nil {
		return nil, err
	}
	set.only(one)
	return set, nil
}

func (x *index) rowsOf(set rowSet, prefix string, exact bool, accept func(string) bool) error {
	chunk := 512
	if exact {
		chunk = 1
	}
	return x.each(prefix, chunk, func(text string, list func() ([]byte, error)) (bool, error) {
		rest, ok := strings.CutPrefix(text, prefix)
		if !ok || exact && rest != "" {
			return false, nil
		}
		if !exact && !accept(rest) {
			return true, nil
		}
		b, err := list()
		row := uint64(0)
		for len(b) > 0 && err == nil {
			step, n := binary.Uvarint(b)
			if n <= 0 {
				return false, errors.New("archive: " + x.f.Name() + " holds a list that cannot be read")
			}
			row += step
			set.put(row)
			b = b[n:]
		}
		return !exact, err
	})
}

func (p *postings) rowsOf(set rowSet, prefix string, exact bool, accept func(string) bool) error {
	mark := func(list []uint32) {
		for _, row := range list {
			set.put(uint64(row))
		}
	}
	if exact {
		mark(p.terms[prefix])
		return nil
	}
	for text, list := range p.terms {
		if rest, ok := strings.CutPrefix(text, prefix); ok && accept(rest) {
			mark(list)
		}
	}
	return nil
}

func (p *postings) place(row int) (int64, error) { return int64(p.places[row]), nil }
