package evaluator_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
)

const (
	space = uint64(1) << 32
	units = 100_000
)

// grid is the first hash of unit k, written from the definition.
func grid(k int) uint64 { return (uint64(k)*space + units - 1) / units }

func weights(pairs ...any) []evaluator.Weight {
	var list []evaluator.Weight
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, evaluator.Weight{Variant: pairs[i].(string), Weight: 1000 * pairs[i+1].(int)})
	}
	return list
}

// thousands writes ranges in thousands of units, as the tables of the design do.
func thousands(ranges []evaluator.Range) string {
	text := ""
	for _, r := range ranges {
		text += fmt.Sprintf("%s [%d,%d)", r.Variant, evaluator.Unit(uint32(r.From))/1000, int(r.To*units>>32)/1000)
		if r.Down {
			text += " down"
		}
		text += "; "
	}
	return text
}

// S2-13: the table of layouts.
func TestReallocateMovesTheFewestUnits(t *testing.T) {
	abc := evaluator.Reallocate(nil, weights("a", 20, "b", 30, "c", 50))
	require.Equal(t, "a [0,20); b [20,50); c [50,100) down; ", thousands(abc))
	require.Equal(t, "off [0,100) down; ", thousands(evaluator.Reallocate(nil, weights("on", 0, "off", 100))))

	onOff := evaluator.Reallocate(nil, weights("on", 10, "off", 90))
	require.Equal(t, "on [0,10); off [10,100) down; ", thousands(onOff))
	require.EqualValues(t, 429496730, onOff[0].To, "10 percent ends where the design says")
	at50 := evaluator.Reallocate(onOff, weights("on", 50, "off", 50))
	require.Equal(t, "on [0,50); off [50,100) down; ", thousands(at50))
	require.Equal(t, "on [0,30); off [30,100) down; ", thousands(evaluator.Reallocate(at50, weights("on", 30, "off", 70))))

	a40 := evaluator.Reallocate(abc, weights("a", 40, "b", 30, "c", 30))
	require.Equal(t, "a [0,20); b [20,50); c [70,100) down; a [50,70); ", thousands(a40))
	require.Equal(t, "a [0,20); b [20,30); c [70,100) down; a [50,70); c [30,50) down; ",
		thousands(evaluator.Reallocate(a40, weights("a", 40, "b", 10, "c", 50))))
	require.Equal(t, "a [0,20); b [20,40); c [60,100) down; d [40,60); ",
		thousands(evaluator.Reallocate(abc, weights("a", 20, "b", 20, "d", 20, "c", 40))))
	require.Equal(t, "a [0,10); b [20,40); c [40,100) down; c [10,20) down; ",
		thousands(evaluator.Reallocate(abc, weights("a", 10, "b", 20, "c", 70))), "the last-listed takes the highest units first")
	require.Equal(t, abc, evaluator.Reallocate(abc, weights("c", 50, "a", 20, "b", 30)), "another order moves nothing")
}

func drawWeights(t *rapid.T, label string, variants []string) []evaluator.Weight {
	cuts := []int{0, units}
	for range len(variants) - 1 {
		cuts = append(cuts, rapid.OneOf(rapid.IntRange(0, units), rapid.SampledFrom([]int{0, units, units / 2})).Draw(t, label))
	}
	slices.Sort(cuts)
	list := make([]evaluator.Weight, len(variants))
	for i, v := range variants {
		list[i] = evaluator.Weight{Variant: v, Weight: cuts[i+1] - cuts[i]}
	}
	return list
}

