package transport_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	"github.com/hoistflags/hoist/transport/client"
)

// frozen lets connections stand still without an end: what a pulled cable, a full queue or a stopped machine look like.
type frozen struct {
	mu    sync.Mutex
	thaw  chan struct{} // nil: everything flows
	dials int
}

func (f *frozen) freeze() (thaw func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := make(chan struct{})
	f.thaw = done
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.thaw = nil
		close(done)
	}
}

func (f *frozen) through(web *http.Client) {
	carrier := web.Transport.(*http.Transport)
	dial := carrier.DialContext
	carrier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dials++
		return &icy{conn, f, make(chan struct{}), sync.Once{}}, err
	}
}

// icy is a connection of which nothing is heard while it is frozen.
type icy struct {
	net.Conn
	frozen *frozen
	gone   chan struct{}
	once   sync.Once
}

func (c *icy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.frozen.mu.Lock()
	thaw := c.frozen.thaw
	c.frozen.mu.Unlock()
	if thaw != nil {
		select {
		case <-thaw:
		case <-c.gone:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func (c *icy) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

func (f *frozen) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials
}

func served(r *client.Replica) string {
	return r.Evaluate("checkout", evaluator.NewContext("u")).Variant
}

// Ten seconds without a word are nothing; fifteen are the end of a connection, and the replica says so, goes on serving and
// comes back.
func TestReplicaOutlastsASilentUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, simple("checkout", "on"))
		web, _, stop := bubble(t, n)
		defer stop()
		ice := &frozen{}
		ice.through(web)
		r, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web})
		require.NoError(t, err)
		defer r.Close()
		require.NoError(t, r.Ready(t.Context()))
		require.Equal(t, 1, ice.count())

		thaw := ice.freeze()
		n.put(t, simple("checkout", "off"))
		time.Sleep(9 * time.Second)
		require.Equal(t, "on", served(r))
		require.True(t, r.Status().Connected)
		thaw()
		synctest.Wait()
		require.Equal(t, "off", served(r))
		require.Equal(t, 1, ice.count(), "nobody hung up")

		thaw = ice.freeze()
		n.put(t, simple("checkout", "on"))
		time.Sleep(30 * time.Second)
		require.Equal(t, "off", served(r), "what was known")
		require.False(t, r.Status().Connected)
		require.ErrorContains(t, r.Status().Err, "nothing was heard for 15s")
		require.InDelta(t, 30*time.Second, r.Status().Age(), float64(10*time.Second), "it does not look fresh")
		thaw()
		time.Sleep(time.Minute)
		require.Equal(t, "on", served(r))
		require.NoError(t, r.Status().Err)
	})
}

// script is an upstream that answers Follow as a test tells it to.
type script struct {
	hoistv1connect.UnimplementedSyncServiceHandler
	follow atomic.Pointer[func(*hoistv1.FollowRequest, func(*hoistv1.FollowResponse)) error]
}

func (s *script) Follow(ctx context.Context, r *hoistv1.FollowRequest, out *connect.ServerStream[hoistv1.FollowResponse]) error {
	err := (*s.follow.Load())(r, func(m *hoistv1.FollowResponse) {
		_ = out.Send(m) // a follower that left asks again
	})
	if err == nil {
		<-ctx.Done()
	}
	return err
}

func (s *script) is(f func(*hoistv1.FollowRequest, func(*hoistv1.FollowResponse)) error) {
	s.follow.Store(&f)
}

