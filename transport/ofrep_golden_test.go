package transport_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// golden brings a node into the state of the protocol notes: six flags, scope revision 42.
func golden(t testing.TB) *node {
	t.Helper()
	n := newNode(t)
	for _, flag := range []string{
		`{"key":"theme","type":"string","enabled":true,"variants":[{"key":"blue","value":"blue"},{"key":"green","value":"green"}],
		  "rules":[{"id":"eu","if":[{"attribute":"country","operator":"in","values":["DE","FR"]}],"then":{"variant":"blue"}}],"default":{"variant":"green"}}`,
		`{"key":"split","type":"boolean","enabled":true,"variants":[{"key":"first","value":true},{"key":"second","value":false}],
		  "default":{"split":{"salt":"split/default","weights":[{"variant":"first","weight":50000},{"variant":"second","weight":50000}]}}}`,
		`{"key":"dark","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`,
		`{"key":"legacy","type":"string","variants":[{"key":"a","value":"a"}],"default":{"variant":"a"}}`,
		`{"key":"hidden","type":"boolean","enabled":true,"archived":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`,
	} {
		n.put(t, flag)
	}
	n.skipTo(42)
	receipt := n.put(t, `{"key":"banner","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)
	require.Equal(t, uint64(42), receipt.Revision)
	return n
}

const meta = `"metadata":{"hoist.revision":42`

func TestGoldenSingleRequests(t *testing.T) {
	web, _ := serve(t, golden(t))
	for _, c := range []struct {
		name, key, body string
		status          int
		want            string
	}{
		{"1 static", "banner", `{"context":{"targetingKey":"u"}}`, 200, `{"key":"banner","value":true,"reason":"STATIC","variant":"on",` + meta + `}}`},
		{"2 rule", "theme", `{"context":{"targetingKey":"u","country":"FR"}}`, 200, `{"key":"theme","value":"blue","reason":"TARGETING_MATCH","variant":"blue",` + meta + `,"hoist.rule":"eu"}}`},
		{"3 default", "theme", `{"context":{}}`, 200, `{"key":"theme","value":"green","reason":"DEFAULT","variant":"green",` + meta + `}}`},
		{"4 split first", "split", `{"context":{"targetingKey":"user-1"}}`, 200, `{"key":"split","value":true,"reason":"SPLIT","variant":"first",` + meta + `}}`},
		{"4 split second", "split", `{"context":{"targetingKey":"user-2"}}`, 200, `{"key":"split","value":false,"reason":"SPLIT","variant":"second",` + meta + `}}`},
		{"5 no targeting key", "split", `{"context":{}}`, 400, `{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"a split decides this flag and the context has no targetingKey"}`},
		{"6 empty targeting key", "split", `{"context":{"targetingKey":""}}`, 400, `{"key":"split","errorCode":"TARGETING_KEY_MISSING","errorDetails":"a split decides this flag and the context has no targetingKey"}`},
		{"7 disabled (S2-14)", "dark", `{"context":{"targetingKey":"u"}}`, 200, `{"key":"dark","value":false,"reason":"DISABLED","variant":"off",` + meta + `}}`},
		{"8 disabled without off variant (S2-14)", "legacy", `{"context":{}}`, 200, `{"key":"legacy","reason":"DISABLED",` + meta + `}}`},
		{"9 archived (S2-16)", "hidden", `{}`, 404, `{"key":"hidden","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"9 unknown", "nope", `{}`, 404, `{"key":"nope","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"9 two segments", "a/b", `{}`, 404, `{"key":"a/b","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"9 encoded slash", "a%2Fb", `{}`, 404, `{"key":"a/b","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"9 never cleaned", "x/../banner", `{}`, 404, `{"key":"x/../banner","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"11 empty body object", "banner", `{}`, 200, `{"key":"banner","value":true,"reason":"STATIC","variant":"on",` + meta + `}}`},
		{"members beside the context are ignored", "banner", `{"extra":[1,{"a":2}],"context":{}}`, 200, `{"key":"banner","value":true,"reason":"STATIC","variant":"on",` + meta + `}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, web.URL+"/ofrep/v1/evaluate/flags/"+c.key, c.body)
			require.Equal(t, c.status, a.status, a.body)
			require.Equal(t, c.want, a.body)
			require.Equal(t, []string{"application/json"}, a.header["Content-Type"])
			require.Equal(t, testEpoch, a.header.Get("Hoist-Epoch"))
			require.Equal(t, "42", a.header.Get("Hoist-Revision"))
			require.Equal(t, "0", a.header.Get("Hoist-Age-Ms"))
			require.Equal(t, "no-store", a.header.Get("Cache-Control"))
			require.Equal(t, "Origin", a.header.Get("Vary"))
			require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		})
	}
}

func TestGoldenBadRequests(t *testing.T) {
	web, _ := serve(t, golden(t))
	deep := `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`
	for _, c := range []struct {
		name, body string
		status     int
		code       string
	}{
		{"10 not JSON", `{`, 400, "PARSE_ERROR"},
		{"10 context is a number", `{"context":1}`, 400, "INVALID_CONTEXT"},
		{"10 targeting key is a number", `{"context":{"targetingKey":7}}`, 400, "INVALID_CONTEXT"},
		{"context is null", `{"context":null}`, 400, "INVALID_CONTEXT"},
		{"context is a list", `{"context":[]}`, 400, "INVALID_CONTEXT"},
		{"context is a text that looks like the end", `{"context":"}"}`, 400, "INVALID_CONTEXT"},
		{"empty", ``, 400, "PARSE_ERROR"},
		{"a list", `[]`, 400, "PARSE_ERROR"},
		{"two contexts", `{"context":{},"context":{}}`, 400, "PARSE_ERROR"},
		{"the same attribute twice", `{"context":{"a":1,"a":2}}`, 400, "PARSE_ERROR"},
		{"something follows", `{"context":{}} x`, 400, "PARSE_ERROR"},
		{"another object follows", `{"context":{}}{}`, 400, "PARSE_ERROR"},
		{"deep beside the context", `{"context":{},"x":` + deep + `}`, 400, "PARSE_ERROR"},
		{"deep in the context", `{"context":` + deep + `}`, 400, "PARSE_ERROR"},
		{"long targeting key", `{"context":{"targetingKey":"` + strings.Repeat("k", 513) + `"}}`, 400, "INVALID_CONTEXT"},
		{"15 body of 65 KiB", `{"context":{"a":"` + strings.Repeat("x", 65<<10) + `"}}`, 413, "INVALID_CONTEXT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", c.body)
			require.Equal(t, c.status, a.status, a.body)
			require.Equal(t, c.code, field(t, a.body, "errorCode"))
			require.Equal(t, "banner", field(t, a.body, "key"))
			require.NotEmpty(t, field(t, a.body, "errorDetails"))
		})
	}
	t.Run("bulk errors have no key", func(t *testing.T) {
		a := post(t, web.URL+"/ofrep/v1/evaluate/flags", `{"context":1}`)
		require.Equal(t, 400, a.status)
		require.NotContains(t, field(t, a.body), "key")
	})
	t.Run("12 content type", func(t *testing.T) {
		for media, status := range map[string]int{
			"text/plain": 415, "": 415, "application/jsonx": 415, "application/json; charset=utf-8": 200, "Application/JSON": 200,
		} {
			require.Equal(t, status, post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", `{}`, "Content-Type", media).status, media)
		}
	})
	t.Run("13 method", func(t *testing.T) {
		a := do(t, http.MethodGet, web.URL+"/ofrep/v1/evaluate/flags/banner", "")
		require.Equal(t, 405, a.status)
		require.Equal(t, "POST, OPTIONS", a.header.Get("Allow"))
		a = do(t, http.MethodPost, web.URL+"/ofrep/v1/stream", "")
		require.Equal(t, 405, a.status)
		require.Equal(t, "GET, OPTIONS", a.header.Get("Allow"))
	})
	t.Run("an environment that does not exist", func(t *testing.T) {
		a := post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", `{}`, "X-Hoist-Environment", "nowhere")
		require.Equal(t, 404, a.status)
		require.Contains(t, a.body, "FLAG_NOT_FOUND")
	})
	t.Run("a revision that is not here yet", func(t *testing.T) {
		a := post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", `{}`, "Hoist-Min-Revision", testEpoch+".42")
		require.Equal(t, 200, a.status)
		a = post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", `{}`, "Hoist-Min-Revision", "x.42")
		require.Equal(t, 503, a.status)
		require.Equal(t, "1", a.header.Get("Retry-After"))
	})
}

func TestGoldenBulk(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n)
	url := web.URL + "/ofrep/v1/evaluate/flags"
	user1 := `{"context":{"targetingKey":"user-1"}}`
	first := post(t, url, user1)
	require.Equal(t, 200, first.status)
	e1 := first.header.Get("ETag")
	require.Regexp(t, `^"[A-Za-z0-9_-]{22}"$`, e1)

	t.Run("16 order and form", func(t *testing.T) {
		var keys []string
		for _, item := range field(t, first.body, "flags").([]any) {
			keys = append(keys, item.(map[string]any)["key"].(string))
		}
		require.Equal(t, []string{"banner", "dark", "legacy", "split", "theme"}, keys)
		require.EqualValues(t, 42, field(t, first.body, "metadata", "hoist.revision"))
		stream := field(t, first.body, "eventStreams").([]any)[0].(map[string]any)
		require.Equal(t, "sse", stream["type"])
		require.EqualValues(t, 120, stream["inactivityDelaySec"])
		require.Contains(t, stream["endpoint"].(map[string]any)["requestUri"], "&since="+testEpoch+".42")
		require.Equal(t, first.body, post(t, url+"/", user1).body, "one trailing slash is the same route")
	})
	t.Run("17 not modified", func(t *testing.T) {
		for _, header := range []string{e1, "W/" + e1, `"x", ` + e1, "*", strings.Trim(e1, `"`)} {
			a := post(t, url, user1, "If-None-Match", header)
			require.Equal(t, 304, a.status, header)
			require.Empty(t, a.body)
			require.Equal(t, e1, a.header.Get("ETag"))
			require.Equal(t, "42", a.header.Get("Hoist-Revision"))
		}
	})
	t.Run("18 another context", func(t *testing.T) {
		for _, body := range []string{`{"context":{"targetingKey":"user-2"}}`, `{"context":{"targetingKey":"user-1","plan":"pro"}}`} {
			a := post(t, url, body, "If-None-Match", e1)
			require.Equal(t, 200, a.status)
			require.NotEqual(t, e1, a.header.Get("ETag"))
		}
		a := post(t, url, `{ "context" : {"targetingKey" : "user-1"} }`, "If-None-Match", e1)
		require.Equal(t, 304, a.status, "the same context in another spelling")
	})
	t.Run("19 a change that nobody sees", func(t *testing.T) {
		n.write(t, fsm.PutFlag{Scope: fsm.Scope{Tenant: "default", Environment: "staging"}, Flag: n.flag(t, "banner")})
		require.Equal(t, 304, post(t, url, user1, "If-None-Match", e1).status)
		hidden := n.flag(t, "hidden")
		hidden.Description = "still hidden"
		n.write(t, fsm.PutFlag{Scope: dev, Flag: hidden})
		require.Equal(t, 304, post(t, url, user1, "If-None-Match", e1).status)
	})
	t.Run("21 one flag fails alone", func(t *testing.T) {
		a := post(t, url, `{"context":{}}`)
		require.Equal(t, 200, a.status)
		for _, item := range field(t, a.body, "flags").([]any) {
			item := item.(map[string]any)
			require.Equal(t, item["key"] == "split", item["errorCode"] == "TARGETING_KEY_MISSING", item)
		}
	})
	t.Run("20 a change of theme", func(t *testing.T) {
		receipt := n.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false})
		a := post(t, url, user1, "If-None-Match", e1)
		require.Equal(t, 200, a.status)
		require.NotEqual(t, e1, a.header.Get("ETag"))
		require.EqualValues(t, receipt.Revision, field(t, a.body, "metadata", "hoist.revision"))
	})
	t.Run("an empty environment", func(t *testing.T) {
		n.write(t, fsm.CreateEnvironment{Tenant: "default", Environment: "qa"})
		a := post(t, url, `{}`, "X-Hoist-Environment", "production")
		require.Equal(t, 200, a.status)
		require.Empty(t, field(t, a.body, "flags"))
		require.Contains(t, a.body, `"flags":[]`)
		fresh := post(t, url, `{}`, "X-Hoist-Environment", "production", "If-None-Match", post(t, url, `{}`, "X-Hoist-Environment", "qa").header.Get("ETag"))
		require.Equal(t, 200, fresh.status, "the tag of another environment that looks the same")
	})
}

