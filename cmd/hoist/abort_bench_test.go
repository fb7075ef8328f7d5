package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// BenchmarkAbortReachesEveryFollower measures how long an abort takes from the leader's time stamp to a stream client of
// each of three real servers on loopback that do nothing else.
func BenchmarkAbortReachesEveryFollower(b *testing.B) {
	b.Setenv("BE_HOIST", "1")
	children, err := newChildren(b.TempDir(), demoNodes)
	require.NoError(b, err)
	a, r := &app{stdout: io.Discard, stderr: io.Discard, timeout: 20 * time.Second}, &rehearsal{children: children}
	b.Cleanup(func() {
		for _, c := range children {
			require.NoError(b, c.stop())
		}
	})
	require.NoError(b, a.raiseCluster(b.Context(), r))
	n := children[0].node
	_, err = n.flags.Put(b.Context(), &hoistv1.PutFlagRequest{Environment: ledgerEnvironment, Flag: &hoistv1.Flag{Key: "f", Type: "boolean", Enabled: true,
		Off: "off", Variants: []*hoistv1.Variant{{Key: "on", Value: structpb.NewBoolValue(true)}, {Key: "off", Value: structpb.NewBoolValue(false)}},
		Default: &hoistv1.Serve{Variant: "off"}}})
	require.NoError(b, err)
	followers := newFollowers(children)
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); followers.run(ctx) }()
	time.Sleep(time.Second)
	var times []time.Duration
	for b.Loop() {
		started, err := n.rollouts.Start(ctx, &hoistv1.StartRolloutRequest{Environment: ledgerEnvironment,
			Plan: "name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 50}, {hold: {}}]\nanalysis: none\n"})
		require.NoError(b, err)
		time.Sleep(60 * time.Millisecond)
		followers.mu.Lock()
		followers.times = nil
		followers.mu.Unlock()
		_, err = n.rollouts.Move(ctx, &hoistv1.MoveRolloutRequest{Environment: ledgerEnvironment, Id: started.GetRollout().GetId(), Move: "abort"})
		require.NoError(b, err)
		time.Sleep(60 * time.Millisecond)
		followers.mu.Lock()
		times = append(times, followers.times...)
		followers.mu.Unlock()
	}
	stop()
	<-done
	q := quantilesOf(times)
	b.ReportMetric(q.P50, "p50-ms")
	b.ReportMetric(q.P99, "p99-ms")
	b.ReportMetric(float64(len(times)), "samples")
}
