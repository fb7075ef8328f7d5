package stream_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/stream"
)

// source is one environment of a node.
type source struct {
	live *evaluator.Live
}

func newSource() *source {
	return &source{evaluator.NewLive(evaluator.EmptySnapshot("epoch"))}
}

func (s *source) hub() *stream.Hub {
	return stream.NewHub(stream.Config{
		Live: func(_, environment string) (*evaluator.Live, bool) { return s.live, environment == "dev" },
		Applied: func(string, string) uint64 {
			return s.live.Snapshot().Revision()
		},
		Await:   func(ctx context.Context, _, _ string, _ uint64) error { <-ctx.Done(); return ctx.Err() },
		Age:     func(string, string) time.Duration { return 0 },
		Observe: silent{},
	})
}

type silent struct{}

func (silent) Published(time.Duration) {}
func (silent) Sent(uint64)             {}

// put publishes the next revision, in which one flag changes.
func (s *source) put(t *testing.T, key, text string) uint64 {
	t.Helper()
	f, err := evaluator.DecodeFlag([]byte(`{"key":"` + key + `","type":"string","enabled":true,"variants":[{"key":"a","value":"` + text + `"}],"default":{"variant":"a"}}`))
	require.NoError(t, err)
	compiled, err := evaluator.Compile(f)
	require.NoError(t, err)
	now := s.live.Snapshot()
	s.live.Publish(now.With(evaluator.Changes{Revision: now.Revision() + 1, At: time.Now().UnixMilli(), Flags: []*evaluator.Compiled{compiled}}))
	return now.Revision() + 1
}

func open(t *testing.T, h *stream.Hub, at stream.Position) *stream.Cursor {
	t.Helper()
	c, err := h.Follow(t.Context(), stream.Request{Environment: "dev", At: at})
	require.NoError(t, err)
	return c
}

func next(t *testing.T, c *stream.Cursor) *stream.Frame {
	t.Helper()
	f, err := c.Next(t.Context())
	require.NoError(t, err)
	return f
}

func message(t *testing.T, f *stream.Frame) *hoistv1.FollowResponse {
	t.Helper()
	binary, _ := stream.Codecs()
	data, err := binary.Marshal(f)
	require.NoError(t, err)
	m := new(hoistv1.FollowResponse)
	require.NoError(t, proto.Unmarshal(data, m))
	return m
}

func TestFollowersShareTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := s.hub()
		defer h.Close()
		at := stream.Position{Epoch: "epoch", Revision: s.put(t, "a", "x")}
		first, second := open(t, h, at), open(t, h, at)
		defer first.Close()
		defer second.Close()
		require.NotNil(t, message(t, next(t, first)).GetProgress())
		require.NotNil(t, message(t, next(t, second)).GetProgress())
		s.put(t, "b", "y")
		require.Same(t, next(t, first), next(t, second), "encoded once")
	})
}

func TestSlowFollowerGetsOneCoalescedDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := s.hub()
		defer h.Close()
		for i := range 10 {
			s.put(t, fmt.Sprint("flag-", i), "x")
		}
		at := stream.Position{Epoch: "epoch", Revision: s.live.Snapshot().Revision()}
		slow := open(t, h, at)
		defer slow.Close()
		next(t, slow)
		for i := range 1000 { // far beyond the window
			s.put(t, "flag-1", fmt.Sprint(i))
			synctest.Wait()
		}
		own, frames := at.Revision, 0
		for own < s.live.Snapshot().Revision() {
			d := message(t, next(t, slow)).GetDifference()
			require.LessOrEqual(t, d.GetFrom(), own)
			own, frames = d.GetTo(), frames+1
		}
		require.LessOrEqual(t, frames, 3)
	})
}

func TestSnapshotIsSharedAndRebuiltAtMostEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := s.hub()
		defer h.Close()
		for i := range 10 {
			s.put(t, fmt.Sprint("flag-", i), "x")
		}
		keeper := open(t, h, stream.Position{})
		defer keeper.Close()
		blob := next(t, keeper)
		newest := s.put(t, "flag-1", "y")
		second := open(t, h, stream.Position{})
		defer second.Close()
		require.Same(t, blob, next(t, second))
		d := message(t, next(t, second)).GetDifference()
		require.Equal(t, newest, d.GetTo())
		time.Sleep(11 * time.Second)
		third := open(t, h, stream.Position{})
		defer third.Close()
		require.Equal(t, newest, message(t, next(t, third)).GetSnapshot().GetRevision())
	})
}

func TestRemovalsDoNotLeadInCircles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := s.hub()
		defer h.Close()
		for i := range 10 {
			s.put(t, fmt.Sprint("flag-", i), "x")
		}
		keeper := open(t, h, stream.Position{})
		defer keeper.Close()
		next(t, keeper)
		now := s.live.Snapshot()
		gone := evaluator.Changes{Revision: now.Revision() + 1, At: time.Now().UnixMilli()}
		for i := range 10 {
			gone.RemovedFlags = append(gone.RemovedFlags, fmt.Sprint("flag-", i))
		}
		s.live.Publish(now.With(gone))
		c := open(t, h, stream.Position{})
		defer c.Close()
		require.NotNil(t, message(t, next(t, c)).GetSnapshot())
		require.Len(t, message(t, next(t, c)).GetDifference().GetRemovals(), 10)
		require.NotNil(t, message(t, next(t, c)).GetProgress())
	})
}

func TestRestoreEndsEveryCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := s.hub()
		defer h.Close()
		at := stream.Position{Epoch: "epoch", Revision: s.put(t, "a", "x")}
		c := open(t, h, at)
		defer c.Close()
		next(t, c)
		s.live.Publish(evaluator.EmptySnapshot("another"))
		_, err := c.Next(t.Context())
		require.ErrorIs(t, err, stream.ErrRestored)
	})
}

func TestFeedsLiveAsLongAsTheirFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := s.hub()
		a, b := open(t, h, stream.Position{}), open(t, h, stream.Position{})
		require.Equal(t, 1, h.Feeds())
		a.Close()
		a.Close()
		require.Equal(t, 1, h.Feeds())
		b.Close()
		require.Zero(t, h.Feeds())
		_, err := h.Follow(t.Context(), stream.Request{Environment: "nowhere"})
		require.ErrorIs(t, err, stream.ErrUnknown)
		c := open(t, h, stream.Position{})
		h.Drain()
		for err == nil || err != io.EOF { //nolint:errorlint // Next returns it bare
			_, err = c.Next(t.Context())
		}
		c.Close()
		h.Close()
		_, err = h.Follow(t.Context(), stream.Request{Environment: "dev"})
		require.ErrorIs(t, err, stream.ErrClosed)
	})
}
