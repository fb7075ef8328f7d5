package evaluator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// quoted returns n JSON strings prefix0…, separated by commas.
func quoted(prefix string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%q", fmt.Sprintf("%s%d", prefix, i))
	}
	return strings.Join(list, ",")
}

// shape is one kind of flag with a context that walks its longest way.
type shape struct {
	name, flag string
	more       []string // other flags and segments
}

const halfSplit = `{"split":{"salt":"s","weights":[{"variant":"on","weight":50000},{"variant":"off","weight":50000}]}}`

func fiveRules() string {
	rules := make([]string, 5)
	for i := range rules {
		rules[i] = fmt.Sprintf(`{"id":"r%d","if":[{"attribute":"country","operator":"in","values":["c%d","d%d"]}],"then":{"variant":"on"}}`, i, i, i)
	}
	return `{"key":"f",` + onOff + `,"rules":[` + strings.Join(rules, ",") + `],"default":{"variant":"off"}}`
}

const plainContext = `{"targetingKey":"user-42","country":"c4","plan":"pro","age":31,"email":"Ann@Example.com","version":"2.1.0-rc.1","address":"10.1.2.3","when":"2026-05-01T12:00:00.5+02:00"}`

func coreShapes() []shape {
	return []shape{
		{name: "static boolean", flag: `{"key":"f",` + onOff + `,"default":{"variant":"on"}}`},
		{name: "disabled", flag: strings.Replace(`{"key":"f",`+onOff+`,"default":{"variant":"on"}}`, `"enabled":true,`, "", 1)},
		{name: "config", flag: `{"key":"f","kind":"config","type":"string","value":"180s"}`},
		{name: "object", flag: `{"key":"f","type":"object","enabled":true,"variants":[{"key":"a","value":{"x":[1,2]}}],"default":{"variant":"a"}}`},
		{name: "five rules, last matches", flag: fiveRules()},
		{name: "split half", flag: `{"key":"f",` + onOff + `,"default":` + halfSplit + `}`},
		{name: "list of 10000", flag: ruleFlag("f", `{"attribute":"targetingKey","operator":"in","values":[`+quoted("user-", 10_000)+`]}`)},
		{name: "segment of 10000", flag: ruleFlag("f", `{"operator":"segment","values":["s"]}`), more: []string{`{"key":"s","include":[` + quoted("user-", 10_000) + `]}`}},
		{name: "prerequisite", flag: `{"key":"f",` + onOff + `,"prerequisites":[{"flag":"p","variants":["on"]}],"default":{"variant":"on"}}`,
			more: []string{`{"key":"p",` + onOff + `,"default":{"variant":"on"}}`}},
	}
}

// benchSnapshot puts the shape among 1,000 other flags.
func benchSnapshot(t testing.TB, s shape) *evaluator.Snapshot {
	texts := append([]string{s.flag}, s.more...)
	for i := range 1000 {
		texts = append(texts, fmt.Sprintf(`{"key":"other-%d",%s,"default":{"variant":"on"}}`, i, onOff))
	}
	return snapshotOf(t, texts...)
}

// A benchmark that must not allocate fails when it does.
func mustNotAllocate(b *testing.B, run func()) {
	b.Helper()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		b.Fatalf("%v allocations per run", n)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, s := range coreShapes() {
		b.Run(strings.ReplaceAll(s.name, " ", "-"), func(b *testing.B) {
			snapshot, c := benchSnapshot(b, s), parseContext(b, plainContext)
			mustNotAllocate(b, func() { snapshot.Evaluate("f", c) })
			b.ReportAllocs()
			for b.Loop() {
				snapshot.Evaluate("f", c)
			}
		})
	}
}

func BenchmarkParseContext(b *testing.B) {
	data := []byte(plainContext)
	var c evaluator.Context
	mustNotAllocate(b, func() { require.NoError(b, evaluator.ParseContext(data, &c)) })
	b.ReportAllocs()
	for b.Loop() {
		if err := evaluator.ParseContext(data, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000, 100_000} {
		keys := make([]string, n)
		edit := new(evaluator.Index[*int]).Edit()
		for i := range keys {
			keys[i] = fmt.Sprintf("service.feature-%d", i)
			edit.Put(keys[i], new(int), uint64(i))
		}
		x := edit.Done()
		b.Run(fmt.Sprintf("get-%d", n), func(b *testing.B) {
			i := 0
			mustNotAllocate(b, func() { x.Get(keys[0]) })
			for b.Loop() {
				if _, ok := x.Get(keys[i]); !ok {
					b.Fatal("lost")
				}
				if i += 7919; i >= n {
					i %= n
				}
			}
		})
		b.Run(fmt.Sprintf("with-%d", n), func(b *testing.B) {
			i := 0
			v := new(int)
			for b.Loop() {
				x.With(keys[i], v, 1)
				if i += 7919; i >= n {
					i %= n
				}
			}
		})
	}
}

// manyFlags returns a snapshot of n simple flags.
func manyFlags(t testing.TB, n int) *evaluator.Snapshot {
	changes := evaluator.Changes{Revision: 1}
	for i := range n {
		changes.Flags = append(changes.Flags, compileFlag(t, fmt.Sprintf(`{"key":"service.feature-%d",%s,"default":{"variant":"on"}}`, i, onOff)))
	}
	return evaluator.EmptySnapshot("epoch").With(changes)
}

func BenchmarkChangeOneOf100000(b *testing.B) {
	s := manyFlags(b, 100_000)
	s.Flags()
	text := []byte(fmt.Sprintf(`{"key":"service.feature-77",%s,"default":{"variant":"off"}}`, onOff))
	b.Run("decode-compile-with", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f, err := evaluator.DecodeFlag(text)
			require.NoError(b, err)
			c, err := evaluator.Compile(f)
			require.NoError(b, err)
			s.With(evaluator.Changes{Revision: 2, Flags: []*evaluator.Compiled{c}})
		}
	})
	c := compileFlag(b, string(text))
	b.Run("sorted-flags-after-it", func(b *testing.B) {
		for b.Loop() {
			s.With(evaluator.Changes{Revision: 2, Flags: []*evaluator.Compiled{c}}).Flags()
		}
	})
	next := s.With(evaluator.Changes{Revision: 2, Flags: []*evaluator.Compiled{c}})
	b.Run("since", func(b *testing.B) {
		for b.Loop() {
			next.Since(1)
		}
	})
}

func BenchmarkDecodeCompile(b *testing.B) {
	text := []byte(fmt.Sprintf(`{"key":"service.feature-77",%s,"default":{"variant":"off"}}`, onOff))
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := evaluator.DecodeFlag(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	f, err := evaluator.DecodeFlag(text)
	require.NoError(b, err)
	b.Run("compile", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := evaluator.Compile(f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.Canonical()
		}
	})
}

func BenchmarkBucket(b *testing.B) {
	for b.Loop() {
		evaluator.Bucket("checkout/default", "a1b2c3d4-0000-4000-8000-000000000000")
	}
}
