package evaluator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
)

func TestIndexBehavesLikeAMap(t *testing.T) {
	type cell struct {
		value    int
		revision uint64
	}
	rapid.Check(t, func(t *rapid.T) {
		model := map[string]cell{}
		x := &evaluator.Index[int]{}
		edit := x.Edit()
		filled := rapid.SampledFrom([]int{0, 10, 300, 3000, 12_000}).Draw(t, "filled")
		for i := range filled { // the newest first, so that pages split after they got their highest revision
			key := fmt.Sprintf("key-%d", i)
			model[key] = cell{i, uint64(filled - i)}
			edit.Put(key, i, uint64(filled-i))
		}
		x = edit.Done()
		frozen, frozenModel := x, maps.Clone(model)
		revision := uint64(len(model) + 1)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			key := fmt.Sprintf("key-%d", rapid.IntRange(0, filled+400).Draw(t, "key"))
			revision++
			if rapid.Bool().Draw(t, "put") {
				x = x.With(key, int(revision), revision)
				model[key] = cell{int(revision), revision}
			} else {
				x = x.Without(key)
				delete(model, key)
			}
		}
		same := func(x *evaluator.Index[int], model map[string]cell, since uint64) {
			seen := map[string]cell{}
			walk := func(key string, value int, revision uint64) bool {
				if _, twice := seen[key]; twice {
					t.Fatalf("%q came twice", key)
				}
				seen[key] = cell{value, revision}
				return true
			}
			want := maps.Clone(model)
			if since == 0 {
				x.All(walk)
				require.Equal(t, len(model), x.Len())
			} else {
				x.Since(since, walk)
				maps.DeleteFunc(want, func(_ string, c cell) bool { return c.revision <= since })
			}
			require.Equal(t, want, seen)
		}
		same(x, model, 0)
		same(x, model, rapid.Uint64Range(1, revision).Draw(t, "since"))
		same(frozen, frozenModel, 0)
		same(frozen, frozenModel, uint64(filled/2))
		for key, c := range model {
			v, ok := x.Get(key)
			if !ok || v != c.value {
				t.Fatalf("%q: %d instead of %d", key, v, c.value)
			}
		}
		_, ok := x.Get("absent")
		require.False(t, ok)
	})
}

func TestIndexWalkStopsWhenAsked(t *testing.T) {
	x := (&evaluator.Index[int]{}).With("a", 1, 1).With("b", 2, 2)
	n := 0
	x.All(func(string, int, uint64) bool { n++; return false })
	require.Equal(t, 1, n)
}

// world is the plain model of an environment against which snapshots are checked.
type world struct {
	flags    map[string]string // key to record
	segments map[string]string
}

func (w world) clone() world { return world{maps.Clone(w.flags), maps.Clone(w.segments)} }

func worldOf(s *evaluator.Snapshot) world {
	w := world{map[string]string{}, map[string]string{}}
	for _, f := range s.Flags() {
		w.flags[f.Key()] = string(f.Record())
	}
	for _, g := range s.Segments() {
		w.segments[g.Key()] = string(g.Record())
	}
	return w
}

func (w world) apply(d evaluator.Difference) world {
	next := w.clone()
	for _, f := range d.Flags {
		next.flags[f.Key()] = string(f.Record())
	}
	for _, g := range d.Segments {
		next.segments[g.Key()] = string(g.Record())
	}
	for _, key := range d.RemovedFlags {
		delete(next.flags, key)
	}
	for _, key := range d.RemovedSegments {
		delete(next.segments, key)
	}
	return next
}

func drawChanges(t *rapid.T, revision uint64) evaluator.Changes {
	c := evaluator.Changes{Revision: revision, At: int64(revision) * 1000}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 7), 0, 4, rapid.ID).Draw(t, "touched") {
		key := fmt.Sprintf("k%d", i)
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			c.RemovedFlags = append(c.RemovedFlags, key)
		case 1:
			c.RemovedSegments = append(c.RemovedSegments, key)
		case 2:
			c.Segments = append(c.Segments, compileSegment(&testing.T{}, fmt.Sprintf(`{"key":%q,"include":["u%d"]}`, key, rapid.IntRange(0, 2).Draw(t, "member"))))
		default:
			text := fmt.Sprintf(`{"key":%q,%s,"clientVisible":%v,"prerequisites":[%s],"default":{"variant":%q}}`, key, onOff, rapid.Bool().Draw(t, "visible"),
				rapid.SampledFrom([]string{``, `{"flag":"k7","variants":["on"]}`, `{"flag":"k6","variants":["on"]}`}).Draw(t, "needs"),
				rapid.SampledFrom([]string{"on", "off"}).Draw(t, "variant"))
			if strings.Contains(text, `"flag":"`+key+`"`) {
				continue
			}
			c.Flags = append(c.Flags, compileFlag(&testing.T{}, text))
		}
	}
	return c
}

