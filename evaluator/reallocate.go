package evaluator

import (
	"cmp"
	"slices"
)

// maxPieces is the number of ranges above which neighbouring pieces of one variant are joined.
const maxPieces = 1024

// Reallocate gives weights their ranges with the least movement. What a variant loses it gives back from its newest
// piece, from the end that was filled last; what it gains it takes from the freed units, the lowest first (the
// last-listed variant: the highest first). So a variant that does not fall loses nobody, one that falls gains
// nobody, and raising a weight and lowering it again restores the same keys. Without old ranges everything is free.
//
// The weights must be non-negative, sum to 100000 and name each variant once. The ranges returned cover the space of
// 2^32 exactly and stand in the order in which the pieces were received. old is not changed.
func Reallocate(old []Range, weights []Weight) []Range {
	a := allocation{owned: make(map[string]uint64), want: make(map[string]uint64, len(weights))}
	for _, w := range weights {
		a.want[w.Variant] = uint64(w.Weight) * gridUnit
	}
	for _, r := range old {
		p := piece{variant: r.Variant, span: span{gridPosition(r.From), gridPosition(r.To)}, down: r.Down}
		a.owned[p.variant] += p.size()
		a.pieces = append(a.pieces, p)
	}
	if len(old) == 0 {
		a.free = []span{{0, gridUnits * gridUnit}}
	}
	a.giveBack()
	a.mergeFree()
	a.handOut(weights)
	if len(a.pieces) > maxPieces {
		a.join()
	}
	ranges := make([]Range, len(a.pieces))
	for i, p := range a.pieces {
		ranges[i] = Range{Variant: p.variant, From: gridHash(p.from), To: gridHash(p.to), Down: p.down}
	}
	return ranges
}

// Units of the grid are 42949 or 42950 hashes wide, so sums of sizes in hashes do not tell weights apart. Positions on
// the grid do: unit k begins at k·2^32 there, and a hash x between two units (only imports have such ends) is at
// x·100000. gridHash is the way back.
const gridUnit = hashSpace

func gridPosition(hash uint64) uint64 {
	k := hash * gridUnits >> 32
	if gridStart(int(k)) == hash {
		return k * gridUnit
	}
	return hash * gridUnits
}

func gridHash(position uint64) uint64 { return (position + gridUnits - 1) / gridUnits }

// span is [from, to) on the grid.
type span struct{ from, to uint64 }

func (s span) size() uint64 { return s.to - s.from }

type piece struct {
	span
	variant string
	down    bool
}

// allocation is a layout while it is being changed.
type allocation struct {
	pieces []piece // in the order of receipt
	free   []span
	owned  map[string]uint64
	want   map[string]uint64 // variants that are not listed want nothing
}

// surplus is what a variant has to give back. Imported sizes may be less than a unit away from the weight; that
// alone moves nobody.
func (a *allocation) surplus(variant string) uint64 {
	owned, want := a.owned[variant], a.want[variant]
	if want == 0 {
		return owned
	}
	if owned < want+gridUnit {
		return 0
	}
	return owned - want
}

// giveBack frees what falling variants lose, newest piece first.
func (a *allocation) giveBack() {
	surplus := make(map[string]uint64, len(a.owned))
	for variant := range a.owned {
		surplus[variant] = a.surplus(variant)
	}
	for i := len(a.pieces) - 1; i >= 0; i-- {
		p := &a.pieces[i]
		n := min(surplus[p.variant], p.size())
		if n == 0 {
			continue
		}
		freed := span{p.to - n, p.to}
		if p.down {
			freed = span{p.from, p.from + n}
			p.from = freed.to
		} else {
			p.to = freed.from
		}
		surplus[p.variant] -= n
		a.owned[p.variant] -= n
		a.free = append(a.free, freed)
	}
	a.pieces = slices.DeleteFunc(a.pieces, func(p piece) bool { return p.size() == 0 })
}

// mergeFree joins neighbouring free spans in the order of their position.
func (a *allocation) mergeFree() {
	slices.SortFunc(a.free, func(x, y span) int { return cmp.Compare(x.from, y.from) })
	merged := a.free[:0]
	for _, s := range a.free {
		if n := len(merged); n > 0 && merged[n-1].to == s.from {
			merged[n-1].to = s.to
		} else {
			merged = append(merged, s)
		}
	}
	a.free = merged
}

// handOut gives the free spans to the variants that rise, in list order. Whatever imported sizes leave over goes to
// the last of them.
func (a *allocation) handOut(weights []Weight) {
	last := -1
	for i, w := range weights {
		if a.owned[w.Variant] < a.want[w.Variant] {
			last = i
		}
	}
	for i, w := range weights {
		owned, want := a.owned[w.Variant], a.want[w.Variant]
		switch {
		case i == last:
			a.take(w.Variant, gridUnits*gridUnit, i == len(weights)-1)
		case owned+gridUnit <= want:
			a.take(w.Variant, want-owned, i == len(weights)-1)
		}
	}
}

// take moves up to n from the free spans to variant: the lowest, or downwards from the highest.
func (a *allocation) take(variant string, n uint64, down bool) {
	for n > 0 && len(a.free) > 0 {
		at := 0
		if down {
			at = len(a.free) - 1
		}
		s := &a.free[at]
		got := span{s.from, s.from + min(n, s.size())}
		if down {
			got = span{s.to - min(n, s.size()), s.to}
			s.to = got.from
		} else {
			s.from = got.to
		}
		if s.size() == 0 {
			a.free = slices.Delete(a.free, at, at+1)
		}
		n -= got.size()
		a.receive(variant, got, down)
	}
}

// receive adds a span to variant, as part of its newest piece when that one continues in the same direction.
func (a *allocation) receive(variant string, got span, down bool) {
	for i := len(a.pieces) - 1; i >= 0; i-- {
		p := &a.pieces[i]
		if p.variant != variant {
			continue
		}
		if down && p.down && p.from == got.to {
			p.from = got.from
			return
		}
		if !down && !p.down && p.to == got.from {
			p.to = got.to
			return
		}
		break
	}
	a.pieces = append(a.pieces, piece{span: got, variant: variant, down: down})
}

// join merges neighbouring pieces of one variant; each joined piece stands where its newest part stood. No key
// changes its variant, only the memory of who came first is lost.
func (a *allocation) join() {
	order := make([]int, len(a.pieces)) // places of receipt in the order of position
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(a.pieces[x].from, a.pieces[y].from) })
	kept := order[0]
	gone := make(map[int]bool)
	for _, next := range order[1:] {
		if a.pieces[kept].variant != a.pieces[next].variant {
			kept = next
			continue
		}
		whole := span{a.pieces[kept].from, a.pieces[next].to}
		older := min(kept, next)
		kept = max(kept, next)
		a.pieces[kept].span = whole
		gone[older] = true
	}
	pieces := make([]piece, 0, len(a.pieces)-len(gone))
	for i, p := range a.pieces {
		if !gone[i] {
			pieces = append(pieces, p)
		}
	}
	a.pieces = pieces
}