// flag reads a declared flag of dev.
func (n *node) flag(t testing.TB, key string) *evaluator.Flag {
	t.Helper()
	env, ok := n.store.State().Environment("default", "dev")
	require.True(t, ok)
	record, ok := env.Flag(key)
	require.True(t, ok)
	return record.Flag()
}

func TestGoldenCrossOrigin(t *testing.T) {
	web, _ := serve(t, golden(t))
	url := web.URL + "/ofrep/v1/evaluate/flags/banner"
	t.Run("29 preflight", func(t *testing.T) {
		a := do(t, http.MethodOptions, url, "", "Origin", "http://localhost:5173", "Access-Control-Request-Method", "POST")
		require.Equal(t, 204, a.status)
		require.Equal(t, "http://localhost:5173", a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "POST, GET, OPTIONS", a.header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, "600", a.header.Get("Access-Control-Max-Age"))
		for _, origin := range []string{"https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example"} {
			a = do(t, http.MethodOptions, url, "", "Origin", origin)
			require.Equal(t, 204, a.status)
			require.Empty(t, a.header.Get("Access-Control-Allow-Origin"), origin)
		}
	})
	t.Run("the same on every answer", func(t *testing.T) {
		for _, body := range []string{`{}`, `{`} {
			a := post(t, url, body, "Origin", "http://127.0.0.1:3000")
			require.Equal(t, "http://127.0.0.1:3000", a.header.Get("Access-Control-Allow-Origin"))
			require.Equal(t, "ETag, Retry-After, Hoist-Epoch, Hoist-Revision, Hoist-Age-Ms", a.header.Get("Access-Control-Expose-Headers"))
			require.Empty(t, a.header.Get("Access-Control-Allow-Credentials"))
		}
	})
}
