package chaos

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// replayed is the committed log, applied once more by the law and once by the reference model. States are not kept: a
// long log has too many of them.
type replayed struct {
	first   uint64
	entries []Entry
	stand   []standing // after each entry
	law     []fsm.Outcome
	model   *model
	said    []answer         // of the model
	request map[asked]uint64 // the first entry of a request
	wanted  map[spot]string  // digests of what followers held; empty: not reached
}

// standing is what is kept of a state.
type standing struct{ epoch, domain, full string }

// spot is one environment at one revision.
type spot struct {
	environment string
	revision    uint64
}

// asked names a request: ids are the actors' own.
type asked struct{ actor, id string }

// replay applies the log; what law and model do not agree on is a violation of invariant 2.
func replay(e Evidence) (*replayed, []Violation) {
	var out []Violation
	for _, clash := range e.Dump.Clashes {
		out = append(out, found(Durable, 0, "%s", clash))
	}
	r := &replayed{first: 1, model: newModel(), request: map[asked]uint64{}, wanted: map[spot]string{}, entries: e.Dump.Entries}
	spots := r.spots(e.History.Frames())
	if len(r.entries) > 0 {
		r.first = r.entries[0].Index
	}
	store, rollouts, promotions := fsm.NewStore(), newRolloutCheck(), newPromotionCheck()
	for i, entry := range r.entries {
		before := store.State()
		o := store.Apply([]fsm.Entry{entry.Entry})[0]
		out = append(out, r.take(entry, o)...)
		out = append(out, r.auditOf(entry, before, store.State())...)
		out = append(out, rollouts.step(entry, before, store.State(), o)...)
		out = append(out, promotions.step(entry, before, store.State())...)
		r.stand = append(r.stand, standing{store.State().Epoch(), store.State().DomainHash(), store.State().FullHash()})
		next := uint64(1<<63 - 1)
		if i+1 < len(r.entries) {
			next = r.entries[i+1].Index
		}
		spots = r.see(spots, store.State(), next)
	}
	return r, out
}

// take compares what the law and the model say to an entry.
func (r *replayed) take(e Entry, o fsm.Outcome) (out []Violation) {
	a := r.model.apply(e.Entry)
	r.law, r.said = append(r.law, o), append(r.said, a)
	if a.request.id != "" {
		if _, again := r.request[a.request]; !again {
			r.request[a.request] = e.Index
		}
	}
	r.model.settle(e.Entry, a, o)
	if why := a.differs(o); why != "" {
		out = append(out, found(a.invariant(), e.Applied, "entry %d (%s): the law and the reference model differ: %s", e.Index, a.what, why))
	}
	return out
}

// spots are those that followers claim to know, by revision.
func (r *replayed) spots(frames []Frame) []spot {
	for _, f := range frames {
		r.wanted[spot{f.Environment, f.Revision}] = ""
	}
	return slices.SortedFunc(maps.Keys(r.wanted), func(a, b spot) int { return cmp.Compare(a.revision, b.revision) })
}

// see takes the digests of the spots before the next entry.
func (r *replayed) see(spots []spot, s *fsm.State, next uint64) []spot {
	for len(spots) > 0 && spots[0].revision < next {
		if env, ok := s.Environment(fsm.DefaultTenant, spots[0].environment); ok && s.Index() <= spots[0].revision && spots[0].revision <= r.last() {
			r.wanted[spots[0]] = Digest(env.Snapshot())
		}
		spots = spots[1:]
	}
	return spots
}

// at is how things stood after an index; nil when the log does not reach there. Entries that only raft knows leave gaps.
func (r *replayed) at(index uint64) *standing {
	if len(r.entries) == 0 || index < r.first || index > r.last() {
		return nil
	}
	return &r.stand[r.place(index)]
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
