package fsm

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Audit is one row of the chained change log: who changed what, when. A write that changes nothing has no row.
type Audit struct {
	Seq         uint64 `json:"seq"`
	Index       uint64 `json:"index"` // log index: the revision of the change
	At          int64  `json:"at"`    // leader time, unix ms
	Actor       Actor  `json:"actor"`
	RequestID   string `json:"requestId,omitempty"`
	Correlation string `json:"correlationId,omitempty"` // of the caller's whole undertaking, as the caller named it
	Tenant      string `json:"tenant,omitempty"`
	Environment string `json:"environment,omitempty"`
	Verb        string `json:"verb"`
	Target      string `json:"target"`
	Before      string `json:"before,omitempty"` // SHA-256 of the record, hex; empty when there was none
	After       string `json:"after,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Approvals   string `json:"approvals,omitempty"` // who agreed, separated by commas
	Hash        string `json:"hash"`                // SHA-256(hash of the row before, the other fields length-prefixed in this order), hex
}

// maxAuditRows are kept in the state; older ones live with whoever archives them, verifiable by the chain.
const maxAuditRows = 8192

// auditTail is the head of the chain and the newest rows. rows is only ever appended to and cut at the front, so
// states share it.
type auditTail struct {
	seq    uint64
	head   digest
	rows   []Audit
	before digest    // hash of the row before the first of rows
	keep   int       // how many rows are kept; 0: maxAuditRows
	news   []Written // rows that came with the publish that this state came with; they are not saved
}

// Written is an audit row with what its change wrote: the canonical JSON of the flag or segment as it is then, nil for a
// deletion and for rows about other things.
type Written struct {
	Audit
	Record []byte
}

func (a *auditTail) append(row Audit) { a.write(row, nil) }

func (a *auditTail) write(row Audit, record []byte) {
	a.seq++
	row.Seq = a.seq
	a.head = chain(a.head, &row)
	row.Hash = a.head.hex()
	if over := len(a.rows) - cmp.Or(a.keep, maxAuditRows) + 1; over > 0 {
		a.before = mustDigest(a.rows[over-1].Hash)
		a.rows = a.rows[over:]
	}
	a.rows = append(a.rows, row)
	a.news = append(a.news, Written{row, record})
}

// expect makes room for rows that come at once.
func (a *auditTail) expect(rows int) {
	a.rows, a.news = slices.Grow(a.rows, rows), slices.Grow(a.news, rows)
}

// chain is the hash of a row that follows the one with hash previous.
func chain(previous digest, row *Audit) digest {
	b := make([]byte, 0, 512)
	return sha256.Sum256(row.appendFields(append(b, previous[:]...)))
}

// appendFields is the canonical form of a row without its hash. It is written by hand because it is hashed for ever: no
// release of a library may change it.
func (a *Audit) appendFields(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, a.Seq), a.Index)
	b = binary.AppendVarint(b, a.At)
	b = appendActor(b, a.Actor)
	for _, s := range [...]string{a.RequestID, a.Correlation, a.Tenant, a.Environment, a.Verb, a.Target, a.Before, a.After, a.Reason, a.Approvals} {
		b = appendString(b, s)
	}
	return b
}

// mustDigest is for hashes the law itself wrote.
func mustDigest(text string) digest {
	d, err := parseDigest(text)
	if err != nil {
		panic("fsm: a row has no hash: " + err.Error())
	}
	return d
}

// Audit returns up to limit rows with Seq > after, oldest first. Rows older than the newest 8,192 are not here any more.
func (s *State) Audit(after uint64, limit int) []Audit { return s.audit.since(after, limit) }

func (a *auditTail) since(after uint64, limit int) []Audit {
	rows := a.rows
	from, _ := slices.BinarySearchFunc(rows, after+1, func(r Audit, seq uint64) int {
		if r.Seq < seq {
			return -1
		}
		return 1
	})
	rows = rows[from:]
	return slices.Clone(rows[:min(max(limit, 0), len(rows))])
}

// News are the rows that came with the publish of this state, oldest first: everything that Apply wrote since the state
// before, however much that was. See Store.Trail.
func (s *State) News() []Written { return s.audit.news }

// Written returns up to limit rows with Seq > after, oldest first, with the records that the state still holds: a version
// that left the history is nil. Rows older than the newest 8,192 are not here any more.
func (s *State) Written(after uint64, limit int) []Written {
	rows := s.Audit(after, limit)
	out := make([]Written, 0, len(rows))
	for _, row := range rows {
		out = append(out, Written{row, s.RecordOf(&row)})
	}
	return out
}

// RecordOf is what a row wrote, while the state holds that version; nil otherwise.
func (s *State) RecordOf(row *Audit) []byte {
	kind, key, _ := strings.Cut(row.Target, "/")
	env, ok := s.Environment(row.Tenant, row.Environment)
	if !ok || row.After == "" || kind != string(ObjectFlag) && kind != string(ObjectSegment) {
		return nil
	}
	for _, v := range env.versions(ObjectKind(kind), key) {
		if v.Revision == row.Index && v.digest.hex() == row.After {
			return v.Record
		}
	}
	return nil
}

// AuditBefore is the hash of the row before the oldest that the state holds.
func (s *State) AuditBefore() string { return s.audit.before.hex() }

// AuditHead is the number and hash of the newest row.
func (s *State) AuditHead() (seq uint64, hash string) { return s.audit.seq, s.audit.head.hex() }

// VerifyAudit checks that rows follow each other and, unless they start with the first row ever, that they follow the
// row with hash previous.
func VerifyAudit(previous string, rows []Audit) error {
	var head digest
	if len(rows) > 0 && rows[0].Seq > 1 {
		b, err := parseDigest(previous)
		if err != nil {
			return fmt.Errorf("audit: the hash before row %d: %w", rows[0].Seq, err)
		}
		head = b
	}
	for i, row := range rows {
		if i > 0 && row.Seq != rows[i-1].Seq+1 {
			return fmt.Errorf("audit: row %d follows row %d; rows are missing", row.Seq, rows[i-1].Seq)
		}
		if head = chain(head, &row); head.hex() != row.Hash {
			return fmt.Errorf("audit: row %d or one before it was altered: its hash does not follow", row.Seq)
		}
	}
	return nil
}
