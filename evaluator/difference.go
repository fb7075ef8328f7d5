package evaluator

import (
	"cmp"
	"slices"
)

// Difference is the exact coalesced difference between two revisions of one epoch; every list sorted by key.
// It says what to put and what to remove, never in which order things happened in between.
type Difference struct {
	From, To        uint64
	Flags           []*Compiled
	Segments        []*CompiledSegment
	RemovedFlags    []string
	RemovedSegments []string
}

// Empty reports whether nothing changed.
func (d Difference) Empty() bool {
	return len(d.Flags)+len(d.Segments)+len(d.RemovedFlags)+len(d.RemovedSegments) == 0
}

// Since returns what changed after revision. It is false when removals from that time are forgotten: take a
// snapshot. A revision at or above the snapshot's own has nothing after it.
func (s *Snapshot) Since(revision uint64) (Difference, bool) {
	d := Difference{From: revision, To: max(revision, s.revision)}
	if revision >= s.revision {
		return d, true
	}
	if revision < s.tombstones.floor {
		return Difference{}, false
	}
	s.flags.Since(revision, func(_ string, f *Compiled, _ uint64) bool {
		d.Flags = append(d.Flags, f)
		return true
	})
	s.segments.Since(revision, func(_ string, segment *CompiledSegment, _ uint64) bool {
		d.Segments = append(d.Segments, segment)
		return true
	})
	s.tombstones.since(revision, func(t *Tombstone) {
		if _, _, back := s.Flag(t.Key); !t.Segment && !back {
			d.RemovedFlags = append(d.RemovedFlags, t.Key)
		}
		if _, _, back := s.Segment(t.Key); t.Segment && !back {
			d.RemovedSegments = append(d.RemovedSegments, t.Key)
		}
	})
	slices.SortFunc(d.Flags, byFlagKey)
	slices.SortFunc(d.Segments, bySegmentKey)
	slices.Sort(d.RemovedFlags)
	slices.Sort(d.RemovedSegments)
	d.RemovedFlags = slices.Compact(d.RemovedFlags)
	d.RemovedSegments = slices.Compact(d.RemovedSegments)
	return d, true
}

func byFlagKey(a, b *Compiled) int           { return cmp.Compare(a.key, b.key) }
func bySegmentKey(a, b *CompiledSegment) int { return cmp.Compare(a.key, b.key) }

// order is the flags of a snapshot sorted by key.
type order struct {
	revision uint64
	flags    []*Compiled
}

// newestOrder is the order of s if it was made, else that of the nearest ancestor whose order was.
func (s *Snapshot) newestOrder() *order {
	if o := s.order.Load(); o != nil {
		return o
	}
	return s.earlier
}

// Flags returns all flags sorted by key (bytewise), archived ones included. It is computed when first asked for,
// from the order of an earlier snapshot where there is one, and then shared: the slice must not be changed.
func (s *Snapshot) Flags() []*Compiled {
	if o := s.order.Load(); o != nil {
		return o.flags
	}
	o := &order{revision: s.revision}
	if base := s.earlier; base != nil {
		if d, ok := s.Since(base.revision); ok {
			o.flags = merge(base.flags, d, s.Len())
		}
	}
	if o.flags == nil {
		o.flags = make([]*Compiled, 0, s.Len())
		s.flags.All(func(_ string, f *Compiled, _ uint64) bool {
			o.flags = append(o.flags, f)
			return true
		})
		slices.SortFunc(o.flags, byFlagKey)
	}
	if !s.order.CompareAndSwap(nil, o) {
		return s.order.Load().flags // another reader was first: everybody shares its slice
	}
	return o.flags
}

// merge applies a difference to sorted flags. What lies between two changed keys is copied as a whole: looking at
// every flag would cost a cache miss each.
func merge(base []*Compiled, d Difference, size int) []*Compiled {
	merged := make([]*Compiled, 0, size)
	changed, removed := d.Flags, d.RemovedFlags
	for len(changed)+len(removed) > 0 {
		put := len(removed) == 0 || (len(changed) > 0 && changed[0].key < removed[0])
		key := ""
		if put {
			key = changed[0].key
		} else {
			key = removed[0]
		}
		i, known := slices.BinarySearchFunc(base, key, func(f *Compiled, key string) int { return cmp.Compare(f.key, key) })
		merged = append(merged, base[:i]...)
		if base = base[i:]; known {
			base = base[1:]
		}
		if put {
			merged = append(merged, changed[0])
			changed = changed[1:]
		} else {
			removed = removed[1:]
		}
	}
	return append(merged, base...)
}

// Segments returns all segments sorted by key (bytewise).
func (s *Snapshot) Segments() []*CompiledSegment {
	segments := make([]*CompiledSegment, 0, s.segments.Len())
	s.segments.All(func(_ string, segment *CompiledSegment, _ uint64) bool {
		segments = append(segments, segment)
		return true
	})
	slices.SortFunc(segments, bySegmentKey)
	return segments
}
