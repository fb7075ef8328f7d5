package evaluator

import (
	"bytes"
	"sync/atomic"
)

// Snapshot is everything one environment serves at one revision. It is immutable: a change makes another snapshot,
// which shares all pages it did not touch. Readers hold it by one pointer and never lock.
type Snapshot struct {
	epoch           string
	revision        uint64
	changedAt       int64
	segmentRevision uint64
	scopeRevision   uint64 // of all flags that are served
	clientRevision  uint64 // of the client-visible ones and what they refer to
	flags           *Index[*Compiled]
	segments        *Index[*CompiledSegment]
	referrers       *Index[*referrers] // by the key of a flag: who refers to it
	tombstones      graves
	order           atomic.Pointer[order] // this snapshot's flags by key, made when somebody asks
	earlier         *order                // of an ancestor, so that making order costs the difference only
}

// Changes is one step of an environment: everything that one log entry changed.
type Changes struct {
	Revision        uint64 // higher than that of the snapshot
	At              int64  // leader time in unix ms; decides how long tombstones are kept
	Flags           []*Compiled
	Segments        []*CompiledSegment
	RemovedFlags    []string
	RemovedSegments []string
	Origin          *Origin // nil: the changes were made here
	Owner           *Owner  // not nil: the snapshot itself is not read any more if the same owner made it
}

// Origin is what a follower learns about changes that were made elsewhere: the positions of the snapshot they come
// from, which what came and went on the way has moved too. With an Origin, removing what is not there leaves its
// tombstone all the same: somebody who follows the follower may still have it.
type Origin struct{ ScopeRevision, ClientRevision, SegmentRevision uint64 }

// EmptySnapshot returns a snapshot without flags at revision 0.
func EmptySnapshot(epoch string) *Snapshot {
	return &Snapshot{
		epoch:     epoch,
		flags:     &Index[*Compiled]{},
		segments:  &Index[*CompiledSegment]{},
		referrers: &Index[*referrers]{},
	}
}

// Epoch names the history that revisions belong to; a restore begins another one.
func (s *Snapshot) Epoch() string { return s.epoch }

// Revision is that of the last change of what is served.
func (s *Snapshot) Revision() uint64 { return s.revision }

// ChangedAt is the leader time of the last change, in unix ms.
func (s *Snapshot) ChangedAt() int64 { return s.changedAt }

// SegmentRevision is the newest revision at which any segment changed or was removed.
func (s *Snapshot) SegmentRevision() uint64 { return s.segmentRevision }

// Len returns the number of flags, archived ones included.
func (s *Snapshot) Len() int { return s.flags.Len() }

// Flag returns a flag and the revision of its last change.
func (s *Snapshot) Flag(key string) (f *Compiled, revision uint64, ok bool) {
	if e := s.flags.find(key, hashText(key)); e != nil {
		return e.value, e.revision, true
	}
	return nil, 0, false
}

// Segment returns a segment and the revision of its last change.
func (s *Snapshot) Segment(key string) (segment *CompiledSegment, revision uint64, ok bool) {
	if e := s.segments.find(key, hashText(key)); e != nil {
		return e.value, e.revision, true
	}
	return nil, 0, false
}

// With returns the snapshot after c. What c does not change costs nothing, and a flag or segment whose record is the
// one already served does not count as changed; if nothing is left, With returns s itself.
func (s *Snapshot) With(c Changes) *Snapshot {
	step := newStep(s, c)
	for _, f := range c.Flags {
		step.putFlag(f)
	}
	for _, key := range c.RemovedFlags {
		step.removeFlag(key)
	}
	for _, segment := range c.Segments {
		step.putSegment(segment)
	}
	for _, key := range c.RemovedSegments {
		step.removeSegment(key)
	}
	return step.done()
}

// step is a snapshot in the making.
type step struct {
	old     *Snapshot
	next    *Snapshot
	changes Changes
	flags   *Edit[*Compiled]
	segs    *Edit[*CompiledSegment]
	refs    *Edit[*referrers]
	touched []*Compiled // flags that changed, as they were and as they are
	buried  []Tombstone
	changed bool
}

