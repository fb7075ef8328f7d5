package evaluator_test

import (
	"runtime"
	"testing"

	"github.com/hoistflags/hoist/evaluator"
)

// BenchmarkMemory reports the resident bytes of one flag or segment member; its time means nothing.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.Run("simple-flag", func(b *testing.B) {
		before := heap()
		s := manyFlags(b, 100_000)
		size := heap() - before
		for b.Loop() {
			runtime.KeepAlive(s)
		}
		b.ReportMetric(float64(size)/100_000, "B/flag")
	})
	b.Run("segment-member", func(b *testing.B) {
		text := []byte(`{"key":"s","include":[` + quoted("user-0000-0000-", 100_000) + `]}`)
		before := heap()
		c := compiledSegment(b, text)
		size := heap() - before
		for b.Loop() {
			runtime.KeepAlive(c)
		}
		b.ReportMetric(float64(size)/100_000, "B/member")
		b.ReportMetric(float64(len(text))/100_000, "B/member-of-json")
	})
}

// compiledSegment compiles text and keeps nothing else of it.
func compiledSegment(b *testing.B, text []byte) *evaluator.CompiledSegment {
	b.Helper()
	decoded, err := evaluator.DecodeSegment(text)
	if err != nil {
		b.Fatal(err)
	}
	c, err := evaluator.CompileSegment(decoded)
	if err != nil {
		b.Fatal(err)
	}
	return c
}
