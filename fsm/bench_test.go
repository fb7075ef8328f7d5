package fsm_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// fleet is a node with that many simple flags in one environment.
func fleet(b testing.TB, flags int) *node {
	n := newNode(b)
	for at := 0; at < flags; at += 500 {
		commands := make([]fsm.Command, 0, 500)
		for i := at; i < min(at+500, flags); i++ {
			commands = append(commands, put(b, boolean(fmt.Sprintf("service.feature-%06d", i), `,"owner":"payments"`)))
		}
		c := fsm.Batch{Scope: dev, Commands: commands}
		n.do(c)
	}
	n.log = nil
	return n
}

func BenchmarkApplyOneFlag(b *testing.B) {
	for _, size := range []int{100, 10_000, 100_000} {
		n := fleet(b, size)
		live, _ := n.store.Live("default", "dev")
		for name, command := range map[string]func(i int) fsm.Command{
			"enable": func(i int) fsm.Command {
				return fsm.SetEnabled{Scope: dev, Key: fmt.Sprintf("service.feature-%06d", i%size), Enabled: i/size%2 == 1}
			},
			"put": func(i int) fsm.Command {
				return put(b, boolean(fmt.Sprintf("service.feature-%06d", i%size), fmt.Sprintf(`,"metadata":{"n":%d}`, i)))
			},
		} {
			b.Run(fmt.Sprintf("%s/flags=%d", name, size), func(b *testing.B) {
				entries := make([]fsm.Entry, b.N)
				base := n.store.State().Index()
				for i := range entries {
					p := n.proposal(command(i))
					p.At = n.now
					entries[i] = fsm.Entry{Index: base + 1 + uint64(i), Term: 1, Data: p.Encode()}
				}
				before := live.Snapshot()
				b.ReportAllocs()
				b.ResetTimer()
				for i := range entries {
					out := n.store.Apply(entries[i : i+1])
					if out[0].Err != nil {
						b.Fatal(out[0].Err)
					}
				}
				b.StopTimer()
				require.NotSame(b, before, live.Snapshot())
			})
		}
	}
}

// BenchmarkApplyBatch is one of 32 small writes that arrive together, each to a flag of its own, per write.
func BenchmarkApplyBatch(b *testing.B) {
	const together, flags = 32, 64
	n := fleet(b, flags)
	entries := make([]fsm.Entry, b.N)
	base := n.store.State().Index()
	for i := range entries {
		p := n.proposal(fsm.SetEnabled{Scope: dev, Key: fmt.Sprintf("service.feature-%06d", i%flags), Enabled: i/flags%2 == 1})
		p.At = n.now
		entries[i] = fsm.Entry{Index: base + 1 + uint64(i), Term: 1, Data: p.Encode()}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < len(entries); i += together {
		for _, out := range n.store.Apply(entries[i:min(i+together, len(entries))]) {
			require.NoError(b, out.Err)
		}
	}
}

// The capture of a snapshot is reading one pointer.
func BenchmarkCaptureSnapshot(b *testing.B) {
	n := fleet(b, 100_000)
	b.ResetTimer()
	for range b.N {
		runtime.KeepAlive(n.store.State())
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, size := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("flags=%d", size), func(b *testing.B) {
			saved := fleet(b, size).save()
			b.ReportAllocs()
			b.ResetTimer()
			b.ReportMetric(float64(len(saved))/float64(size), "bytes/flag-saved")
			for range b.N {
				require.NoError(b, fsm.NewStore().Load(bytes.NewReader(saved)))
			}
		})
	}
}

func BenchmarkSave(b *testing.B) {
	n := fleet(b, 100_000)
	b.ResetTimer()
	for range b.N {
		require.NoError(b, n.store.State().Save(io.Discard))
	}
}

// BenchmarkResident reports how much memory one simple flag keeps after a load of 100,000.
func BenchmarkResident(b *testing.B) {
	const size = 100_000
	saved := fleet(b, size).save()
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		store := fsm.NewStore()
		require.NoError(b, store.Load(bytes.NewReader(saved)))
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/size, "bytes/flag")
		runtime.KeepAlive(store)
	}
}

// BenchmarkCommit reports the cost per object of a bulk commit, the staging before it not counted.
func BenchmarkCommit(b *testing.B) {
	const size = 10_000
	commands := make([]fsm.Command, 0, size)
	for i := range size {
		commands = append(commands, put(b, boolean(fmt.Sprintf("service.feature-%06d", i), `,"owner":"payments"`)))
	}
	parts, err := fsm.Split(fsm.Batch{Scope: dev, Commands: commands}, "bulk")
	require.NoError(b, err)
	for range b.N {
		n := newNode(b)
		var slowest time.Duration
		for i, c := range parts {
			p := n.proposal(c)
			begin := time.Now()
			require.NoError(b, n.apply(p).Err)
			took := time.Since(begin)
			if i == len(parts)-1 {
				b.ReportMetric(float64(took.Microseconds())/size, "µs/object")
			} else {
				slowest = max(slowest, took)
			}
		}
		b.ReportMetric(float64(slowest.Milliseconds()), "ms/slowest-stage")
	}
}

func BenchmarkLargeSegment(b *testing.B) {
	members := make([]string, 100_000)
	for i := range members {
		members[i] = fmt.Sprintf("user-%d", i)
	}
	parts, err := fsm.Split(fsm.PutSegment{Scope: dev, Segment: &evaluator.Segment{Key: "beta", Include: members}}, "bulk")
	require.NoError(b, err)
	for range b.N {
		n := newNode(b)
		var slowest time.Duration
		for _, c := range parts {
			p := n.proposal(c)
			begin := time.Now()
			require.NoError(b, n.apply(p).Err)
			slowest = max(slowest, time.Since(begin))
		}
		b.ReportMetric(float64(slowest.Milliseconds()), "ms/slowest-entry")
	}
}

// BenchmarkRequestRows is a small write while the request table is full.
func BenchmarkRequestRows(b *testing.B) {
	n := fleet(b, 100)
	n.log = nil
	for i := 0; i < 262_200; i++ {
		p := n.proposal(fsm.SetEnabled{Scope: dev, Key: "service.feature-000001", Enabled: i%2 == 0})
		p.At = n.now
		n.store.Apply([]fsm.Entry{{Index: n.store.State().Index() + 1, Term: 1, Data: p.Encode()}})
	}
	entries := make([]fsm.Entry, b.N)
	for i := range entries {
		p := n.proposal(fsm.SetEnabled{Scope: dev, Key: "service.feature-000001", Enabled: i%2 == 0})
		entries[i] = fsm.Entry{Index: n.store.State().Index() + 1 + uint64(i), Term: 1, Data: p.Encode()}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range entries {
		n.store.Apply(entries[i : i+1])
	}
}
