package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// simple is a boolean flag as JSON that serves variant.
func simple(key, variant string) string {
	return `{"key":"` + key + `","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"` + variant + `"}}`
}

// frames reads a follow stream one frame at a time.
type frames struct {
	t      *testing.T
	stream *connect.ServerStreamForClient[hoistv1.FollowResponse]
	stop   context.CancelFunc
}

func follow(t *testing.T, web *http.Client, url string, r *hoistv1.FollowRequest, options ...connect.ClientOption) *frames {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := hoistv1connect.NewSyncServiceClient(web, url, options...).Follow(ctx, r)
	require.NoError(t, err)
	return &frames{t, stream, cancel}
}

func (f *frames) next() *hoistv1.FollowResponse {
	f.t.Helper()
	require.True(f.t, f.stream.Receive(), f.stream.Err())
	return f.stream.Msg()
}

func (f *frames) close() {
	f.stop()
	f.stream.Close() // cancelled
}

func TestFollowOverEveryProtocol(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{
		"connect": nil, "connect json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			n := golden(t)
			web, server := serve(t, n)
			carrier := &http.Transport{Protocols: new(http.Protocols)}
			carrier.Protocols.SetUnencryptedHTTP2(true)
			t.Cleanup(carrier.CloseIdleConnections)
			f := follow(t, &http.Client{Transport: carrier}, web.URL, &hoistv1.FollowRequest{}, options...)
			defer f.close()
			part := f.next().GetSnapshot()
			require.True(t, part.GetLast())
			require.EqualValues(t, 42, part.GetRevision())
			require.EqualValues(t, 42, part.GetScopeRevision())
			require.Len(t, part.GetRecords(), 6)
			mark := f.next().GetProgress()
			require.EqualValues(t, 42, mark.GetRevision())

			receipt := n.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false})
			d := f.next().GetDifference()
			require.EqualValues(t, 42, d.GetFrom())
			require.Equal(t, receipt.Revision, d.GetTo())
			require.Equal(t, "theme", d.GetUpserts()[0].GetKey())
			require.Equal(t, receipt.Revision, d.GetUpserts()[0].GetRevision())
			n.write(t, fsm.DeleteFlag{Scope: dev, Key: "legacy"})
			require.Equal(t, "legacy", f.next().GetDifference().GetRemovals()[0].GetKey())
			require.Equal(t, 1, server.Feeds())
		})
	}
}

func TestFollowResumesAtAnyPosition(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n)
	start := n.store.State().Index()
	a := n.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false})
	b := n.write(t, fsm.SetEnabled{Scope: dev, Key: "banner", Enabled: false})
	open := func(r *hoistv1.FollowRequest) *frames {
		f := follow(t, http.DefaultClient, web.URL, r)
		t.Cleanup(f.close)
		return f
	}
	t.Run("a difference from the position", func(t *testing.T) {
		d := open(&hoistv1.FollowRequest{Epoch: testEpoch, Revision: a.Revision}).next().GetDifference()
		require.Equal(t, a.Revision, d.GetFrom())
		require.Equal(t, b.Revision, d.GetTo())
		require.Len(t, d.GetUpserts(), 1)
		require.Len(t, open(&hoistv1.FollowRequest{Epoch: testEpoch, Revision: start}).next().GetDifference().GetUpserts(), 2)
	})
	t.Run("nothing but a mark when nothing changed", func(t *testing.T) {
		require.NotNil(t, open(&hoistv1.FollowRequest{Epoch: testEpoch, Revision: b.Revision}).next().GetProgress())
	})
	t.Run("another epoch gets a snapshot", func(t *testing.T) {
		require.NotNil(t, open(&hoistv1.FollowRequest{Epoch: "other", Revision: 99999}).next().GetSnapshot())
	})
	t.Run("an environment that does not exist", func(t *testing.T) {
		f := open(&hoistv1.FollowRequest{Environment: "nowhere"})
		require.False(t, f.stream.Receive())
		requireError(t, f.stream.Err(), connect.CodeNotFound, "NOT_FOUND")
	})
}

func TestFollowWaitsForANodeThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		web, _, stop := bubble(t, n)
		defer stop()
		began := time.Now()
		f := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 43})
		require.False(t, f.stream.Receive())
		requireError(t, f.stream.Err(), connect.CodeUnavailable, "NODE_BEHIND")
		require.Equal(t, 2*time.Second, time.Since(began))
		f.close()

		time.AfterFunc(time.Second, func() { n.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false}) })
		f = follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 43})
		defer f.close()
		require.EqualValues(t, 43, f.next().GetProgress().GetRevision())
	})
}

func TestFollowMarksProgressEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		n.age = 70 * time.Millisecond
		web, _, stop := bubble(t, n)
		defer stop()
		f := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 42})
		defer f.close()
		require.EqualValues(t, 42, f.next().GetProgress().GetRevision())
		n.write(t, fsm.PutFlag{Scope: fsm.Scope{Tenant: "default", Environment: "staging"}, Flag: n.flag(t, "banner")})
		began := time.Now()
		for i := range 3 {
			mark := f.next().GetProgress()
			require.EqualValues(t, 43, mark.GetRevision(), "a change elsewhere moves the mark")
			require.EqualValues(t, 70, mark.GetAgeMs())
			require.Equal(t, time.Duration(i+1)*5*time.Second, time.Since(began))
		}
	})
}

func TestFollowSaysGoAway(t *testing.T) {
	t.Run("at shutdown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web, server, stop := bubble(t, golden(t))
			f := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 42})
			f.next()
			require.Equal(t, 1, server.Feeds())
			stopped := make(chan struct{})
			go func() { stop(); close(stopped) }()
			require.EqualValues(t, 3000, f.next().GetGoAway().GetRetryWithinMs())
			require.False(t, f.stream.Receive())
			require.NoError(t, f.stream.Err())
			f.close()
			<-stopped
			require.Zero(t, server.Feeds())
		})
	})
	t.Run("at its age, 30 min give or take a fifth", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web, server, stop := bubble(t, golden(t))
			defer stop()
			began := time.Now()
			f := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 42})
			defer f.close()
			for m := f.next(); m.GetGoAway() == nil; m = f.next() {
			}
			require.InDelta(t, 30, time.Since(began).Minutes(), 6.1)
			require.False(t, f.stream.Receive())
			synctest.Wait()
			require.Zero(t, server.Feeds(), "the last follower stops the feed")
		})
	})
}

// A follower that does not read is cut after 10 s, costs others nothing, and continues from where it was.
func TestFollowCutsASlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		web, _, stop := bubble(t, n)
		defer stop()
		slow := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 42})
		defer slow.close()
		slow.next()
		quick := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: 42})
		defer quick.close()
		quick.next()
		// Large enough that the frames fill what buffers there are between the two ends of a pipe.
		for i := range 40 {
			flag := n.flag(t, "theme")
			flag.Metadata = map[string]evaluator.Value{"x": evaluator.String(strings.Repeat("x", 1000+i))}
			receipt := n.write(t, fsm.PutFlag{Scope: dev, Flag: flag})
			require.Equal(t, receipt.Revision, quick.next().GetDifference().GetTo(), "others are not delayed")
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		own := uint64(42)
		for slow.stream.Receive() {
			if d := slow.stream.Msg().GetDifference(); d != nil {
				require.LessOrEqual(t, d.GetFrom(), own)
				own = d.GetTo()
			}
		}
		require.Error(t, slow.stream.Err())
		require.Less(t, own, n.store.State().Index())
		again := follow(t, web, "http://node", &hoistv1.FollowRequest{Epoch: testEpoch, Revision: own})
		defer again.close()
		d := again.next().GetDifference()
		require.Equal(t, own, d.GetFrom())
		require.Equal(t, n.store.State().Index(), d.GetTo())
		require.Len(t, d.GetUpserts(), 1, "one coalesced difference")
	})
}

func TestFollowSendsLongSegmentsInParts(t *testing.T) {
	n := newNode(t)
	members := make([]string, 150_000)
	for i := range members {
		members[i] = fmt.Sprintf("user-%012d", i)
	}
	parts, err := fsm.Split(fsm.PutSegment{Scope: dev, Segment: &evaluator.Segment{Key: "many", Include: members}}, "big")
	require.NoError(t, err)
	for _, p := range parts {
		n.write(t, p)
	}
	web, _ := serve(t, n)
	f := follow(t, http.DefaultClient, web.URL, &hoistv1.FollowRequest{})
	defer f.close()
	var bodies, pieces int
	for {
		m := f.next().GetSnapshot()
		for _, r := range m.GetRecords() {
			require.Equal(t, "many", r.GetKey())
			require.LessOrEqual(t, len(r.GetBody()), 1<<20)
			bodies += len(r.GetBody())
			pieces++
		}
		if m.GetLast() {
			break
		}
	}
	require.Greater(t, pieces, 2)
	env, _ := n.store.State().Environment("default", "dev")
	record, _ := env.Segment("many")
	require.InDelta(t, len(record.Record), bodies, 100)
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	web, _ := serve(t, golden(t), func(cfg *transport.Config) { cfg.MaxStreams = 1 })
	f := follow(t, http.DefaultClient, web.URL, &hoistv1.FollowRequest{})
	defer f.close()
	f.next()
	second := follow(t, http.DefaultClient, web.URL, &hoistv1.FollowRequest{})
	defer second.close()
	require.False(t, second.stream.Receive())
	var refused *connect.Error
	require.True(t, errors.As(second.stream.Err(), &refused))
	requireError(t, refused, connect.CodeResourceExhausted, "OVERLOADED")
}