// owners tells for every grid unit which variant (by its first letter) owns it, after checking that ranges cover the
// space exactly and on the grid.
func owners(t require.TestingT, ranges []evaluator.Range) string {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b evaluator.Range) int { return cmp.Compare(a.From, b.From) })
	owner := make([]byte, 0, units)
	end := uint64(0)
	for _, r := range sorted {
		require.Equal(t, end, r.From, "no gap, no overlap")
		require.Less(t, r.From, r.To)
		end = r.To
		from, to := int(r.From*units>>32), int(r.To*units>>32)
		require.Equal(t, grid(from), r.From, "on the grid")
		require.Equal(t, grid(to), r.To, "on the grid")
		owner = append(owner, bytes.Repeat([]byte(r.Variant[:1]), to-from)...)
	}
	require.Equal(t, space, end)
	return string(owner)
}

func weightOf(list []evaluator.Weight, variant string) int {
	for _, w := range list {
		if w.Variant == variant {
			return w.Weight
		}
	}
	return 0
}

// S2-13, S3-02: properties 1 to 4 and 7 over chains of changes with variants that come, go and change places.
func TestReallocateKeepsItsPropertiesOverAnyHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranges []evaluator.Range
		var before string
		var old []evaluator.Weight
		for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
			variants := rapid.Permutation([]string{"a", "b", "c", "d", "e"}).Draw(t, "order")[:rapid.IntRange(1, 5).Draw(t, "variants")]
			next := drawWeights(t, "cut", variants)
			given := slices.Clone(ranges)
			got := evaluator.Reallocate(ranges, next)
			require.Equal(t, given, ranges, "the old ranges are not changed")
			after := owners(t, got)
			for _, w := range next {
				require.Equal(t, w.Weight, strings.Count(after, w.Variant), "sizes are the weights")
			}
			if step > 0 {
				moves := make(map[[2]byte]int)
				for k := range after {
					if before[k] != after[k] {
						moves[[2]byte{before[k], after[k]}]++
					}
				}
				moved, falls := 0, 0
				for m, n := range moves {
					moved += n
					loser, gainer := string(m[:1]), string(m[1:])
					require.Less(t, weightOf(next, loser), weightOf(old, loser), "who does not fall loses nobody")
					require.Greater(t, weightOf(next, gainer), weightOf(old, gainer), "who falls gains nobody")
				}
				for _, w := range old {
					falls += max(0, w.Weight-weightOf(next, w.Variant))
				}
				require.Equal(t, falls, moved, "the arithmetic minimum")
			}
			shuffled := rapid.Permutation(next).Draw(t, "shuffled")
			require.True(t, after == owners(t, evaluator.Reallocate(got, shuffled)), "another order of the list moves nobody")
			ranges, before, old = got, after, next
		}
	})
}

// S2-13: property 5.
func TestTwoVariantsDependOnTheWeightsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		variants := []string{"new", "old"}
		var ranges []evaluator.Range
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			ranges = evaluator.Reallocate(ranges, drawWeights(t, "cut", variants))
		}
		last := drawWeights(t, "last", variants)
		require.True(t, owners(t, evaluator.Reallocate(nil, last)) == owners(t, evaluator.Reallocate(ranges, last)))
	})
}

// S2-13: property 6, last in first out.
func TestRaisingAndLoweringRestoresTheSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		variants := []string{"a", "b", "c"}
		var ranges []evaluator.Range
		var list []evaluator.Weight
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			list = drawWeights(t, "cut", variants)
			ranges = evaluator.Reallocate(ranges, list)
		}
		riser := rapid.IntRange(0, 2).Draw(t, "riser")
		payer := (riser + rapid.IntRange(1, 2).Draw(t, "payer")) % 3
		n := rapid.IntRange(0, list[payer].Weight).Draw(t, "n")
		raised := slices.Clone(list)
		raised[riser].Weight += n
		raised[payer].Weight -= n
		before := owners(t, ranges)
		after := owners(t, evaluator.Reallocate(evaluator.Reallocate(ranges, raised), list))
		for k := range before {
			if (before[k] == variants[riser][0]) != (after[k] == variants[riser][0]) {
				t.Fatalf("unit %d changed hands", k)
			}
		}
	})
}

