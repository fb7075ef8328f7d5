package transport_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport"
	"github.com/hoistflags/hoist/transport/client"
)

func TestClientFollowsALiveChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, simple("checkout", "on"))
		web, _, stop := bubble(t, n)
		defer stop()
		c, err := client.Open(t.Context(), client.Config{Addr: "http://node", HTTPClient: web})
		require.NoError(t, err)
		defer c.Close()
		before := c.BoolDetails("checkout", false, nil)
		require.Equal(t, "on", before.Variant)
		require.False(t, before.Stale)
		receipt := n.put(t, simple("checkout", "off"))
		synctest.Wait()
		require.Equal(t, "off", c.BoolDetails("checkout", false, nil).Variant)
		require.Equal(t, receipt.Revision, c.BoolDetails("checkout", false, nil).Revision)
	})
}

func TestClientStartsOfflineFromItsCacheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flags")
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, simple("checkout", "on"))
		web, _, stop := bubble(t, n)
		cfg := client.Config{Addr: "http://node", HTTPClient: web, CacheFile: file}
		c, err := client.Open(t.Context(), cfg)
		require.NoError(t, err)
		revision := c.Status().Revision
		require.NoError(t, c.Close())
		stop()

		time.Sleep(time.Hour)
		cfg.HTTPClient = &http.Client{Transport: refusing{}}
		c, err = client.Open(t.Context(), cfg)
		require.NoError(t, err)
		d := c.BoolDetails("checkout", false, nil)
		require.Equal(t, "on", d.Variant)
		require.True(t, d.Stale)
		require.InDelta(t, time.Hour, d.Age, float64(10*time.Second), "it says how old it is")
		require.Equal(t, revision, c.Status().Revision)
		require.False(t, c.Status().Connected)
		require.NoError(t, c.Close())

		web, _, stop = bubble(t, n)
		defer stop()
		cfg.HTTPClient = web
		n.put(t, simple("checkout", "off"))
		c, err = client.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer c.Close()
		synctest.Wait()
		require.Equal(t, "off", c.BoolDetails("checkout", false, nil).Variant, "and goes on from there")
	})
}

func TestClientWithoutDataSaysWhatStoodInTheWay(t *testing.T) {
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte(`{"code":"unauthenticated","message":"the token is revoked"}`))
	}))
	defer refuses.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	damaged := filepath.Join(t.TempDir(), "flags")
	require.NoError(t, os.WriteFile(damaged, []byte("hoist cache 1\n{}"), 0o600))
	_, err := client.Open(ctx, client.Config{Addr: refuses.URL, Token: "old", CacheFile: damaged})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "no flags yet")

	c, err := client.Open(ctx, client.Config{Addr: refuses.URL, Token: "old", StartEmpty: true})
	require.NoError(t, err)
	require.ErrorContains(t, c.BoolDetails("x", false, nil).Err(), "PROVIDER_NOT_READY")
	for event := range c.Events(t.Context()) {
		require.Equal(t, client.EventError, event.Kind)
		require.ErrorContains(t, event.Err, "unauthenticated")
		break
	}
	require.NoError(t, c.Close())
	for _, cfg := range []client.Config{{}, {Addr: "ftp://x"}, {Addr: "http://x", StaleAfter: -1}, {Addr: "http://x", WhenStale: 9}} {
		_, err := client.Open(t.Context(), cfg)
		require.Error(t, err)
	}
}

func TestStaleDataIsServedAsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, simple("checkout", "on"))
		web, cut, stop := breakable(t, n)
		open := func(when client.Staleness) *client.Client {
			c, err := client.Open(t.Context(), client.Config{Addr: "http://node", HTTPClient: web, StaleAfter: time.Minute, WhenStale: when})
			require.NoError(t, err)
			return c
		}
		all := map[client.Staleness]*client.Client{}
		for _, when := range []client.Staleness{client.ServeStale, client.ServeDefault, client.ServeError} {
			all[when] = open(when)
			require.Equal(t, "on", all[when].BoolDetails("checkout", false, nil).Variant)
		}
		stop()
		cut()
		time.Sleep(55 * time.Second)
		for _, c := range all {
			require.Equal(t, "on", c.BoolDetails("checkout", false, nil).Variant, "not yet")
		}
		time.Sleep(time.Minute)
		require.Equal(t, "on", all[client.ServeStale].BoolDetails("checkout", false, nil).Variant)
		require.True(t, all[client.ServeStale].BoolDetails("checkout", false, nil).Stale)
		d := all[client.ServeDefault].BoolDetails("checkout", false, nil)
		require.False(t, d.Value)
		require.NoError(t, d.Err())
		require.ErrorContains(t, all[client.ServeError].BoolDetails("checkout", false, nil).Err(), "StaleAfter")
		for _, c := range all {
			require.NoError(t, c.Close())
		}
	})
}

func TestEventsSayWhatMayHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, simple("base", "on"))
		n.put(t, simple("other", "on"))
		n.put(t, `{"key":"above","type":"string","enabled":true,"variants":[{"key":"on","value":"x"},{"key":"off","value":"y"}],
			"prerequisites":[{"flag":"base","variants":["on"]}],"off":"off","default":{"variant":"on"}}`)
		web, frozen, stop := freezing(t, n)
		defer stop()
		c, err := client.Open(t.Context(), client.Config{Addr: "http://node", HTTPClient: web})
		require.NoError(t, err)
		defer c.Close()
		var mu sync.Mutex
		var heard []client.Event
		take := func() []client.Event {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			out := heard
			heard = nil
			return out
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e := range c.Events(ctx) {
				mu.Lock()
				heard = append(heard, e)
				mu.Unlock()
			}
		}()
		require.Equal(t, client.EventReady, take()[0].Kind)

		n.put(t, simple("base", "off"))
		changed := take()
		require.Len(t, changed, 1)
		require.Equal(t, []string{"above", "base"}, changed[0].Flags, "what refers to it counts")

		frozen(true) // half-open: connected, and nothing arrives
		time.Sleep(14 * time.Second)
		require.Empty(t, take())
		time.Sleep(3 * time.Second)
		kinds := []client.EventKind{}
		for _, e := range take() {
			kinds = append(kinds, e.Kind)
		}
		require.Contains(t, kinds, client.EventStale)
		require.Contains(t, kinds, client.EventError)
		frozen(false)
		n.put(t, simple("other", "off"))
		time.Sleep(time.Minute)
		back := take()
		back = back[len(back)-2:] // errors of the attempts on the ice come first
		require.Equal(t, []string{"other"}, back[0].Flags)
		require.Equal(t, client.EventReady, back[1].Kind, "once a node has said that there is nothing else")
		cancel()
		<-done
	})
}

// freezing is bubble with a switch that makes every connection deaf and dumb without closing it.
func freezing(t *testing.T, n *node, edit ...func(*transport.Config)) (web *http.Client, frozen func(bool), stop func()) {
	web, _, stop = bubble(t, n, edit...)
	carrier := web.Transport.(*http.Transport)
	dial := carrier.DialContext
	var mu sync.Mutex
	ice := false
	carrier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		cold := ice
		mu.Unlock()
		if cold {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &freezable{Conn: conn, ice: func() bool { mu.Lock(); defer mu.Unlock(); return ice }, closed: make(chan struct{})}, nil
	}
	return web, func(on bool) { mu.Lock(); defer mu.Unlock(); ice = on }, stop
}

type freezable struct {
	net.Conn
	ice    func() bool
	once   sync.Once
	closed chan struct{}
}

func (f *freezable) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if err == nil && f.ice() {
		<-f.closed // what arrived on the ice is never seen
		return 0, errors.New("closed")
	}
	return n, err
}

func (f *freezable) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Conn.Close()
}

func TestClosedClientLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n := newNode(t)
	n.put(t, simple("checkout", "on"))
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
	require.NoError(t, err)
	web := httptest.NewServer(server)
	c, err := client.Open(t.Context(), client.Config{Addr: web.URL, CacheFile: filepath.Join(t.TempDir(), "flags")})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "twice is fine")
	require.Equal(t, "on", c.BoolDetails("checkout", false, &evaluator.Context{}).Variant, "what was known is still served")
	require.NoError(t, server.Close())
	web.Close()
}
