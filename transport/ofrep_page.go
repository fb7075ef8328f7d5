package transport

import (
	"sync"
	"sync/atomic"

	"github.com/hoistflags/hoist/evaluator"
)

// bulkPage is what all bulk answers of one snapshot and visibility share: the text of the flags whose answer does not depend on the context,
// joined, and between them every answer that the others can give. Answering is then choosing and copying.
type bulkPage struct {
	snapshot *evaluator.Snapshot
	pieces   []bulkPiece
	tail     []byte // after the last piece
	fixed    tally  // of the flags whose text is joined
	size     int
	tooLarge bool // nothing was kept
}

// bulkPiece is text, and a flag that has to be evaluated behind it.
type bulkPiece struct {
	text    []byte
	flag    *evaluator.Compiled
	answers []bulkAnswer
}

// bulkAnswer is one answer of a flag, with the comma before it.
type bulkAnswer struct {
	result *evaluator.Result
	text   []byte
	count  int // of reasonCounters
	driven bool
}

// maxBulkPage bounds the text of a page. An environment that has more is evaluated flag by flag.
const maxBulkPage = 4 << 20

// newBulkPage renders a snapshot as v sees it.
func newBulkPage(s *evaluator.Snapshot, v visitor) *bulkPage {
	p := &bulkPage{snapshot: s}
	var text []byte
	first := true
	for _, flag := range s.Flags() {
		if !v.sees(flag) {
			continue
		}
		if fixed := flag.Constant(); fixed != nil && fixed.Label == "" { // one with a label is counted by who drives it
			text = appendBulkItem(text, first, flag, fixed, s, v)
			p.fixed[counted(fixed.Reason, fixed.ErrorCode)]++
		} else {
			piece := bulkPiece{text: text, flag: flag}
			for _, r := range flag.Outcomes() {
				one := appendBulkItem(nil, first, flag, r, s, v)
				piece.answers = append(piece.answers, bulkAnswer{r, one, counted(r.Reason, r.ErrorCode), r.Label != ""})
				p.size += len(one)
			}
			p.size += len(text)
			p.pieces, text = append(p.pieces, piece), nil
		}
		first = false
		if p.size+len(text) > maxBulkPage {
			return &bulkPage{snapshot: s, tooLarge: true}
		}
	}
	p.tail = text
	return p
}

// appendBulkItem appends one member of "flags", after a comma unless it is the first.
func appendBulkItem(dst []byte, first bool, flag *evaluator.Compiled, r *evaluator.Result, s *evaluator.Snapshot, v visitor) []byte {
	if !first {
		dst = append(dst, ',')
	}
	shown := v.shown(*r)
	if shown.ErrorCode != "" {
		return appendFailure(dst, flag.Key(), shown.ErrorCode, evaluationDetail(shown))
	}
	return appendEvaluation(dst, flag, &shown, s.ScopeRevision(v.client))
}

// append appends the members of "flags" for a context, and counts.
func (b *bulkPage) append(dst []byte, p *place, c *evaluator.Context) []byte {
	counts := b.fixed
	for i := range b.pieces {
		piece := &b.pieces[i]
		dst = append(dst, piece.text...)
		r := b.snapshot.Outcome(piece.flag, c)
		for j := range piece.answers {
			if a := &piece.answers[j]; a.result == r {
				dst = append(dst, a.text...)
				counts[a.count]++
				if a.driven {
					p.cohort.count(p.scope, piece.flag.Key(), r)
				}
				break
			}
		}
	}
	p.counts[doorOFREP].add(&counts)
	return append(dst, b.tail...)
}

// appendOneByOne is append without a page.
func appendOneByOne(dst []byte, p *place, s *evaluator.Snapshot, v visitor, c *evaluator.Context) []byte {
	var counts tally
	first := true
	for _, flag := range s.Flags() {
		if !v.sees(flag) {
			continue
		}
		r := s.Outcome(flag, c)
		dst = appendBulkItem(dst, first, flag, r, s, v)
		first = false
		counts[counted(r.Reason, r.ErrorCode)]++
		p.cohort.count(p.scope, flag.Key(), r)
	}
	p.counts[doorOFREP].add(&counts)
	return dst
}

// bulkPages makes the page of an environment's newest snapshot, for one visibility, when that is asked for a second time: a page costs more
// than an answer, and where every write is followed by one question it would never be used again.
type bulkPages struct {
	page   atomic.Pointer[bulkPage]
	asked  atomic.Pointer[evaluator.Snapshot] // last, without a page
	making sync.Mutex
}

// page returns what v sees of s, nil when there is no page yet or it would be too large.
func (p *place) page(s *evaluator.Snapshot, v visitor) *bulkPage {
	if v.client {
		return p.bulk[1].of(s, v)
	}
	return p.bulk[0].of(s, v)
}

func (b *bulkPages) of(s *evaluator.Snapshot, v visitor) *bulkPage {
	p := b.page.Load()
	if p == nil || p.snapshot != s {
		if b.asked.Swap(s) != s || !b.making.TryLock() {
			return nil
		}
		defer b.making.Unlock()
		p = newBulkPage(s, v)
		b.page.Store(p)
	}
	if p.tooLarge {
		return nil
	}
	return p
}