func TestRenamingMovesNobody(t *testing.T) {
	ranges := evaluator.Reallocate(nil, weights("a", 20, "b", 30, "c", 50))
	ranges = evaluator.Reallocate(ranges, weights("a", 40, "b", 10, "c", 50))
	renamed := slices.Clone(ranges)
	for i := range renamed {
		renamed[i].Variant = "x" + renamed[i].Variant
	}
	require.Equal(t, renamed, evaluator.Reallocate(renamed, weights("xa", 40, "xb", 10, "xc", 50)))
}

func TestImportedRangesMayEndAnywhere(t *testing.T) {
	imported := []evaluator.Range{{Variant: "a", From: 0, To: 1234567890}, {Variant: "b", From: 1234567890, To: space}}
	share := int(1234567890 * units >> 32)
	same := []evaluator.Weight{{Variant: "a", Weight: share}, {Variant: "b", Weight: units - share}}
	require.Equal(t, imported, evaluator.Reallocate(imported, same), "less than a unit off is not a change")
	more := evaluator.Reallocate(imported, []evaluator.Weight{{Variant: "a", Weight: share + 10}, {Variant: "b", Weight: units - share - 10}})
	end := uint64(0)
	for _, r := range slices.SortedFunc(slices.Values(more), func(a, b evaluator.Range) int { return cmp.Compare(a.From, b.From) }) {
		require.Equal(t, end, r.From)
		end = r.To
	}
	require.Equal(t, space, end)
	require.Equal(t, imported[0], more[0], "a keeps all it had")
	require.Equal(t, "a", more[len(more)-1].Variant, "b gives back from its upper end")
}

func TestManyPiecesAreJoinedWithoutMovingAnybody(t *testing.T) {
	var pieces []evaluator.Range
	for k := range 2000 { // a and b in turn, two neighbouring pieces each
		from, to := grid(k*50), grid((k+1)*50)
		pieces = append(pieces, evaluator.Range{Variant: []string{"a", "a", "b", "b"}[k%4], From: from, To: to})
	}
	list := weights("a", 50, "b", 50)
	joined := evaluator.Reallocate(pieces, list)
	require.Len(t, joined, 1000)
	require.True(t, owners(t, pieces) == owners(t, joined))
}

// S2-13, S3-02: property 8. The bound is five sigma of the binomial distribution.
// S0-03: the shares that are read back are the shares of keys
func TestSharesOfKeysAreTheWeights(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	for _, on := range []int{0, 1, 500, 10_000, 33_333, 50_000, 99_999, 100_000} {
		list := []evaluator.Weight{{Variant: "on", Weight: on}, {Variant: "off", Weight: units - on}}
		ranges := evaluator.Reallocate(nil, list)
		hit := 0
		for i := range n {
			hash := uint64(evaluator.Bucket("checkout/default", fmt.Sprintf("user-%d", i)))
			for _, r := range ranges {
				if r.Variant == "on" && r.From <= hash && hash < r.To {
					hit++
				}
			}
		}
		p := float64(on) / units
		require.InDelta(t, p*float64(n), float64(hit), 5*math.Sqrt(float64(n)*p*(1-p)), "%d of %d", on, units)
		if on == 0 || on == units {
			require.Equal(t, on/units*n, hit)
		}
	}
}

// S2-13: what was seen once for the frozen salt stays so, and two salts are independent.
func TestKnownShares(t *testing.T) {
	place := func(salt string, i int) int { return evaluator.Unit(evaluator.Bucket(salt, fmt.Sprintf("user-%d", i))) }
	tenth, both := 0, 0
	for i := range 100_000 {
		if place("checkout/default", i) < 10_000 {
			tenth++
		}
		if place("checkout/default", i) < 50_000 && place("checkout/beta", i) < 50_000 {
			both++
		}
	}
	require.Equal(t, 9_962, tenth)
	require.Equal(t, 25_034, both)
}