// acted runs a script as http://node inside a bubble.
func acted(t *testing.T) (s *script, web *http.Client) {
	t.Helper()
	s = &script{}
	mux := http.NewServeMux()
	mux.Handle(hoistv1connect.NewSyncServiceHandler(s))
	p := newPipes()
	server := &http.Server{Handler: mux}
	done := make(chan error, 1)
	go func() { done <- server.Serve(p) }()
	carrier := &http.Transport{DialContext: p.dial}
	t.Cleanup(func() {
		carrier.CloseIdleConnections()
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return s, &http.Client{Transport: carrier}
}

func record(variant string, revision uint64) []*hoistv1.Record {
	return []*hoistv1.Record{{Kind: hoistv1.RecordKind_RECORD_KIND_FLAG, Key: "checkout", Revision: revision, Body: []byte(simple("checkout", variant))}}
}

func wholeOf(epoch, variant string, revision uint64) *hoistv1.FollowResponse {
	return &hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_Snapshot{Snapshot: &hoistv1.SnapshotPart{
		Epoch: epoch, Revision: revision, Last: true, Records: record(variant, revision)}}}
}

func changeOf(epoch, variant string, from, to uint64) *hoistv1.FollowResponse {
	return &hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_Difference{Difference: &hoistv1.Difference{
		Epoch: epoch, From: from, To: to, Upserts: record(variant, to)}}}
}

func markOf(epoch string, revision uint64) *hoistv1.FollowResponse {
	return &hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_Progress{Progress: &hoistv1.Progress{Epoch: epoch, Revision: revision}}}
}

// Whatever an upstream does wrong, the replica says what, serves what it has, and is well again when the upstream is.
func TestReplicaSurvivesAnUpstreamThatIsWrong(t *testing.T) {
	broken := changeOf("e", "off", 5, 6)
	broken.GetDifference().Upserts[0].Body = []byte(`{"key":"checkout","type":"boolean"`)
	cut := changeOf("e", "off", 5, 6)
	cut.GetDifference().Upserts[0].More = true
	late := wholeOf("e", "off", 9)
	late.GetSnapshot().Index = 1
	for name, c := range map[string]struct {
		frames []*hoistv1.FollowResponse
		err    error
		says   string
		anew   bool // only a snapshot helps
	}{
		"a frame is missing":           {anew: true, frames: []*hoistv1.FollowResponse{changeOf("e", "off", 7, 8)}, says: "from revision 7 to 8 does not continue"},
		"a frame of another epoch":     {anew: true, frames: []*hoistv1.FollowResponse{changeOf("other", "off", 5, 6)}, says: "does not continue"},
		"a mark of another epoch":      {anew: true, frames: []*hoistv1.FollowResponse{markOf("other", 9)}, says: "does not continue"},
		"a flag nobody can read":       {frames: []*hoistv1.FollowResponse{broken}, says: `flag "checkout"`},
		"a flag is cut off":            {frames: []*hoistv1.FollowResponse{cut}, says: `"checkout" is cut off`},
		"parts in the wrong order":     {frames: []*hoistv1.FollowResponse{late}, says: "part 1 of a snapshot arrived, part 0 was due"},
		"the token is not good enough": {err: connect.NewError(connect.CodeUnauthenticated, errors.New("the token is revoked")), says: "the token is revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up, web := acted(t)
				up.is(func(_ *hoistv1.FollowRequest, send func(*hoistv1.FollowResponse)) error {
					send(wholeOf("e", "on", 5))
					send(markOf("e", 5))
					return errors.New("and away")
				})
				r, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web})
				require.NoError(t, err)
				defer r.Close()
				require.NoError(t, r.Ready(t.Context()))
				asked := uint64(0)
				up.is(func(ask *hoistv1.FollowRequest, send func(*hoistv1.FollowResponse)) error {
					asked = ask.GetRevision()
					for _, m := range c.frames {
						send(m)
					}
					return c.err
				})
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, "on", served(r))
				require.False(t, r.Status().Connected)
				require.ErrorContains(t, r.Status().Err, c.says)
				require.ErrorContains(t, r.Status().Err, "http://node", "and who")
				require.Equal(t, c.anew, asked == 0, "asked from %d", asked)
				up.is(func(ask *hoistv1.FollowRequest, send func(*hoistv1.FollowResponse)) error {
					if ask.GetRevision() == 0 {
						send(wholeOf("e", "off", 20))
					} else {
						send(changeOf("e", "off", ask.GetRevision(), 20))
					}
					send(markOf("e", 20))
					return nil
				})
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Equal(t, "off", served(r))
				require.NoError(t, r.Status().Err)
			})
		})
	}
}

