package fsm_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// applied is a batch of flags with two rules each, as people apply them.
func applied(flags int) fsm.Batch {
	yes, no := evaluator.Bool(true), evaluator.Bool(false)
	in := func(attribute string, values ...string) []evaluator.Clause {
		c := evaluator.Clause{Attribute: attribute, Operator: evaluator.OpIn}
		for _, v := range values {
			c.Values = append(c.Values, evaluator.String(v))
		}
		return []evaluator.Clause{c}
	}
	batch := fsm.Batch{Scope: dev}
	for i := range flags {
		batch.Commands = append(batch.Commands, fsm.PutFlag{Scope: dev, Flag: &evaluator.Flag{
			Key: fmt.Sprintf("service-%d.feature-%04d", i%40, i), Type: evaluator.TypeBoolean, Enabled: true,
			Variants: []evaluator.Variant{{Key: "on", Value: &yes}, {Key: "off", Value: &no}}, Off: "off", Default: &evaluator.Serve{Variant: "off"},
			Rules: []evaluator.Rule{
				{ID: "plan", If: in("plan", "pro", "team", "enterprise"), Then: evaluator.Serve{Variant: "on"}},
				{ID: "country", If: in("country", "DE", "FR", "ES", "IT"), Then: evaluator.Serve{Variant: "on"}}}}})
	}
	return batch
}

// BenchmarkApplyMany is what applying 2,002 flags at once costs a node, per flag: what the door does, what the leader asks
// before it proposes, and what every node does with the entries.
func BenchmarkApplyMany(b *testing.B) {
	const size = 2002
	batch := applied(size)
	perFlag := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/flag")
	}
	b.Run("split", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			parts, err := fsm.Split(batch, "bulk")
			require.NoError(b, err)
			for _, p := range parts {
				_, err := fsm.EncodeCommand(p)
				require.NoError(b, err)
			}
		}
		perFlag(b)
	})
	parts, err := fsm.Split(batch, "bulk")
	require.NoError(b, err)
	n := newNode(b)
	proposals := make([]*fsm.Proposal, len(parts))
	entries := make([]fsm.Entry, len(parts))
	for i, c := range parts {
		proposals[i] = n.proposal(c)
		proposals[i].At = n.now
		entries[i] = fsm.Entry{Index: n.store.State().Index() + 1 + uint64(i), Term: 1, Data: proposals[i].Encode()}
	}
	saved := n.save()
	b.Run("admit", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			for _, p := range proposals {
				require.NoError(b, n.store.State().Admit(p))
			}
		}
		perFlag(b)
	})
	b.Run("apply", func(b *testing.B) {
		b.ReportAllocs()
		var slowest, commit time.Duration
		for range b.N {
			b.StopTimer()
			store := fsm.NewStore()
			require.NoError(b, store.Load(bytes.NewReader(saved)))
			b.StartTimer()
			for i := range entries {
				begin := time.Now()
				if out := store.Apply(entries[i : i+1]); out[0].Err != nil {
					b.Fatal(out[0].Err)
				}
				if took := time.Since(begin); i == len(entries)-1 {
					commit += took
				} else {
					slowest = max(slowest, took)
				}
			}
		}
		perFlag(b)
		b.ReportMetric(float64(commit.Microseconds())/float64(b.N*size), "µs/flag-commit")
		b.ReportMetric(float64(slowest.Microseconds()), "µs/slowest-stage")
		b.ReportMetric(float64(len(entries)), "entries")
	})
}
