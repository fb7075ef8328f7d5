package evaluator

import (
	"cmp"
	"slices"
)

// References lists what a flag or segment refers to, for the law (dangling, cycles, depth, visits). Sorted by key, unique.
type References struct {
	Flags    []FlagReference // prerequisites and prerequisite clauses
	Segments []SegmentReference
}

// FlagReference names a flag and the variants of it that are asked for; sorted, unique.
type FlagReference struct {
	Flag     string
	Variants []string
	Times    int // how often it is named: an evaluation may look at the flag as often
}

// SegmentReference names a segment.
type SegmentReference struct {
	Segment string
	Times   int // how often it is named: an evaluation may look at the segment as often
}

// References lists the flags and segments that f refers to.
func (f *Flag) References() References {
	var refs References
	for _, p := range f.Prerequisites {
		refs.Flags = append(refs.Flags, FlagReference{Flag: p.Flag, Variants: slices.Clone(p.Variants), Times: 1})
	}
	for _, r := range f.Rules {
		refs.addClauses(r.If)
	}
	refs.settle()
	return refs
}

// References lists the flags and segments that the rules of s refer to.
func (s *Segment) References() References {
	var refs References
	for _, r := range s.Rules {
		refs.addClauses(r.If)
	}
	refs.settle()
	return refs
}

func (r *References) addClauses(clauses []Clause) {
	for i := range clauses {
		switch c := &clauses[i]; c.Operator {
		case OpSegment:
			for _, key := range textsOf(c.Values) {
				r.Segments = append(r.Segments, SegmentReference{Segment: key, Times: 1})
			}
		case OpPrerequisite:
			r.Flags = append(r.Flags, FlagReference{Flag: c.Attribute, Variants: textsOf(c.Values), Times: 1})
		}
	}
}

// settle sorts, and joins what is named more than once.
func (r *References) settle() {
	slices.SortFunc(r.Segments, func(a, b SegmentReference) int { return cmp.Compare(a.Segment, b.Segment) })
	segments := r.Segments[:0]
	for _, s := range r.Segments {
		if n := len(segments); n > 0 && segments[n-1].Segment == s.Segment {
			segments[n-1].Times++
		} else {
			segments = append(segments, s)
		}
	}
	r.Segments = segments
	slices.SortStableFunc(r.Flags, func(a, b FlagReference) int { return cmp.Compare(a.Flag, b.Flag) })
	joined := r.Flags[:0]
	for _, f := range r.Flags {
		if n := len(joined); n > 0 && joined[n-1].Flag == f.Flag {
			joined[n-1].Variants = append(joined[n-1].Variants, f.Variants...)
			joined[n-1].Times++
		} else {
			joined = append(joined, f)
		}
	}
	for i := range joined {
		slices.Sort(joined[i].Variants)
		joined[i].Variants = slices.Compact(joined[i].Variants)
	}
	r.Flags = joined
}
