package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// Request rows are held for a day, and never more than 262,144 of them.
const (
	maxRequestRows = 262_144
	requestAge     = int64(24 * time.Hour / time.Millisecond)
	// maxAhead is how far the time inside a request id may be ahead of the leader's.
	maxAhead = int64(5 * time.Minute / time.Millisecond)
	// evictionsPerEntry bounds the work of one entry. Rows that outlive their day a little only make more retries safe.
	evictionsPerEntry = 16
)

// requestTable remembers what every request was answered, so that a retry is never executed twice. It is persistent:
// a copy is a snapshot. No answer is stored, only its code and revision.
type requestTable struct {
	rows  *evaluator.Index[*requestRow]
	batch *evaluator.Edit[*requestRow] // of the states between two entries of one Apply, which nobody else sees
	order []string                     // keys, oldest first; only ever appended to and cut at the front, so states share it
	floor int64                        // highest time of an evicted UUIDv7: older ids are not executed any more
}

// requestRow is the answer to one request; immutable.
type requestRow struct {
	body     [16]byte // hash of the command and its expectation
	at       int64    // leader time
	idTime   int64    // time inside the UUIDv7, 0 for opaque ids
	revision uint64   // log index of the entry
	object   uint64   // revision of the object in the receipt or the conflict
	code     outcomeCode
}

// outcomeCode is what a row remembers of an answer. The numbers are law.
type outcomeCode uint8

const (
	codeUnchanged outcomeCode = iota
	codeChanged
	codeInvalid
	codeNotFound
	codeConflict
	codeExists
	codeIllegal
	codeFrozen
	codeDenied
	codeState
	codeStale
	codeDrift
	codePipeline
	codeSelfApproval
	codeProtected
)

func newRequestTable() requestTable {
	return requestTable{rows: &evaluator.Index[*requestRow]{}}
}

func (t *requestTable) get(key string) (*requestRow, bool) {
	if t.batch != nil {
		return t.batch.Get(key)
	}
	return t.rows.Get(key)
}

// settle ends the batch. A row is the last thing an entry writes, so no state of the batch is ever gone back to.
func (t *requestTable) settle() {
	if t.batch != nil {
		t.rows, t.batch = t.batch.Done(), nil
	}
}

// change belongs to a batch, which settle ends. It drops rows by the state's time and adds one, and reports the dropped
// ones so that the hash follows.
func (t *requestTable) change(now int64, key string, row *requestRow, dropped func(key string, row *requestRow)) {
	if t.batch == nil {
		t.batch = t.rows.Edit()
	}
	for range evictionsPerEntry {
		if len(t.order) == 0 {
			break
		}
		oldest := t.order[0]
		r, _ := t.batch.Get(oldest)
		if len(t.order) < maxRequestRows && now-r.at <= requestAge {
			break
		}
		t.batch.Delete(oldest)
		t.order, t.floor = t.order[1:], max(t.floor, r.idTime)
		dropped(oldest, r)
	}
	t.batch.Put(key, row, row.revision)
	t.order = append(t.order, key)
}

// requestKey is 16 bytes of the hash of who asked under which id. The token is part of who: users of two tenants may have
// the same name.
func requestKey(a Actor, id string) string {
	b := make([]byte, 0, 160)
	for _, s := range []string{a.Kind, a.ID, a.Token, id} {
		b = appendString(b, s)
	}
	h := sha256.Sum256(b)
	return string(h[:16])
}

func bodyHash(p *Proposal) (short [16]byte) {
	b := make([]byte, 1, 1+binary.MaxVarintLen64)
	if p.ExpectedRevision != nil {
		b[0] = 1
		b = binary.AppendUvarint(b, *p.ExpectedRevision)
	}
	h := sha256.New() // a stage is not copied for its hash
	h.Write(b)
	h.Write(p.Command)
	copy(short[:], h.Sum(nil))
	return short
}

func requestLeaf(key string, r *requestRow) sum {
	if bug.On("B15") {
		return sum{}
	}
	return newLeaf(leafRequest, key, string(r.body[:])).
		numbers(uint64(r.at), uint64(r.idTime), r.revision, r.object, uint64(r.code)).sum()
}

