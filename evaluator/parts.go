package evaluator

import "slices"

// Parts lists all that RestoreSnapshot needs: how a snapshot travels to disk, to another node and back. Restoring it
// gives the same answers to everything, Since and the scope revisions included.
type Parts struct {
	Epoch            string
	Revision         uint64
	ChangedAt        int64
	SegmentRevision  uint64
	ScopeRevision    uint64
	ClientRevision   uint64
	Floor            uint64 // Since below this answers false
	Flags            []*Compiled
	FlagRevisions    []uint64 // of Flags, in the same order
	Segments         []*CompiledSegment
	SegmentRevisions []uint64    // of Segments, in the same order
	Tombstones       []Tombstone // in the order of their revisions
}

// Parts takes the snapshot apart; flags and segments are sorted by key.
func (s *Snapshot) Parts() Parts {
	p := Parts{
		Epoch:           s.epoch,
		Revision:        s.revision,
		ChangedAt:       s.changedAt,
		SegmentRevision: s.segmentRevision,
		ScopeRevision:   s.scopeRevision,
		ClientRevision:  s.clientRevision,
		Floor:           s.tombstones.floor,
		Flags:           slices.Clone(s.Flags()),
		Segments:        s.Segments(),
		Tombstones:      slices.Concat(s.tombstones.chunks...),
	}
	for _, f := range p.Flags {
		_, revision, _ := s.Flag(f.key)
		p.FlagRevisions = append(p.FlagRevisions, revision)
	}
	for _, segment := range p.Segments {
		_, revision, _ := s.Segment(segment.key)
		p.SegmentRevisions = append(p.SegmentRevisions, revision)
	}
	return p
}

// RestoreSnapshot puts the parts together again. FlagRevisions and SegmentRevisions must be as long as Flags and
// Segments.
func RestoreSnapshot(p Parts) *Snapshot {
	empty := EmptySnapshot(p.Epoch)
	st := &step{old: empty, next: empty}
	flags, segments := empty.flags.Edit(), empty.segments.Edit()
	for i, f := range p.Flags {
		flags.Put(f.key, f, p.FlagRevisions[i])
		st.refer(f.key, nil, f.flagReferences())
	}
	for i, segment := range p.Segments {
		segments.Put(segment.key, segment, p.SegmentRevisions[i])
		st.refer(segmentReferrer(segment.key), nil, segment.flagReferences())
	}
	s := &Snapshot{
		epoch:           p.Epoch,
		revision:        p.Revision,
		changedAt:       p.ChangedAt,
		segmentRevision: p.SegmentRevision,
		scopeRevision:   p.ScopeRevision,
		clientRevision:  p.ClientRevision,
		flags:           flags.Done(),
		segments:        segments.Done(),
		referrers:       empty.referrers,
	}
	if st.refs != nil {
		s.referrers = st.refs.Done()
	}
	s.tombstones = graves{floor: p.Floor}.with(p.Tombstones, 0)
	return s
}
