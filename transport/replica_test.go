package transport_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/client"
)

// content is what a snapshot serves, to compare two of them.
func content(s *evaluator.Snapshot) []string {
	out := []string{}
	for _, f := range s.Flags() {
		_, revision, _ := s.Flag(f.Key())
		out = append(out, fmt.Sprintf("%d %s", revision, f.Record()))
	}
	for _, g := range s.Segments() {
		_, revision, _ := s.Segment(g.Key())
		out = append(out, fmt.Sprintf("%d %s", revision, g.Record()))
	}
	return out
}

// A replica holds, at every moment, exactly what the node served at its position, whatever happens to its connections.
func TestReplicaHasNoGaps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			n := newNode(t)
			web, cut, stop := breakable(t, n)
			defer stop()
			past := map[uint64][]string{} // by revision of the environment's last change
			env := func() *evaluator.Snapshot {
				live, _ := n.store.Live("default", "dev")
				return live.Snapshot()
			}
			remember := func() { past[env().Revision()] = content(env()) }
			remember()
			replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://node"}, HTTPClient: web})
			require.NoError(t, err)
			defer replica.Close()
			last := uint64(0)
			look := func() {
				p, s := replica.Position(), replica.Live().Snapshot()
				if p.Epoch == "" {
					return
				}
				require.GreaterOrEqual(t, p.Revision, last, "never back")
				last = p.Revision
				at := p.Revision
				for past[at] == nil {
					at--
				}
				require.Equal(t, past[at], content(s), "at %d", p.Revision)
				require.LessOrEqual(t, s.ScopeRevision(false), env().ScopeRevision(false))
			}
			for i := range rapid.IntRange(1, 25).Draw(rt, "steps") {
				key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key")
				switch rapid.IntRange(0, 5).Draw(rt, "step") {
				case 0, 1:
					n.put(t, simple(key, rapid.SampledFrom([]string{"on", "off"}).Draw(rt, "variant")))
				case 2:
					if now, _ := n.store.State().Environment("default", "dev"); has(now, key) {
						n.write(t, fsm.DeleteFlag{Scope: dev, Key: key})
					}
				case 3:
					n.write(t, fsm.PutSegment{Scope: dev, Segment: &evaluator.Segment{Key: "s" + key, Include: []string{fmt.Sprint("u", i)}}})
				case 4:
					cut()
				case 5:
					time.Sleep(time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "ms")) * time.Millisecond)
				}
				remember()
				if rapid.Bool().Draw(rt, "settle") { // otherwise changes pile up and arrive as one difference
					synctest.Wait()
					look()
				}
			}
			time.Sleep(40 * time.Second)
			synctest.Wait()
			look()
			require.Equal(t, content(env()), content(replica.Live().Snapshot()))
			require.Less(t, time.Since(replica.Position().KnownAt), 6*time.Second)
			require.Equal(t, env().ScopeRevision(false), replica.Live().Snapshot().ScopeRevision(false), "what events and tags are made of")
			require.Equal(t, env().SegmentRevision(), replica.Live().Snapshot().SegmentRevision())
		})
	})
}

func has(env *fsm.Environment, key string) bool {
	_, ok := env.Flag(key)
	return ok
}

// breakable is bubble with a switch that cuts every connection there is.
func breakable(t *testing.T, n *node) (web *http.Client, cut func(), stop func()) {
	web, _, stop = bubble(t, n)
	carrier := web.Transport.(*http.Transport)
	dial := carrier.DialContext
	var mu sync.Mutex
	var open []net.Conn
	carrier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			open = append(open, conn)
		}
		return conn, err
	}
	return web, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range open {
			conn.Close()
		}
		open = nil
	}, stop
}

func TestReplicaIsNotReadyWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nobody := &http.Client{Transport: refusing{}}
		replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://a", "http://b"}, HTTPClient: nobody})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, replica.Ready(ctx), context.DeadlineExceeded)
		r := replica.Evaluate("x", &evaluator.Context{})
		require.Equal(t, evaluator.ErrorProviderNotReady, r.ErrorCode)
		require.NoError(t, replica.Close())
	})
}

func TestClientsRefuseAddressesTheyCannotUse(t *testing.T) {
	for _, address := range []string{"", "ftp://x", "http://", "::"} {
		_, err := client.OpenServices(client.ServicesConfig{Address: address})
		require.Error(t, err, address)
	}
	_, err := client.OpenReplica(client.ReplicaConfig{})
	require.Error(t, err)
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, context.DeadlineExceeded
}
