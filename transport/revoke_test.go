package transport_test

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/client"
)

// opened is one stream of a token: it ends when read says so.
type opened struct {
	name string
	read func() error // to its end
}

// openStreams opens one stream of every kind for its token and reads it in the background; ended tells when and why each
// was over.
func openStreams(t *testing.T, web *http.Client, n *node) (ended chan opened, count int) {
	t.Helper()
	srv, adm := serverGrant(), fsm.Grant{Role: fsm.RoleAdmin}
	calls := func(token string) *client.Services {
		c, err := client.OpenServices(client.ServicesConfig{Address: "http://hoist", HTTPClient: web, Token: token})
		require.NoError(t, err)
		return c
	}
	backend, admin := calls(n.token(t, "srv", srv)), calls(n.token(t, "adm", adm))
	var all []opened
	follow, err := backend.Sync.Follow(t.Context(), &hoistv1.FollowRequest{})
	require.NoError(t, err)
	all = append(all, opened{"follow", drain(follow)})
	watch, err := backend.Evaluation.Watch(t.Context(), &hoistv1.WatchRequest{})
	require.NoError(t, err)
	all = append(all, opened{"watch", drain(watch)})
	tokens, err := admin.Tokens.Follow(t.Context(), &hoistv1.FollowTokensRequest{Environments: []string{"dev"}})
	require.NoError(t, err)
	all = append(all, opened{"tokens", drain(tokens)})
	inJSON, err := http.NewRequestWithContext(t.Context(), "POST", "http://hoist/hoist.v1.SyncService/Follow", strings.NewReader("\x00\x00\x00\x00\x02{}"))
	require.NoError(t, err)
	inJSON.Header.Set("Content-Type", "application/connect+json")
	inJSON.Header.Set("Authorization", "Bearer "+tokenText(fsm.TokenServer, "srv"))
	all = append(all, opened{"follow in JSON", raw(t, web, inJSON)})
	bulk, err := http.NewRequestWithContext(t.Context(), "POST", "http://hoist/ofrep/v1/evaluate/flags", strings.NewReader(`{}`))
	require.NoError(t, err)
	bulk.Header.Set("Content-Type", "application/json")
	bulk.Header.Set("Authorization", "Bearer "+tokenText(fsm.TokenServer, "srv"))
	res, err := web.Do(bulk)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	events := field(t, string(body), "eventStreams").([]any)[0].(map[string]any)["endpoint"].(map[string]any)["requestUri"].(string)
	sse, err := http.NewRequestWithContext(t.Context(), "GET", "http://hoist"+events, nil)
	require.NoError(t, err)
	all = append(all, opened{"events", raw(t, web, sse)})

	ended = make(chan opened, len(all))
	for _, s := range all {
		go func() { err := s.read(); ended <- opened{s.name, func() error { return err }} }()
	}
	return ended, len(all)
}

func drain[T any](s *connect.ServerStreamForClient[T]) func() error {
	return func() error {
		for s.Receive() {
		}
		return s.Err()
	}
}

func raw(t *testing.T, web *http.Client, r *http.Request) func() error {
	t.Helper()
	res, err := web.Do(r)
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	return func() error {
		_, err := io.ReadAll(res.Body)
		return err
	}
}

// S1-02: the streams of a token that was revoked, or has expired, are closed within 5 s.
func TestStreamsEndWithTheirToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		web, _, stop := bubble(t, n, guarded)
		ended, count := openStreams(t, web, n)
		time.Sleep(20 * time.Second)
		require.Empty(t, ended, "they live while their token does")
		n.revoke(t, "srv")
		n.revoke(t, "adm")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Len(t, ended, count)
		for range count {
			s := <-ended
			if err := s.read(); err != nil {
				require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err), s.name)
			}
		}
		stop()
	})
}

// The clock of the node ends a token too: while nothing is written, the leader's time stands still.
func TestStreamsEndWhenTheirTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		web, _, stop := bubble(t, n, guarded)
		defer stop()
		text := tokenText(fsm.TokenServer, "brief")
		digest := fsm.CredentialDigest(text)
		g := serverGrant()
		g.Tenant, g.Owner = "default", "ann"
		n.write(t, fsm.CreateToken{ID: tokenID("brief"), Digest: hex.EncodeToString(digest[:]), Grant: g, For: fsm.Duration(time.Minute / time.Millisecond)})
		calls, err := client.OpenServices(client.ServicesConfig{Address: "http://hoist", HTTPClient: web, Token: text})
		require.NoError(t, err)
		follow, err := calls.Sync.Follow(t.Context(), &hoistv1.FollowRequest{})
		require.NoError(t, err)
		began := time.Now()
		err = drain(follow)()
		require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
		require.Equal(t, "AUTH_TOKEN", client.Info(err).GetCode())
		require.InDelta(t, time.Minute, time.Since(began), float64(5*time.Second))
		_, err = calls.Evaluation.Evaluate(t.Context(), &hoistv1.EvaluateRequest{Key: "banner"})
		require.ErrorContains(t, err, "expired")
	})
}

