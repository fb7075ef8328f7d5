package chaos

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// replayed is the committed log, applied once more by the law and once by the reference model.
type replayed struct {
	first   uint64
	states  []*fsm.State // states[i] after the entry first+i
	entries []Entry
	law     []fsm.Outcome
	model   *model
	said    []answer         // of the model
	request map[asked]uint64 // the first entry of a request
	digests map[string]map[uint64]string
}

// asked names a request: ids are the actors' own.
type asked struct{ actor, id string }

// replay applies the log; what law and model do not agree on is a violation of invariant 2.
func replay(d Dump) (*replayed, []Violation) {
	var out []Violation
	for _, clash := range d.Clashes {
		out = append(out, found(Durable, 0, "%s", clash))
	}
	r := &replayed{first: 1, model: newModel(), request: map[asked]uint64{}, digests: map[string]map[uint64]string{}}
	if len(d.Entries) > 0 {
		r.first = d.Entries[0].Index
	}
	store := fsm.NewStore()
	for _, e := range d.Entries {
		o := store.Apply([]fsm.Entry{e.Entry})[0]
		a := r.model.apply(e.Entry)
		r.states, r.entries, r.law, r.said = append(r.states, store.State()), append(r.entries, e), append(r.law, o), append(r.said, a)
		if a.request.id != "" {
			if _, again := r.request[a.request]; !again {
				r.request[a.request] = e.Index
			}
		}
		r.model.settle(e.Entry, a, o)
		if why := a.differs(o); why != "" {
			out = append(out, found(a.invariant(), e.Applied, "entry %d (%s): the law and the reference model differ: %s", e.Index, a.what, why))
		}
		out = append(out, r.auditOf(e)...)
	}
	return r, out
}

// at is the state after an index; nil when the log does not reach there. Entries that only raft knows leave gaps.
func (r *replayed) at(index uint64) *fsm.State {
	if len(r.entries) == 0 || index < r.first || index > r.last() {
		return nil
	}
	return r.states[r.place(index)]
}

// place is where the newest entry at or below an index stands.
func (r *replayed) place(index uint64) int {
	at, exact := slices.BinarySearchFunc(r.entries, index, func(e Entry, index uint64) int { return cmp.Compare(e.Index, index) })
	if !exact {
		at--
	}
	return max(at, 0)
}

// appliedAt is when an index was applied.
func (r *replayed) appliedAt(index uint64) int64 {
	if len(r.entries) == 0 {
		return 0
	}
	return r.entries[r.place(index)].Applied
}

// last is the newest index of the log.
func (r *replayed) last() uint64 {
	if len(r.entries) == 0 {
		return 0
	}
	return r.entries[len(r.entries)-1].Index
}

// digest is that of an environment's content at an index.
func (r *replayed) digest(environment string, index uint64) (string, bool) {
	if d, ok := r.digests[environment][index]; ok {
		return d, true
	}
	s := r.at(index)
	if s == nil {
		return "", false
	}
	env, ok := s.Environment(fsm.DefaultTenant, environment)
	if !ok {
		return "", false
	}
	if r.digests[environment] == nil {
		r.digests[environment] = map[uint64]string{}
	}
	d := Digest(env.Snapshot())
	r.digests[environment][index] = d
	return d, true
}

// Digest names the content of a snapshot: what it serves, and since which revisions.
func Digest(s *evaluator.Snapshot) string {
	h := sha256.New()
	var buf []byte
	add := func(key string, revision uint64, record []byte) {
		buf = binary.AppendUvarint(append(binary.AppendUvarint(buf[:0], uint64(len(key))), key...), revision)
		buf = append(binary.AppendUvarint(buf, uint64(len(record))), record...)
		h.Write(buf)
	}
	for _, f := range s.Flags() {
		_, revision, _ := s.Flag(f.Key())
		add(f.Key(), revision, f.Record())
	}
	for _, g := range s.Segments() {
		_, revision, _ := s.Segment(g.Key())
		add(g.Key(), revision, g.Record())
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// codeOf is the kind of an error of the law; empty when there is none.
func codeOf(err error) string {
	var e *fsm.Error
	if errors.As(err, &e) {
		return string(e.Kind)
	}
	return ""
}