// Any difference between any two snapshots of a history turns the one into the other, also after a restore, and the
// sorted flags are those of the model however they were computed.
func TestSinceIsTheExactDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := []*evaluator.Snapshot{evaluator.EmptySnapshot("e")}
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "look") {
				history[i].Flags()
			}
			next := history[i].With(drawChanges(t, uint64(10+i)))
			if rapid.IntRange(0, 5).Draw(t, "restore") == 0 {
				next = evaluator.RestoreSnapshot(next.Parts())
			}
			history = append(history, next)
		}
		last := history[len(history)-1]
		for _, s := range history {
			d, ok := last.Since(s.Revision())
			require.True(t, ok)
			require.Equal(t, worldOf(last), worldOf(s).apply(d))
			require.True(t, slices.IsSortedFunc(d.Flags, func(a, b *evaluator.Compiled) int { return strings.Compare(a.Key(), b.Key()) }))
			require.True(t, slices.IsSorted(d.RemovedFlags))
		}
		flags := last.Flags()
		require.True(t, slices.IsSortedFunc(flags, func(a, b *evaluator.Compiled) int { return strings.Compare(a.Key(), b.Key()) }))
		require.Len(t, flags, last.Len())
		for _, f := range flags {
			found, _, _ := last.Flag(f.Key())
			require.Same(t, found, f)
		}
		again := evaluator.RestoreSnapshot(last.Parts())
		require.Equal(t, last.Parts(), again.Parts())
	})
}

func TestTwoStepsOfOneRevisionAreBothInOrder(t *testing.T) {
	flag := func(key string) []*evaluator.Compiled {
		return []*evaluator.Compiled{compileFlag(t, fmt.Sprintf(`{"key":%q,%s,"default":{"variant":"on"}}`, key, onOff))}
	}
	s := evaluator.EmptySnapshot("e").With(evaluator.Changes{Revision: 3, Flags: flag("b")})
	require.Len(t, s.Flags(), 1)
	s = s.With(evaluator.Changes{Revision: 3, Flags: flag("a")})
	require.Len(t, s.Flags(), 2)
	require.Equal(t, "a", s.Flags()[0].Key())
}

func TestSinceOfTheFutureIsEmpty(t *testing.T) {
	s := snapshotOf(t, `{"key":"f",`+onOff+`,"default":{"variant":"on"}}`)
	d, ok := s.Since(900)
	require.True(t, ok)
	require.True(t, d.Empty())
	require.EqualValues(t, 900, d.To)
}

func TestWhatIsServedAlreadyIsNoChange(t *testing.T) {
	const text = `{"key":"f",` + onOff + `,"default":{"variant":"on"}}`
	s := snapshotOf(t, text)
	prose := compileFlag(t, strings.Replace(text, `"key":"f"`, `"key":"f","description":"other words"`, 1))
	require.Same(t, s, s.With(evaluator.Changes{Revision: 8, Flags: []*evaluator.Compiled{prose}, RemovedFlags: []string{"nobody"}}))
}

// Tombstones below the floor are forgotten: who was away longer takes a snapshot.
func TestOldTombstonesAreForgotten(t *testing.T) {
	const hour = 3_600_000
	var keys []string
	changes := evaluator.Changes{Revision: 1}
	for i := range 10_600 {
		key := fmt.Sprintf("f%d", i)
		keys = append(keys, key)
		changes.Flags = append(changes.Flags, compileFlag(t, fmt.Sprintf(`{"key":%q,%s,"default":{"variant":"on"}}`, key, onOff)))
	}
	s := evaluator.EmptySnapshot("e").With(changes)
	for i, key := range keys[:10_500] { // one per second
		s = s.With(evaluator.Changes{Revision: uint64(2 + i), At: int64(i), RemovedFlags: []string{key}})
	}
	_, ok := s.Since(1)
	require.True(t, ok, "more than ten thousand, but none older than an hour")
	s = s.With(evaluator.Changes{Revision: 20_000, At: 2 * hour, RemovedFlags: keys[10_500:10_501]})
	_, ok = s.Since(1)
	require.False(t, ok, "old and beyond ten thousand")
	d, ok := s.Since(600)
	require.True(t, ok)
	require.Len(t, d.RemovedFlags, 10_500-599+1)
	require.Greater(t, s.Parts().Floor, uint64(1))
	_, ok = evaluator.RestoreSnapshot(s.Parts()).Since(1)
	require.False(t, ok, "the floor survives a restore")
}

func put(s *evaluator.Snapshot, t *testing.T, texts ...string) *evaluator.Snapshot {
	changes := evaluator.Changes{Revision: s.Revision() + 1}
	for _, text := range texts {
		changes.Flags = append(changes.Flags, compileFlag(t, text))
	}
	return s.With(changes)
}

