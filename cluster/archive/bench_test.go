package archive_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
)

// million fills an archive with a million rows over 10,000 flags.
func million(b *testing.B) *archive.Archive {
	b.Helper()
	a := open(b, b.TempDir())
	hash := ""
	for done := 0; done < 1_000_000; {
		batch := make([]fsm.Written, 10_000)
		for i := range batch {
			n := done + i
			record := fmt.Appendf(nil, `{"key":"flag-%d","type":"boolean","enabled":true,"n":%d}`, n%10_000, n)
			batch[i] = fsm.Written{Record: record, Audit: fsm.Audit{Seq: uint64(n), Index: uint64(n), At: int64(n) * 1000,
				Actor: fsm.Actor{Kind: fsm.ActorUser, ID: fmt.Sprintf("user-%d", n%50), Token: "abcdefghijkl"}, RequestID: fmt.Sprintf("018f-%d", n),
				Correlation: fmt.Sprintf("018e-%d", n/3), Tenant: "default", Environment: "production", Verb: "flag.put",
				Target: fmt.Sprintf("flag/flag-%d", n%10_000), After: fsm.RecordHash(record)}}
		}
		batch = fsm.ChainAuditAfter(uint64(done), hash, batch)
		require.NoError(b, a.Append(batch))
		done, hash = done+len(batch), batch[len(batch)-1].Hash
	}
	return a
}

func BenchmarkFirstPageOfAMillionRows(b *testing.B) {
	a := million(b)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	heap := float64(m.HeapAlloc) / (1 << 20)
	for name, want := range map[string]fsm.AuditFilter{
		"flag":        {Tenant: "default", Target: "flag/flag-77"},
		"unknownFlag": {Tenant: "default", Target: "flag/none"},
		"user":        {Tenant: "default", User: "user-7"},
		"pattern":     {Tenant: "default", KeyPattern: "*-777*"},
		"undertaking": {Tenant: "default", Correlation: "018e-1"},
		"newest":      {Tenant: "default"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := a.Find(want, 0, 100)
				require.NoError(b, err)
			}
			b.ReportMetric(heap, "heap-MiB")
		})
	}
}
