package transport_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// plainCase is a call and whether it is one of the plainest.
type plainCase struct {
	name   string
	call   *hoistv1.EvaluateRequest
	header map[string]string // besides the token
	token  string
	plain  bool
}

func about(t testing.TB, members map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(members)
	require.NoError(t, err)
	return s
}

func plainCases(t *testing.T, n *node) []plainCase {
	user := about(t, map[string]any{"targetingKey": "user-1", "country": "FR"})
	ask := func(key string) *hoistv1.EvaluateRequest { return &hoistv1.EvaluateRequest{Key: key, Context: user} }
	srv := n.token(t, "srv", serverGrant())
	cli := n.token(t, "cli", clientGrant())
	n.put(t, strings.Replace(simple("open", "on"), `"key":"open"`, `"key":"open","clientVisible":true,"metadata":{"team":"web","n":1}`, 1))
	n.put(t, `{"key":"large","type":"string","enabled":true,"variants":[{"key":"a","value":"`+strings.Repeat("a", 3000)+`"}],"default":{"variant":"a"}}`)
	ended := n.token(t, "ended", serverGrant())
	n.revoke(t, "ended")
	return []plainCase{
		{"a static flag", ask("banner"), nil, srv, true},
		{"a rule", ask("theme"), nil, srv, true},
		{"a split", ask("split"), nil, srv, true},
		{"disabled, with an off variant", ask("dark"), nil, srv, true},
		{"disabled, without a value", ask("legacy"), nil, srv, true},
		{"metadata", ask("open"), nil, srv, true},
		{"no context", &hoistv1.EvaluateRequest{Key: "banner"}, nil, srv, true},
		{"the environment named", &hoistv1.EvaluateRequest{Environment: "dev", Key: "banner", Context: user}, nil, srv, true},
		{"a client's token", ask("open"), nil, cli, true},
		{"a large answer", ask("large"), nil, srv, true},
		{"a large answer, compressed", ask("large"), map[string]string{"Accept-Encoding": "gzip"}, srv, false},
		{"a version", ask("banner"), map[string]string{"Connect-Protocol-Version": "1", "Accept-Encoding": "gzip"}, srv, true},
		{"another version", ask("banner"), map[string]string{"Connect-Protocol-Version": "2"}, srv, false},
		{"an encoding that is none", ask("banner"), map[string]string{"Content-Encoding": "identity"}, srv, false},
		{"an encoding that is unknown", ask("banner"), map[string]string{"Content-Encoding": "x"}, srv, false},
		{"a time limit", ask("banner"), map[string]string{"Connect-Timeout-Ms": "1000"}, srv, true},
		{"no time at all", ask("banner"), map[string]string{"Connect-Timeout-Ms": "0"}, srv, false},
		{"a time limit that is none", ask("banner"), map[string]string{"Connect-Timeout-Ms": "x"}, srv, false},
		{"a demand", &hoistv1.EvaluateRequest{Key: "banner", Context: user, Read: &hoistv1.ReadOptions{MinRevision: 42}}, nil, srv, false},
		{"an unknown flag", ask("nope"), nil, srv, false},
		{"no flag", ask(""), nil, srv, false},
		{"an archived flag", ask("hidden"), nil, srv, false},
		{"a flag that clients do not see", ask("banner"), nil, cli, false},
		{"a split without a key", &hoistv1.EvaluateRequest{Key: "split"}, nil, srv, false},
		{"a bad context", &hoistv1.EvaluateRequest{Key: "banner", Context: about(t, map[string]any{"targetingKey": 1})}, nil, srv, false},
		{"another environment", &hoistv1.EvaluateRequest{Environment: "staging", Key: "banner", Context: user}, nil, srv, false},
		{"no environment of that name", ask("banner"), map[string]string{"X-Hoist-Environment": "nowhere"}, srv, false},
		{"a bad header", ask("banner"), map[string]string{"X-User-Id": strings.Repeat("a", 300)}, srv, false},
		{"no token", ask("banner"), nil, "", false},
		{"a token that ended", ask("banner"), nil, ended, false},
		{"a token that does not evaluate", ask("banner"), nil, n.token(t, "edg", fsm.Grant{Kind: fsm.TokenEdge, Environments: []string{"dev"}}), false},
		{"an admin's token", ask("banner"), nil, n.token(t, "adm", fsm.Grant{Kind: fsm.TokenAdmin, Role: fsm.RoleViewer}), true},
	}
}