func TestScopeRevisions(t *testing.T) {
	flag := func(key, more, variant string) string {
		return fmt.Sprintf(`{"key":%q,%s%s,"default":{"variant":%q}}`, key, onOff, more, variant)
	}
	const visible, archived = `,"clientVisible":true`, `,"archived":true`
	needs := func(key string) string { return fmt.Sprintf(`,"prerequisites":[{"flag":%q,"variants":["on"]}]`, key) }
	s := put(evaluator.EmptySnapshot("e"), t, flag("base", "", "on"), flag("middle", needs("base"), "on"), flag("alone", "", "on"),
		flag("shown", visible+needs("middle"), "on"), flag("old", archived, "on"))
	check := func(what string, next *evaluator.Snapshot, all, client bool) {
		t.Helper()
		require.Equal(t, all, next.ScopeRevision(false) == next.Revision(), "%s: all", what)
		require.Equal(t, client, next.ScopeRevision(true) == next.Revision(), "%s: client", what)
		again := evaluator.RestoreSnapshot(next.Parts())
		require.Equal(t, next.ScopeRevision(false), again.ScopeRevision(false))
		require.Equal(t, next.ScopeRevision(true), again.ScopeRevision(true))
	}
	check("a hidden flag alone", put(s, t, flag("alone", "", "off")), true, false)
	check("a hidden flag under a hidden one under a visible one", put(s, t, flag("base", "", "off")), true, true)
	check("a visible flag", put(s, t, flag("shown", visible, "off")), true, true)
	check("a visible flag becomes hidden", put(s, t, flag("shown", needs("middle"), "on")), true, true)
	check("an archived flag", put(s, t, flag("old", archived, "off")), false, false)
	check("an archived flag is removed", s.With(evaluator.Changes{Revision: 9, RemovedFlags: []string{"old"}}), false, false)
	check("a flag is removed", s.With(evaluator.Changes{Revision: 9, RemovedFlags: []string{"alone"}}), true, false)
	check("any segment", s.With(evaluator.Changes{Revision: 9, Segments: []*evaluator.CompiledSegment{compileSegment(t, `{"key":"g"}`)}}), true, true)
	released := put(s, t, flag("shown", visible, "on"))
	check("no longer referred to", put(released, t, flag("base", "", "off")), true, false)
	restored := evaluator.RestoreSnapshot(s.Parts())
	check("references survive a restore", put(restored, t, flag("base", "", "off")), true, true)
}

func TestClosureRevision(t *testing.T) {
	s := put(evaluator.EmptySnapshot("e"), t,
		`{"key":"base",`+onOff+`,"default":{"variant":"on"}}`,
		`{"key":"top",`+onOff+`,"prerequisites":[{"flag":"base","variants":["on"]}],"default":{"variant":"on"}}`,
		ruleFlag("member", `{"operator":"segment","values":["g"]}`),
		ruleFlag("alone", `{"attribute":"a","operator":"exists"}`))
	s = s.With(evaluator.Changes{Revision: 5, Segments: []*evaluator.CompiledSegment{
		compileSegment(t, `{"key":"g","rules":[{"if":[{"attribute":"base","operator":"prerequisite","values":["on"]}]}]}`)}})
	s = s.With(evaluator.Changes{Revision: 7, Flags: []*evaluator.Compiled{compileFlag(t, `{"key":"base",`+onOff+`,"default":{"variant":"off"}}`)}})
	for key, revision := range map[string]uint64{"base": 7, "top": 7, "member": 7, "alone": 1, "unknown": 7} {
		require.Equal(t, revision, s.ClosureRevision(key), key)
	}
	s = s.With(evaluator.Changes{Revision: 9, Segments: []*evaluator.CompiledSegment{compileSegment(t, `{"key":"h"}`)}})
	require.EqualValues(t, 9, s.ClosureRevision("member"), "any segment counts for who uses segments")
	require.EqualValues(t, 7, s.ClosureRevision("top"))
}

// S0-10: readers of a snapshot see one consistent state whatever is published meanwhile. Run with -race.
func TestSnapshotsAreImmutableUnderWriters(t *testing.T) {
	flag := func(variant string, n int) string {
		return fmt.Sprintf(`{"key":"f%d",%s,"default":{"variant":%q}}`, n, onOff, variant)
	}
	start := evaluator.EmptySnapshot("e")
	for i := range 300 {
		start = put(start, t, flag("on", i))
	}
	live := evaluator.NewLive(start)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			c := evaluator.NewContext("u")
			for {
				s := live.Snapshot()
				first := s.Evaluate("f0", c)
				for i := range 300 {
					r := s.Evaluate(fmt.Sprintf("f%d", i), c)
					if r.Variant != first.Variant || r.Revision != s.Revision() {
						t.Errorf("torn snapshot at %d: %+v", s.Revision(), r)
						return
					}
				}
				if len(s.Flags()) != 300 {
					t.Error("flags lost")
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for step := range 40 {
		changes := evaluator.Changes{Revision: live.Snapshot().Revision() + 1}
		for i := range 300 {
			changes.Flags = append(changes.Flags, compileFlag(t, flag([]string{"off", "on"}[step%2], i)))
		}
		live.Publish(live.Snapshot().With(changes))
	}
	close(done)
	readers.Wait()
}
