package evaluator

import (
	"cmp"
	"slices"
)

// serve checks what a rule or the default serves.
func (c *checker) serve(at place, s *Serve) {
	switch {
	case s.Variant == "" && s.Split == nil:
		c.add(at, "serve.missing", "name a variant or give a split")
	case s.Variant != "" && s.Split != nil:
		c.add(at, "serve.both", "give either a variant or a split, not both")
	case s.Variant != "":
		c.variant(at.at("variant"), s.Variant)
	}
	if s.Split != nil {
		c.split(at.at("split"), s.Split)
	}
}

func (c *checker) split(at place, s *Split) {
	if s.By != "" {
		c.attribute(at.at("by"), s.By)
	}
	if s.Missing != "" {
		c.variant(at.at("missing"), s.Missing)
	}
	switch s.Hash {
	case "", HashMurmur3, HashRoxMD5:
	default:
		c.add(at.at("hash"), "split.hash", "hash %q is unknown; use %s or %s", s.Hash, HashMurmur3, HashRoxMD5)
	}
	c.prose(at.at("salt"), s.Salt, "")
	if c.weights(at.at("weights"), s.Weights) {
		c.ranges(at.at("ranges"), s)
	}
}

// weights reports whether they are sound, so that ranges can be compared with them.
func (c *checker) weights(at place, weights []Weight) bool {
	before := len(c.problems)
	seen := make(map[string]bool, len(weights))
	sum := 0
	for i, w := range weights {
		one := at.nth(i)
		c.variant(one.at("variant"), w.Variant)
		if seen[w.Variant] {
			c.add(one.at("variant"), "weights.duplicate", "variant %q has two weights; add them", w.Variant)
		}
		seen[w.Variant] = true
		if w.Weight < 0 || w.Weight > gridUnits {
			c.add(one.at("weight"), "weights.range", "a weight is 0 to %d (thousandths of a percent)", gridUnits)
			continue
		}
		sum += w.Weight
	}
	if len(c.problems) == before && sum != gridUnits {
		c.add(at, "weights.sum", "the weights sum to %d; they must sum to %d (thousandths of a percent)", sum, gridUnits)
	}
	return len(c.problems) == before
}

// ranges checks given ranges: an exact cover of the hash space whose sizes are the weights within one unit.
func (c *checker) ranges(at place, s *Split) {
	if len(s.Ranges) == 0 {
		return
	}
	want := make(map[string]uint64, len(s.Weights))
	for _, w := range s.Weights {
		want[w.Variant] = uint64(w.Weight) * gridUnit
	}
	owned := make(map[string]uint64, len(s.Weights))
	for i, r := range s.Ranges {
		one := at.nth(i)
		if _, listed := want[r.Variant]; !listed {
			c.add(one.at("variant"), "ranges.variant", "variant %q has a range but no weight", r.Variant)
			return
		}
		if r.From >= r.To || r.To > hashSpace {
			c.add(one, "ranges.order", "a range is [from, to) within [0, %d)", uint64(hashSpace))
			return
		}
		owned[r.Variant] += gridPosition(r.To) - gridPosition(r.From)
	}
	sorted := slices.SortedFunc(slices.Values(s.Ranges), func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	end := uint64(0)
	for _, r := range sorted {
		if r.From != end {
			c.add(at, "ranges.cover", "the ranges must cover [0, %d) without gap or overlap; look at %d", uint64(hashSpace), min(r.From, end))
			return
		}
		end = r.To
	}
	if end != hashSpace {
		c.add(at, "ranges.cover", "the ranges end at %d instead of %d", end, uint64(hashSpace))
		return
	}
	for _, w := range s.Weights {
		if size := owned[w.Variant]; size > want[w.Variant]+gridUnit || size+gridUnit < want[w.Variant] {
			c.add(at, "ranges.size", "the ranges of %q hold %d units, its weight is %d", w.Variant, size/gridUnit, w.Weight)
		}
	}
}