// A restore gives the upstream another epoch; its snapshot is taken even though its revision is lower.
func TestReplicaTakesAnotherEpochWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, web := acted(t)
		for _, epoch := range []struct {
			name     string
			revision uint64
			variant  string
		}{{"before", 500, "on"}, {"after", 7, "off"}} {
			up.is(func(_ *hoistv1.FollowRequest, send func(*hoistv1.FollowResponse)) error {
				send(wholeOf(epoch.name, epoch.variant, epoch.revision))
				send(markOf(epoch.name, epoch.revision))
				return errors.New("and away")
			})
			r, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web})
			require.NoError(t, err)
			require.NoError(t, r.Ready(t.Context()))
			up.is(func(_ *hoistv1.FollowRequest, send func(*hoistv1.FollowResponse)) error {
				send(wholeOf("after", "off", 7))
				send(markOf("after", 7))
				return nil
			})
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, "off", served(r))
			require.Equal(t, "after", r.Position().Epoch)
			require.NoError(t, r.Close())
		}
	})
}

// A clock that was set back must not make old data look new.
func TestCacheFileFromTheFutureIsEndlesslyOld(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flags")
	synctest.Test(t, func(t *testing.T) { // a day later than the next bubble
		time.Sleep(24 * time.Hour)
		n := newNode(t)
		n.put(t, simple("checkout", "on"))
		web, _, stop := bubble(t, n)
		defer stop()
		r, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web, CacheFile: file})
		require.NoError(t, err)
		require.NoError(t, r.Ready(t.Context()))
		require.NoError(t, r.Close())
	})
	synctest.Test(t, func(t *testing.T) {
		c, err := client.Open(t.Context(), client.Config{Addr: "http://node", HTTPClient: &http.Client{Transport: refusing{}}, CacheFile: file})
		require.NoError(t, err)
		defer c.Close()
		d := c.BoolDetails("checkout", false, nil)
		require.Equal(t, "on", d.Variant)
		require.True(t, d.Stale)
		require.Greater(t, d.Age, 10*365*24*time.Hour)
	})
}

// An edge without its upstream is ready, not current, and names the reason where people look.
func TestEdgeSaysWhatIsWrongWithItsUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, web := acted(t)
		up.is(func(_ *hoistv1.FollowRequest, send func(*hoistv1.FollowResponse)) error {
			send(wholeOf("e", "on", 5))
			send(markOf("e", 5))
			return errors.New("and away")
		})
		r, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web, Environment: "dev"})
		require.NoError(t, err)
		defer r.Close()
		require.NoError(t, r.Ready(t.Context()))
		up.is(func(*hoistv1.FollowRequest, func(*hoistv1.FollowResponse)) error {
			return connect.NewError(connect.CodeUnauthenticated, errors.New("the token is revoked"))
		})
		edge, err := transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev", Replica: r}}, NoAuth: true})
		require.NoError(t, err)
		s := newStreet()
		leave := s.move(t, "edge", edge)
		defer s.web.CloseIdleConnections()
		defer leave()
		time.Sleep(time.Minute)
		get := func(path string) (int, string) {
			a, err := s.web.Get("http://edge" + path)
			require.NoError(t, err)
			defer a.Body.Close()
			text := make([]byte, 4096)
			n, _ := a.Body.Read(text) // a short body
			return a.StatusCode, string(text[:n])
		}
		status, _ := get("/readyz")
		require.Equal(t, 200, status)
		status, text := get("/readyz?current&verbose")
		require.Equal(t, 503, status)
		require.Contains(t, text, "the token is revoked")
		require.Contains(t, text, "serving what is")
	})
}
