package transport_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

const oneUser = `{"context":{"targetingKey":"user-1"}}`

func ofrepFlag(t *testing.T, url, key, token string, headers ...string) answer {
	t.Helper()
	return post(t, url+"/ofrep/v1/evaluate/flags/"+key, oneUser, append(bearer(token), headers...)...)
}

// Golden request 14: no token, no such token and a mistyped one are told apart by nobody.
func TestOFREPAnswersTheSameToEveryoneItDoesNotKnow(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	srv := n.token(t, "srv", serverGrant())
	n.token(t, "gone", serverGrant())
	n.revoke(t, "gone")
	require.Equal(t, 200, ofrepFlag(t, web.URL, "banner", srv).status)
	require.Equal(t, 200, post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", oneUser, "X-API-Key", srv).status)
	changed := srv[:30] + string('A'+(srv[30]-'A'+1)%26) + srv[31:]
	for name, headers := range map[string][]string{
		"no token": nil, "Bearer nothing": bearer("nothing"), "one character changed": bearer(changed),
		"unknown": bearer(tokenText(fsm.TokenServer, "eve")), "revoked": bearer(tokenText(fsm.TokenServer, "gone")),
		"two different": {"Authorization", "Bearer " + srv, "X-API-Key", "other"},
	} {
		for _, path := range []string{"/ofrep/v1/evaluate/flags/banner", "/ofrep/v1/evaluate/flags"} {
			a := post(t, web.URL+path, oneUser, headers...)
			require.Equal(t, http.StatusUnauthorized, a.status, name)
			require.Empty(t, a.body, name)
			require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"), name)
		}
	}
	for _, kind := range []fsm.TokenKind{fsm.TokenAdmin, fsm.TokenEdge, fsm.TokenBreakGlass} {
		g := fsm.Grant{Kind: kind, Environments: []string{"dev"}}
		if kind == fsm.TokenAdmin {
			g.Role = fsm.RoleAdmin
		}
		a := ofrepFlag(t, web.URL, "banner", n.token(t, "k"+string(kind), g))
		require.Equal(t, http.StatusForbidden, a.status, kind)
		require.Empty(t, a.body)
	}
}

func TestATokenIsForItsEnvironmentWhateverTheRequestSays(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	g := serverGrant()
	g.Environments = []string{"production"}
	a := ofrepFlag(t, web.URL, "banner", n.token(t, "prod", g), "X-Hoist-Environment", "dev", "X-Tenant-ID", "default")
	require.Equal(t, http.StatusNotFound, a.status, "production has no such flag")
}

// Golden request 22: a cli token sees client-visible flags and of them results only.
func TestClientsSeeResultsOfVisibleFlagsOnly(t *testing.T) {
	n := golden(t)
	n.put(t, `{"key":"theme","type":"string","enabled":true,"clientVisible":true,"variants":[{"key":"blue","value":"blue"},{"key":"green","value":"green"}],"off":"green",
		"prerequisites":[{"flag":"dark","variants":["on"]}],"rules":[{"id":"eu","if":[{"attribute":"country","operator":"in","values":["DE","FR"]}],"then":{"variant":"blue"}}],"default":{"variant":"blue"}}`)
	web, _ := serve(t, n, guarded)
	cli, srv := n.token(t, "cli", clientGrant()), n.token(t, "srv", serverGrant())
	bulk := post(t, web.URL+"/ofrep/v1/evaluate/flags", `{"context":{}}`, bearer(cli)...)
	require.Equal(t, 200, bulk.status)
	flags := field(t, bulk.body, "flags").([]any)
	require.Len(t, flags, 1)
	one := flags[0].(map[string]any)
	require.Equal(t, "theme", one["key"])
	require.Equal(t, "DEFAULT", one["reason"], "that a prerequisite failed is not for clients")
	require.NotContains(t, one["metadata"], "hoist.rule")
	told, _, _ := strings.Cut(bulk.body, `"eventStreams"`) // which have a signature, in which any letters may stand
	for _, word := range []string{"banner", "dark", "split", "eu", "PREREQUISITE"} {
		require.NotContains(t, told, word)
	}
	hidden, absent := ofrepFlag(t, web.URL, "banner", cli), ofrepFlag(t, web.URL, "nope", cli)
	require.Equal(t, http.StatusNotFound, hidden.status)
	require.Equal(t, absent.body, strings.ReplaceAll(hidden.body, "banner", "nope"), "a flag it may not see equals one that is not there, byte for byte")
	require.Contains(t, ofrepFlag(t, web.URL, "theme", srv).body, "PREREQUISITE_FAILED")

	require.NotEqual(t, bulk.header.Get("ETag"), post(t, web.URL+"/ofrep/v1/evaluate/flags", `{"context":{}}`, bearer(srv)...).header.Get("ETag"))
	n.write(t, fsm.SetEnabled{Scope: dev, Key: "banner"})
	again := post(t, web.URL+"/ofrep/v1/evaluate/flags", `{"context":{}}`, append(bearer(cli), "If-None-Match", bulk.header.Get("ETag"))...)
	require.Equal(t, http.StatusNotModified, again.status, "what it does not see does not change its answer")
}

// The same for Connect.
func TestClientsSeeNoMoreOverConnect(t *testing.T) {
	n := golden(t)
	n.put(t, `{"key":"theme","type":"string","enabled":true,"clientVisible":true,"variants":[{"key":"blue","value":"blue"}],"off":"blue",
		"rules":[{"id":"eu","if":[{"attribute":"country","operator":"in","values":["DE"]}],"then":{"variant":"blue"}}],"default":{"variant":"blue"}}`)
	web, _ := serve(t, n, guarded)
	cli := n.token(t, "cli", clientGrant())
	call := func(procedure, body string) answer { return post(t, web.URL+procedure, body, bearer(cli)...) }
	all := call("/hoist.v1.EvaluationService/EvaluateAll", `{"context":{"country":"DE"}}`)
	require.Equal(t, 200, all.status, all.body)
	require.Len(t, field(t, all.body, "evaluations"), 1)
	require.NotContains(t, all.body, `"eu"`)
	require.Equal(t, 404, call("/hoist.v1.EvaluationService/Evaluate", `{"key":"banner"}`).status)
	require.Equal(t, 403, call("/hoist.v1.EvaluationService/Explain", `{"key":"theme"}`).status)
	require.Equal(t, 403, call("/hoist.v1.FlagService/List", `{}`).status)
	require.Equal(t, 403, call("/hoist.v1.EvaluationService/EvaluateAll", `{"environment":"production"}`).status)
	follow := do(t, "POST", web.URL+"/hoist.v1.SyncService/Follow", "\x00\x00\x00\x00\x00", "Content-Type", "application/connect+proto", "Authorization", "Bearer "+cli)
	require.Contains(t, follow.body, `"permission_denied"`)
	requireCode(t, do(t, "POST", web.URL+"/api/v1/config/feature-flags/theme/evaluate?environment=dev", "{}", bearer(cli)...), 403, "PERM_DENIED")
}

// Golden request 29: a preflight has no token; the origin must be on somebody's list.
func TestPagesOfListedOriginsMayRead(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	cli := n.token(t, "cli", clientGrant())
	url := web.URL + "/ofrep/v1/evaluate/flags"
	for origin, allowed := range map[string]bool{
		"https://app.example.com": true, "http://localhost:5173": true, "https://evil.example": false, "https://app.example.com.evil.example": false,
		"http://localhost.evil.example:80": false, "http://127.0.0.1:5173": false, "null": false,
	} {
		a := do(t, "OPTIONS", url, "", "Origin", origin, "Access-Control-Request-Method", "POST")
		require.Equal(t, http.StatusNoContent, a.status)
		expected := ""
		if allowed {
			expected = origin
		}
		require.Equal(t, expected, a.header.Get("Access-Control-Allow-Origin"), origin)
		require.Equal(t, allowed, a.header.Get("Access-Control-Allow-Methods") != "", origin)
		require.Equal(t, "Origin", a.header.Get("Vary"))
		require.Empty(t, a.header.Get("Access-Control-Allow-Credentials"))
		require.Equal(t, expected, post(t, url, oneUser, append(bearer(cli), "Origin", origin)...).header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, expected, post(t, url, oneUser, "Origin", origin).header.Get("Access-Control-Allow-Origin"), "an answer of 401 can be read too")
	}
	n.revoke(t, "cli")
	require.Empty(t, do(t, "OPTIONS", url, "", "Origin", "https://app.example.com").header.Get("Access-Control-Allow-Origin"))
}

// Golden request 30: over the rate.
func TestATokenHasARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		web, _, stop := bubble(t, n, guarded)
		defer stop()
		g := serverGrant()
		g.Rate = 5
		srv, free := n.token(t, "srv", g), n.token(t, "free", serverGrant())
		ask := func(token, path, body string) *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://hoist"+path, strings.NewReader(body))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := web.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			return res
		}
		for range 5 {
			require.Equal(t, 200, ask(srv, "/ofrep/v1/evaluate/flags/banner", oneUser).StatusCode)
		}
		over := ask(srv, "/ofrep/v1/evaluate/flags/banner", oneUser)
		require.Equal(t, http.StatusTooManyRequests, over.StatusCode)
		require.Zero(t, over.ContentLength)
		wait, err := strconv.Atoi(over.Header.Get("Retry-After"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, wait, 1)
		require.Equal(t, http.StatusTooManyRequests, ask(srv, "/ofrep/v1/evaluate/flags", oneUser).StatusCode, "bulk counts too")
		require.Equal(t, http.StatusTooManyRequests, ask(srv, "/hoist.v1.EvaluationService/Evaluate", `{"key":"banner"}`).StatusCode, "and Connect")
		require.Equal(t, 200, ask(free, "/ofrep/v1/evaluate/flags/banner", oneUser).StatusCode, "others are not slowed")
		n.token(t, "another", serverGrant()) // a change of any token gives nobody a new allowance
		require.Equal(t, http.StatusTooManyRequests, ask(srv, "/ofrep/v1/evaluate/flags/banner", oneUser).StatusCode)
		time.Sleep(time.Duration(wait) * time.Second)
		require.Equal(t, 200, ask(srv, "/ofrep/v1/evaluate/flags/banner", oneUser).StatusCode)
	})
}