func newStep(s *Snapshot, c Changes) *step {
	next := &Snapshot{
		epoch:           s.epoch,
		revision:        max(s.revision, c.Revision),
		changedAt:       max(s.changedAt, c.At),
		segmentRevision: s.segmentRevision,
		scopeRevision:   s.scopeRevision,
		clientRevision:  s.clientRevision,
		flags:           s.flags,
		segments:        s.segments,
		referrers:       s.referrers,
		tombstones:      s.tombstones,
		earlier:         s.newestOrder(),
	}
	if c.Revision <= s.revision {
		next.earlier = nil // its revision cannot tell what this step changes
	}
	return &step{old: s, next: next, changes: c}
}

func (st *step) editFlags() *Edit[*Compiled] {
	if st.flags == nil {
		st.flags = st.old.flags.EditAs(st.changes.Owner)
	}
	return st.flags
}

func (st *step) editSegments() *Edit[*CompiledSegment] {
	if st.segs == nil {
		st.segs = st.old.segments.Edit()
	}
	return st.segs
}

func (st *step) putFlag(f *Compiled) {
	old, _, known := st.old.Flag(f.key)
	if known && bytes.Equal(old.record, f.record) {
		return
	}
	st.editFlags().Put(f.key, f, st.changes.Revision)
	st.changed = true
	st.touch(old, f)
}

func (st *step) removeFlag(key string) {
	old, _, known := st.old.Flag(key)
	if !known || !st.editFlags().Delete(key) {
		if st.changes.Origin != nil {
			st.bury(Tombstone{Key: key})
		}
		return
	}
	st.bury(Tombstone{Key: key})
	st.touch(old, nil)
}

func (st *step) putSegment(s *CompiledSegment) {
	old, _, known := st.old.Segment(s.key)
	if known && bytes.Equal(old.record, s.record) {
		return
	}
	st.editSegments().Put(s.key, s, st.changes.Revision)
	st.changed = true
	st.next.segmentRevision = st.changes.Revision
	st.refer(segmentReferrer(s.key), old.flagReferences(), s.flagReferences())
}

func (st *step) removeSegment(key string) {
	old, _, known := st.old.Segment(key)
	if !known || !st.editSegments().Delete(key) {
		if st.changes.Origin != nil {
			st.bury(Tombstone{Segment: true, Key: key})
		}
		return
	}
	st.bury(Tombstone{Segment: true, Key: key})
	st.next.segmentRevision = st.changes.Revision
	st.refer(segmentReferrer(key), old.flagReferences(), nil)
}

func (st *step) bury(t Tombstone) {
	t.Revision, t.At = st.changes.Revision, st.changes.At
	st.buried = append(st.buried, t)
	st.changed = true
}

// done publishes the edits and moves the revisions that depend on them.
func (st *step) done() *Snapshot {
	if !st.changed && !st.ahead() {
		return st.old
	}
	if st.flags != nil {
		st.next.flags = st.flags.Done()
	}
	if st.segs != nil {
		st.next.segments = st.segs.Done()
	}
	if st.refs != nil {
		st.next.referrers = st.refs.Done()
	}
	st.next.tombstones = st.next.tombstones.with(st.buried, st.next.changedAt)
	st.moveScopes()
	if from := st.changes.Origin; from != nil {
		st.next.scopeRevision = max(st.next.scopeRevision, from.ScopeRevision)
		st.next.clientRevision = max(st.next.clientRevision, from.ClientRevision)
		st.next.segmentRevision = max(st.next.segmentRevision, from.SegmentRevision)
	}
	return st.next
}

// ahead tells whether the origin has moved its positions beyond those here.
func (st *step) ahead() bool {
	from := st.changes.Origin
	return from != nil && (from.ScopeRevision > st.old.scopeRevision || from.ClientRevision > st.old.clientRevision ||
		from.SegmentRevision > st.old.segmentRevision)
}
