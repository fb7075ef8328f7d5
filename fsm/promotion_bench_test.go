package fsm_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// pair is a node with 10,000 flags in dev and the same in staging, of which one in each differs: every is 1, all do. One
// flag in ten has a split with places of its own in each environment.
func pair(b testing.TB, every int) *node {
	const size = 10_000
	n := fleet(b, 0)
	fillPart := func(scope fsm.Scope, owner func(i int) string) {
		for at := 0; at < size; at += 500 {
			c := fsm.Batch{Scope: scope}
			for i := at; i < at+500; i++ {
				definition := boolean(fmt.Sprintf("service.feature-%06d", i), fmt.Sprintf(`,"owner":%q`, owner(i)))
				if i%10 == 0 {
					definition = fmt.Sprintf(`{"key":"service.feature-%06d","type":"boolean","owner":%q,"enabled":true,"off":"off","variants":[{"key":"on","value":true},{"key":"off","value":false}],
						"default":{"split":{"weights":[{"variant":"on","weight":30000},{"variant":"off","weight":70000}]}}}`, i, owner(i))
				}
				c.Commands = append(c.Commands, fsm.PutFlag{Scope: scope, Flag: decodeFlag(b, definition)})
			}
			n.do(c)
		}
	}
	fillPart(staging, func(int) string { return "payments" })
	fillPart(dev, func(i int) string {
		if i%every == 0 {
			return "checkout"
		}
		return "payments"
	})
	n.log = nil
	return n
}

// BenchmarkCompare is the difference of two environments with 10,000 flags each; 100 ms are allowed.
func BenchmarkCompare(b *testing.B) {
	for _, every := range []int{10, 1} {
		n := pair(b, every)
		b.Run(fmt.Sprintf("one-in-%d-differs", every), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				require.Len(b, fsm.Compare(n.at(dev), n.at(staging)).Entries, 10_000/every)
			}
		})
	}
}

// BenchmarkPromotion is one entry that promotes 10,000 flags, of which all differ, and the entry that rolls them back. It
// reports the cost per object, and the p99 of evaluations in another environment while nothing happens and meanwhile.
func BenchmarkPromotion(b *testing.B) {
	for range b.N {
		n := pair(b, 1)
		id := n.opened("ann", staging, promote(dev, staging, fsm.PromotionFull))
		took := func(name string, move fsm.ChangeMove, who string) {
			p := n.by(user(who), moved(staging, id, move))
			begin := time.Now()
			require.NoError(b, n.apply(p).Err)
			b.ReportMetric(float64(time.Since(begin).Milliseconds()), "ms/"+name)
		}
		took("validate", fsm.ChangeMoveValidate, "ann")
		n.as("bob", moved(staging, id, fsm.ChangeMoveApprove))
		idle := p99(n, func() { time.Sleep(100 * time.Millisecond) })
		busy := p99(n, func() { took("execute", fsm.ChangeMoveApply, "ann") })
		b.ReportMetric(float64(idle.Nanoseconds()), "ns/p99-idle")
		b.ReportMetric(float64(busy.Nanoseconds()), "ns/p99-meanwhile")
		require.Empty(b, fsm.Compare(n.at(dev), n.at(staging)).Entries)
		took("rollback", fsm.ChangeMoveRollback, "ann")
	}
}

// p99 evaluates in dev while something happens.
func p99(n *node, meanwhile func()) time.Duration {
	live, _ := n.store.Live(dev.Tenant, dev.Environment)
	stop, out := make(chan struct{}), make(chan []time.Duration)
	go func() {
		var times []time.Duration
		for {
			select {
			case <-stop:
				out <- times
				return
			default:
			}
			begin := time.Now()
			live.Snapshot().Evaluate("service.feature-000007", &evaluator.Context{TargetingKey: "user-1"})
			times = append(times, time.Since(begin))
		}
	}()
	meanwhile()
	close(stop)
	times := <-out
	slices.Sort(times)
	return times[len(times)*99/100]
}
