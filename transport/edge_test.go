package transport_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/client"
)

// edgeOf starts an edge of dev behind a server and returns its URL once it has what the server has.
func edgeOf(t testing.TB, upstream string) string {
	t.Helper()
	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{upstream}, Environment: "dev"})
	require.NoError(t, err)
	require.NoError(t, replica.Ready(t.Context()))
	server, err := transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev", Replica: replica}}, NoAuth: true})
	require.NoError(t, err)
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		web.CloseClientConnections()
		web.Close()
		require.NoError(t, replica.Close())
	})
	return web.URL
}

func TestEdgeAnswersAsTheServerDoes(t *testing.T) {
	web, _ := serve(t, golden(t))
	edge := edgeOf(t, web.URL)
	second := edgeOf(t, edge)
	for _, body := range []string{`{"context":{"targetingKey":"user-1","country":"DE"}}`, `{"context":{}}`, `{"context":{"targetingKey":""`} {
		for _, path := range []string{"theme", "split", "dark", "legacy", "hidden", "banner", "nothing", ""} {
			path = strings.TrimSuffix("/ofrep/v1/evaluate/flags/"+path, "/")
			want := post(t, web.URL+path, body)
			for _, url := range []string{edge, second} {
				got := post(t, url+path, body)
				require.Equal(t, want.status, got.status, path)
				require.Equal(t, want.body, got.body, path)
				for _, name := range []string{"Etag", "Hoist-Epoch", "Hoist-Revision"} {
					require.Equal(t, want.header.Get(name), got.header.Get(name), name)
				}
				if tag := want.header.Get("Etag"); tag != "" {
					require.Equal(t, 304, post(t, url+path, body, "If-None-Match", tag).status)
				}
			}
		}
	}
	all := post(t, edge+"/hoist.v1.EvaluationService/EvaluateAll", `{"context":{"targetingKey":"user-1"}}`)
	require.Equal(t, 200, all.status, all.body)
	require.Contains(t, all.body, `"banner"`)
}

func TestEdgeSaysWhatItIsNot(t *testing.T) {
	web, _ := serve(t, golden(t))
	edge := edgeOf(t, web.URL)
	write := post(t, edge+"/hoist.v1.FlagService/List", `{}`)
	require.Equal(t, 501, write.status)
	require.Contains(t, write.body, "manage flags at a server")
	other := post(t, edge+"/ofrep/v1/evaluate/flags/x", `{}`, "X-Hoist-Environment", "production")
	require.Equal(t, 404, other.status)
	require.Contains(t, other.body, "this edge follows default/dev only")
	past := post(t, edge+"/hoist.v1.EvaluationService/Explain", `{"key":"theme","at":"1"}`)
	require.Equal(t, http.StatusNotImplemented, past.status)
	require.Contains(t, past.body, "does not hold the past")
	exact := post(t, edge+"/hoist.v1.EvaluationService/Evaluate", `{"key":"theme","read":{"consistency":"CONSISTENCY_LINEARIZABLE"}}`)
	require.Equal(t, 400, exact.status)
	require.Contains(t, exact.body, "min_revision")
	require.Contains(t, do(t, "GET", edge+"/metrics", "").body, `hoist_edge_connected{environment="dev",tenant="default"} 1`)
	require.Contains(t, do(t, "GET", edge+"/readyz?verbose", "").body, "dev: epoch "+testEpoch)

	_, err := transport.NewEdge(transport.EdgeConfig{})
	require.Error(t, err)
	_, err = transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev"}}})
	require.Error(t, err)
}

// street is several servers in one bubble, each under its own name.
type street struct {
	mu     sync.Mutex
	houses map[string]*pipes
	web    *http.Client
}

func newStreet() *street {
	s := &street{houses: map[string]*pipes{}}
	s.web = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		name, _, _ := strings.Cut(address, ":")
		s.mu.Lock()
		p := s.houses[name]
		s.mu.Unlock()
		if p != nil {
			return p.dial(ctx, network, address)
		}
		return nil, net.ErrClosed
	}}}
	return s
}

// move lets a server move in; the returned function lets it out.
func (s *street) move(t *testing.T, name string, server *transport.Server) func() {
	p := newPipes()
	s.mu.Lock()
	s.houses[name] = p
	s.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- server.Serve(p) }()
	return func() {
		require.NoError(t, server.Close())
		require.NoError(t, <-done)
	}
}

// edge starts an edge of dev under a name.
func (s *street) edge(t *testing.T, name, file string, upstreams ...string) (replica *client.Replica, leave func()) {
	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: upstreams, HTTPClient: s.web, Environment: "dev", CacheFile: file, ReportUse: true})
	require.NoError(t, err)
	server, err := transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev", Replica: replica}}, NoAuth: true})
	require.NoError(t, err)
	out := s.move(t, name, server)
	return replica, func() { out(); require.NoError(t, replica.Close()) }
}