// NewRequestID makes a UUIDv7 (RFC 9562, 5.7) of a time in unix ms and 16 random bytes, of which 74 bits are kept.
// Every id is made anew from its own time: a generator that remembers its last one to stay monotonic would, after the
// clock was set back, go on making ids of the future, and those are refused.
func NewRequestID(ms int64, random [16]byte) string {
	var ahead [8]byte
	binary.BigEndian.PutUint64(ahead[:], uint64(ms)<<16)
	copy(random[:6], ahead[:6])
	random[6] = 0x70 | random[6]&0x0f
	random[8] = 0x80 | random[8]&0x3f
	h := hex.EncodeToString(random[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// idTime reads the unix ms inside a UUIDv7; 0 for every other id.
func idTime(id string) int64 {
	if len(id) != 36 || id[14] != '7' || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return 0
	}
	var ms int64
	for i := range 36 {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		digit := hexDigit(id[i])
		if digit < 0 {
			return 0
		}
		if i < 13 {
			ms = ms<<4 | int64(digit)
		}
	}
	return ms
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// answered looks a request up. It returns the outcome of the first entry, a refusal, or false: execute it.
func (s *State) answered(p *Proposal, c Command, key string, body [16]byte) (Outcome, bool) {
	if p.RequestID == "" || bug.On("B03") {
		return Outcome{}, false
	}
	row, ok := s.requests.get(key)
	if ok && row.body != body {
		return Outcome{Err: &Error{Kind: KindRequestReused, Op: c.Verb(), Target: c.target().String(), Revision: row.revision,
			Detail: fmt.Sprintf("the request id was used for another change at revision %d; use a new id", row.revision)}}, true
	}
	if ok {
		return s.replay(c, row), true
	}
	made := idTime(p.RequestID)
	if made != 0 && made <= s.requests.floor {
		return Outcome{Err: &Error{Kind: KindRequestExpired, Op: c.Verb(), Target: c.target().String(),
			Detail: "the request id is too old to know whether it was executed; read the object, then send a new id"}}, true
	}
	if made > s.now+maxAhead {
		return Outcome{Err: &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: "the request id is more than 5 minutes ahead of the cluster's time; correct the clock of the caller"}}, true
	}
	return Outcome{}, false
}

// replay gives the first code and revision again.
func (s *State) replay(c Command, row *requestRow) Outcome {
	for _, failed := range storedFailures() {
		if failed.code == row.code {
			return Outcome{Err: &Error{Kind: failed.kind, Op: c.Verb(), Target: c.target().String(), Revision: row.object,
				Detail: fmt.Sprintf("the same request failed this way at revision %d; send a new request id to try again", row.revision)}}
		}
	}
	return Outcome{Receipt: Receipt{Epoch: s.epoch, Revision: row.revision, Object: row.object,
		Changed: row.code == codeChanged, Replayed: true}}
}

// storedFailures are the refusals that depend on the state, so that a retry must find them again.
func storedFailures() [13]struct {
	kind Kind
	code outcomeCode
} {
	return [...]struct {
		kind Kind
		code outcomeCode
	}{{KindInvalid, codeInvalid}, {KindNotFound, codeNotFound}, {KindConflict, codeConflict}, {KindExists, codeExists},
		{KindIllegal, codeIllegal}, {KindFrozen, codeFrozen}, {KindDenied, codeDenied}, {KindState, codeState}, {KindStale, codeStale},
		{KindDrift, codeDrift}, {KindPipeline, codePipeline}, {KindSelfApproval, codeSelfApproval}, {KindProtected, codeProtected}}
}

// remember stores the answer of the entry under the request's id.
func (s *State) remember(p *Proposal, key string, body [16]byte, out Outcome) {
	if p.RequestID == "" {
		return
	}
	row := &requestRow{body: body, at: s.now, idTime: idTime(p.RequestID), revision: s.index, object: out.Receipt.Object}
	if out.Receipt.Changed {
		row.code = codeChanged
	}
	if e := (*Error)(nil); errors.As(out.Err, &e) {
		row.object = e.Revision
		for _, failed := range storedFailures() {
			if failed.kind == e.Kind {
				row.code = failed.code
			}
		}
	}
	s.requests.change(s.now, key, row, func(key string, row *requestRow) { s.rest.remove(requestLeaf(key, row)) })
	s.rest.add(requestLeaf(key, row))
}