// request is the call in one of the two encodings.
func (c *plainCase) request(t testing.TB, url, content string) *http.Request {
	t.Helper()
	body, err := proto.Marshal(c.call)
	if content == "application/json" {
		body, err = protojson.Marshal(c.call)
	}
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+hoistv1connect.EvaluationServiceEvaluateProcedure, strings.NewReader(string(body)))
	require.NoError(t, err)
	r.Header.Set("Content-Type", content)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	return r
}

// The plainest calls are answered without Connect, and nobody can tell: the same request over HTTP/1.1, where the lane
// takes it, and over HTTP/2, and one that Connect has to answer because it names an encoding, give the same status, header
// and message.
func TestPlainCallsAreAnsweredAsConnectDoes(t *testing.T) {
	n := golden(t)
	cases := plainCases(t, n)
	web, server := serve(t, n, guarded)
	one := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(one.CloseIdleConnections)
	carrier := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	carrier.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(carrier.CloseIdleConnections)
	two := &http.Client{Transport: carrier}
	for _, c := range cases {
		for _, content := range []string{"application/json", "application/proto"} {
			t.Run(c.name+", "+content, func(t *testing.T) {
				answered := server.ServePlain(httptest.NewRecorder(), c.request(t, "", content))
				require.Equal(t, c.plain, answered)
				slow := c.request(t, web.URL, content)
				if slow.Header.Get("Content-Encoding") == "" {
					slow.Header.Set("Content-Encoding", "identity")
				}
				want := fetch(t, one, slow)
				require.Equal(t, want, fetch(t, one, c.request(t, web.URL, content)), "HTTP/1.1")
				require.Equal(t, want, fetch(t, two, c.request(t, web.URL, content)), "HTTP/2")
			})
		}
	}
}

// told is an answer as a client understands it.
type told struct {
	status  int
	header  string
	message string
}

func fetch(t *testing.T, by *http.Client, r *http.Request) told {
	t.Helper()
	a, err := by.Do(r)
	require.NoError(t, err)
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	out := told{status: a.StatusCode, message: string(body)}
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if name != "Date" && name != "Content-Length" {
			out.header += name + ": " + strings.Join(a.Header[name], ", ") + "\n"
		}
	}
	var m hoistv1.EvaluateResponse
	switch {
	case a.StatusCode != http.StatusOK || a.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/"):
		return out // an error is the same text, as is what was compressed
	case a.Header.Get("Content-Type") == "application/json":
		require.NoError(t, protojson.Unmarshal(body, &m))
	default:
		require.NoError(t, proto.Unmarshal(body, &m))
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	require.NoError(t, err)
	out.message = string(text)
	return out
}

// A plain call counts as any other does: by reason and door, by procedure, and against the rate of its token.
func TestPlainCallsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		c := plainCase{call: &hoistv1.EvaluateRequest{Key: "banner"},
			token: n.token(t, "slow", fsm.Grant{Kind: fsm.TokenServer, Environments: []string{"dev"}, Rate: 2})}
		web, server, stop := bubble(t, n, guarded)
		defer stop()
		for _, content := range []string{"application/json", "application/proto"} {
			require.True(t, server.ServePlain(httptest.NewRecorder(), c.request(t, "", content)))
		}
		limited := fetch(t, web, c.request(t, "http://node", "application/json"))
		require.Equal(t, http.StatusTooManyRequests, limited.status)
		require.Contains(t, limited.message, "resource_exhausted")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://node/metrics", nil)
		require.NoError(t, err)
		text := fetch(t, web, r).message
		require.Contains(t, text, `hoist_evaluations_total{door="connect",environment="dev",reason="STATIC"} 2`)
		require.Contains(t, text, `hoist_rpc_requests_total{code="ok",procedure="/hoist.v1.EvaluationService/Evaluate"} 2`)
		require.Contains(t, text, `hoist_rpc_duration_seconds_count{procedure="/hoist.v1.EvaluationService/Evaluate"} 3`)
	})
}

// BenchmarkPlainEvaluate is the handler alone, with a token, without net/http around it.
func BenchmarkPlainEvaluate(b *testing.B) {
	n := golden(b)
	token := n.token(b, "srv", serverGrant())
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n})
	require.NoError(b, err)
	defer server.Close()
	call := plainCase{token: token, call: &hoistv1.EvaluateRequest{Key: "theme",
		Context: about(b, map[string]any{"targetingKey": "user-1", "country": "FR", "plan": "pro"})}}
	for _, content := range []string{"application/json", "application/proto"} {
		b.Run(content, func(b *testing.B) {
			r := call.request(b, "", content)
			body, err := io.ReadAll(r.Body)
			require.NoError(b, err)
			again := bytes.NewReader(body)
			r.Body = io.NopCloser(again)
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				again.Reset(body)
				clear(w.header)
				server.ServeHTTP(w, r)
			}
		})
	}
}