// guardedEdge is an edge of dev with the tokens of its upstream.
func (s *street) guardedEdge(t *testing.T, name, dir, token string, upstreams ...string) (leave func()) {
	t.Helper()
	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: upstreams, HTTPClient: s.web, Environment: "dev", Token: token,
		CacheFile: filepath.Join(dir, name+".flags")})
	require.NoError(t, err)
	keyring, err := transport.OpenKeyring(transport.KeyringConfig{Addresses: upstreams, HTTPClient: s.web, Environments: []string{"dev"}, Token: token,
		CacheFile: filepath.Join(dir, name+".tokens")})
	require.NoError(t, err)
	server, err := transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev", Replica: replica}}, Keyring: keyring})
	require.NoError(t, err)
	out := s.move(t, name, server)
	return func() { out(); require.NoError(t, replica.Close()); require.NoError(t, keyring.Close()) }
}

func (s *street) ask(t *testing.T, host, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "POST", "http://"+host+"/ofrep/v1/evaluate/flags/banner", strings.NewReader(oneUser))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := s.web.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// An edge lets in whom its upstream would, refuses a revoked token within seconds, and knows its clients while, and after
// a restart although, its upstream is gone. So does an edge behind it.
func TestEdgesKnowTheTokensOfTheirClients(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		s := newStreet()
		server, err := transport.NewCore(transport.Config{Store: n.store, Node: n})
		require.NoError(t, err)
		out := s.move(t, "node", server)
		edg := n.token(t, "edge", fsm.Grant{Kind: fsm.TokenEdge, Environments: []string{"dev"}})
		srv, elsewhere := n.token(t, "srv", serverGrant()), n.token(t, "prod", fsm.Grant{Kind: fsm.TokenServer, Environments: []string{"production"}})
		leave := s.guardedEdge(t, "edge", dir, edg, "http://node")
		last := s.guardedEdge(t, "last", dir, edg, "http://edge")
		time.Sleep(time.Minute)
		for _, host := range []string{"node", "edge", "last"} {
			require.Equal(t, 200, s.ask(t, host, srv), host)
			require.Equal(t, 401, s.ask(t, host, tokenText(fsm.TokenServer, "eve")), host)
			require.Equal(t, 403, s.ask(t, host, edg), host)
		}
		require.Equal(t, 401, s.ask(t, "edge", elsewhere), "an edge knows nobody of an environment that it does not follow")
		late := n.token(t, "late", serverGrant())
		time.Sleep(5 * time.Second)
		require.Equal(t, 200, s.ask(t, "last", late), "a new token reaches the last edge")
		n.revoke(t, "late")
		time.Sleep(5 * time.Second)
		require.Equal(t, 401, s.ask(t, "edge", late))
		require.Equal(t, 401, s.ask(t, "last", late))

		out()
		s.web.CloseIdleConnections()
		time.Sleep(time.Hour)
		require.Equal(t, 200, s.ask(t, "edge", srv), "its upstream is gone, its clients are not")
		leave()
		leave = s.guardedEdge(t, "edge", dir, edg, "http://node")
		require.Equal(t, 200, s.ask(t, "edge", srv), "nor after a restart")
		require.Equal(t, 401, s.ask(t, "edge", late))
		leave()
		last()
		s.web.CloseIdleConnections()
	})
}

// An edge whose own token ends serves what it has, and says what is wrong.
func TestAnEdgeWithoutItsTokenServesWhatItHas(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		s := newStreet()
		server, err := transport.NewCore(transport.Config{Store: n.store, Node: n})
		require.NoError(t, err)
		out := s.move(t, "node", server)
		edg := n.token(t, "edge", fsm.Grant{Kind: fsm.TokenEdge, Environments: []string{"dev"}})
		srv := n.token(t, "srv", serverGrant())
		leave := s.guardedEdge(t, "edge", dir, edg, "http://node")
		time.Sleep(time.Second)
		require.Equal(t, 200, s.ask(t, "edge", srv))
		n.revoke(t, "edge")
		n.write(t, fsm.SetEnabled{Scope: dev, Key: "banner"})
		time.Sleep(time.Minute)
		require.Equal(t, 200, s.ask(t, "edge", srv))
		res, err := s.web.Get("http://edge/readyz?verbose")
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Contains(t, string(body), "the token was revoked")
		leave()
		out()
		s.web.CloseIdleConnections()
	})
}
