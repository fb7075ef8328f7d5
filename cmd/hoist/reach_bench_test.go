package main

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// arena is three real servers on loopback that do nothing else, with a stream client at each.
type arena struct {
	b         *testing.B
	ctx       context.Context
	n         *node
	children  []*child
	followers *followers
	times     []time.Duration // from the leader's time stamp to each client
}

func newArena(b *testing.B) *arena {
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
	x := &arena{b: b, n: children[0].node, children: children, followers: newFollowers(children)}
	_, err = x.n.flags.Put(b.Context(), &hoistv1.PutFlagRequest{Environment: ledgerEnvironment, Flag: &hoistv1.Flag{Key: "f", Type: "boolean", Enabled: true,
		Off: "off", Variants: []*hoistv1.Variant{{Key: "on", Value: structpb.NewBoolValue(true)}, {Key: "off", Value: structpb.NewBoolValue(false)}},
		Default: &hoistv1.Serve{Variant: "off"}}})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	x.ctx = ctx
	done := make(chan struct{})
	go func() { defer close(done); x.followers.run(ctx) }()
	b.Cleanup(func() { stop(); <-done })
	time.Sleep(time.Second)
	return x
}

// start begins a rollout on the flag and returns its id once everybody has heard of it.
func (x *arena) start() string {
	started, err := x.n.rollouts.Start(x.ctx, &hoistv1.StartRolloutRequest{Environment: ledgerEnvironment,
		Plan: "name: p\nflag: f\ntarget: {variant: \"on\"}\nsteps: [{setWeight: 50}, {hold: {}}]\nanalysis: none\n"})
	require.NoError(x.b, err)
	time.Sleep(60 * time.Millisecond)
	return started.GetRollout().GetId()
}

// measure takes the times of what change does.
func (x *arena) measure(change func() error) {
	x.followers.mu.Lock()
	x.followers.times = nil
	x.followers.mu.Unlock()
	require.NoError(x.b, change())
	time.Sleep(60 * time.Millisecond)
	x.followers.mu.Lock()
	defer x.followers.mu.Unlock()
	x.times = append(x.times, x.followers.times...)
}

func (x *arena) report() {
	q := quantilesOf(x.times)
	x.b.ReportMetric(q.P50, "p50-ms")
	x.b.ReportMetric(q.P99, "p99-ms")
	x.b.ReportMetric(float64(len(x.times)), "samples")
}

// BenchmarkAbortReachesEveryFollower measures how long an abort takes from the leader's time stamp to a stream client of
// each server.
func BenchmarkAbortReachesEveryFollower(b *testing.B) {
	x := newArena(b)
	for b.Loop() {
		id := x.start()
		x.measure(func() error {
			_, err := x.n.rollouts.Move(x.ctx, &hoistv1.MoveRolloutRequest{Environment: ledgerEnvironment, Id: id, Move: "abort"})
			return err
		})
	}
	x.report()
}

// BenchmarkKillReachesEveryFollower measures the same of the kill switch, which ends a rollout on the flag besides, in an
// environment that is frozen.
func BenchmarkKillReachesEveryFollower(b *testing.B) {
	x := newArena(b)
	write := func(send func() error) {
		require.NoError(b, send())
		time.Sleep(30 * time.Millisecond)
	}
	for b.Loop() {
		x.start()
		write(func() error {
			_, err := x.n.rollouts.Freeze(x.ctx, &hoistv1.FreezeRequest{Environment: ledgerEnvironment, Reason: "incident"})
			return err
		})
		x.measure(func() error {
			_, err := x.n.flags.Kill(x.ctx, &hoistv1.KillRequest{Environment: ledgerEnvironment, Key: "f", Reason: "errors"})
			return err
		})
		write(func() error {
			_, err := x.n.flags.Unkill(x.ctx, &hoistv1.UnkillRequest{Environment: ledgerEnvironment, Key: "f"})
			return err
		})
		write(func() error {
			_, err := x.n.rollouts.Unfreeze(x.ctx, &hoistv1.UnfreezeRequest{Environment: ledgerEnvironment})
			return err
		})
	}
	x.report()
}

// BenchmarkFreezeReachesEveryNode measures how long a freeze takes from the leader's time stamp until each server shows it
// to somebody who watches a rollout there.
func BenchmarkFreezeReachesEveryNode(b *testing.B) {
	x := newArena(b)
	id := x.start()
	for b.Loop() {
		var mu sync.Mutex
		var all sync.WaitGroup
		ready := make(chan struct{}, len(x.children))
		for _, c := range x.children {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(x.ctx, 5*time.Second)
				defer cancel()
				stream, err := c.node.rollouts.Watch(ctx, &hoistv1.WatchRolloutRequest{Environment: ledgerEnvironment, Id: id})
				if err != nil {
					return // too few samples say so
				}
				defer func() { _ = stream.Close() }() // it is read no more
				for stream.Receive() {
					f := stream.Msg().GetRollout().GetFreeze()
					if f == nil {
						ready <- struct{}{}
						continue
					}
					mu.Lock()
					x.times = append(x.times, max(0, time.Since(f.GetSince().AsTime())))
					mu.Unlock()
					return
				}
			})
		}
		for range x.children {
			<-ready
		}
		_, err := x.n.rollouts.Freeze(x.ctx, &hoistv1.FreezeRequest{Environment: ledgerEnvironment, Reason: "incident"})
		require.NoError(b, err)
		all.Wait()
		_, err = x.n.rollouts.Unfreeze(x.ctx, &hoistv1.UnfreezeRequest{Environment: ledgerEnvironment})
		require.NoError(b, err)
		time.Sleep(60 * time.Millisecond)
	}
	x.report()
}