func TestEdgeStartsWithItsUpstreamDown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dev")
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		receipt := n.put(t, simple("checkout", "on"))
		s := newStreet()
		server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
		require.NoError(t, err)
		out := s.move(t, "node", server)
		_, leave := s.edge(t, "edge", file, "http://node")
		synctest.Wait()
		leave()
		out()
		s.web.CloseIdleConnections()

		time.Sleep(time.Hour)
		_, leave = s.edge(t, "edge", file, "http://node")
		ask := func() (*http.Response, error) {
			return s.web.Post("http://edge/ofrep/v1/evaluate/flags/checkout", "application/json", strings.NewReader(`{}`))
		}
		res, err := ask()
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, fmt.Sprint(receipt.Revision), res.Header.Get("Hoist-Revision"))
		age, err := time.ParseDuration(res.Header.Get("Hoist-Age-Ms") + "ms")
		require.NoError(t, err)
		require.InDelta(t, time.Hour, age, float64(10*time.Second))
		require.NoError(t, res.Body.Close())
		res, err = s.web.Get("http://edge/readyz?verbose&current")
		require.NoError(t, err)
		require.Equal(t, 503, res.StatusCode)
		require.NoError(t, res.Body.Close())

		server, err = transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
		require.NoError(t, err)
		out = s.move(t, "node", server)
		time.Sleep(40 * time.Second)
		res, err = s.web.Get("http://edge/readyz?current")
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode, "it found back by itself")
		require.NoError(t, res.Body.Close())
		leave()
		out()
		s.web.CloseIdleConnections()
	})
}

// A replica that moves between a server and edges, which restart and lag, holds at every moment exactly what the server
// served at its position.
func TestReplicaHasNoGapsBehindEdges(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			s := newStreet()
			server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true, StreamAge: 20 * time.Second})
			require.NoError(t, err)
			out := s.move(t, "node", server)
			file := filepath.Join(dir, fmt.Sprint(run))
			_, leave := s.edge(t, "edge", file, "http://node")
			time.Sleep(time.Minute)
			replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node", "http://edge"}, HTTPClient: s.web})
			require.NoError(t, err)
			past := map[uint64][]string{}
			env := func() *evaluator.Snapshot {
				live, _ := n.store.Live("default", "dev")
				return live.Snapshot()
			}
			remember := func() { past[env().Revision()] = content(env()) }
			remember()
			last := uint64(0)
			look := func() {
				p := replica.Position()
				require.GreaterOrEqual(t, p.Revision, last, "never back")
				last = p.Revision
				at := p.Revision
				for past[at] == nil && at > 0 {
					at--
				}
				if p.Epoch != "" {
					require.Equal(t, past[at], content(replica.Live().Snapshot()), "at %d", p.Revision)
				}
			}
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				key := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "key")
				switch rapid.IntRange(0, 4).Draw(rt, "step") {
				case 0, 1:
					n.put(t, simple(key, rapid.SampledFrom([]string{"on", "off"}).Draw(rt, "variant")))
				case 2:
					if now, _ := n.store.State().Environment("default", "dev"); has(now, key) {
						n.write(t, fsm.DeleteFlag{Scope: dev, Key: key})
					}
				case 3:
					time.Sleep(time.Duration(rapid.IntRange(1, 30_000).Draw(rt, "ms")) * time.Millisecond)
				case 4:
					leave()
					s.web.CloseIdleConnections()
					_, leave = s.edge(t, "edge", file, "http://node")
				}
				remember()
				if rapid.Bool().Draw(rt, "settle") {
					synctest.Wait()
					look()
				}
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			look()
			require.Equal(t, content(env()), content(replica.Live().Snapshot()))
			require.Equal(t, env().ScopeRevision(false), replica.Live().Snapshot().ScopeRevision(false))
			require.NoError(t, replica.Close())
			leave()
			out()
			s.web.CloseIdleConnections()
		})
	})
}

// What a follower of the edge has and the edge never had is removed from the follower all the same.
func TestEdgePassesOnRemovalsOfWhatItNeverHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, simple("first", "on"))
		web, frozen, stop := freezing(t, n)
		defer stop()
		replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web, Environment: "dev"})
		require.NoError(t, err)
		require.NoError(t, replica.Ready(t.Context()))
		server, err := transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev", Replica: replica}}, NoAuth: true})
		require.NoError(t, err)
		s := newStreet()
		out := s.move(t, "edge", server)

		frozen(true)
		between := n.put(t, simple("fleeting", "on")) // the follower hears of it from another node
		n.write(t, fsm.DeleteFlag{Scope: dev, Key: "fleeting"})
		time.Sleep(20 * time.Second)
		frozen(false)
		time.Sleep(time.Minute)
		require.Equal(t, n.store.State().Index(), replica.Position().Revision)

		f := follow(t, s.web, "http://edge", &hoistv1.FollowRequest{Environment: "dev", Epoch: testEpoch, Revision: between.Revision})
		require.Equal(t, "fleeting", f.next().GetDifference().GetRemovals()[0].GetKey())
		f.stop()
		out()
		s.web.CloseIdleConnections()
		require.NoError(t, replica.Close())
	})
}
