package transport_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const flagBody = `{"key":"checkout","type":"boolean","enabled":true,"tags":["shop"],"owner":"payments",
	"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`

func keysOf(t *testing.T, body string) []string {
	t.Helper()
	var list struct{ Items []struct{ Key string } }
	require.NoError(t, json.Unmarshal([]byte(body), &list), body)
	out := []string{}
	for _, item := range list.Items {
		out = append(out, item.Key)
	}
	return out
}

func TestFlagsOverREST(t *testing.T) {
	web, _ := serve(t, newNode(t))
	flags := web.URL + "/api/v1/config/feature-flags"

	got := post(t, flags+"?environment=dev", flagBody)
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.Equal(t, "/api/v1/config/feature-flags/checkout", got.header.Get("Location"))
	require.Equal(t, `"2"`, got.header.Get("ETag"))
	require.Equal(t, "2", got.header.Get("Hoist-Revision"))
	require.Equal(t, testEpoch, got.header.Get("Hoist-Epoch"))
	require.NotEmpty(t, got.header.Get("Idempotency-Key"))
	require.EqualValues(t, 2, field(t, got.body, "revision"))
	require.Equal(t, testEpoch, field(t, got.body, "epoch"))

	got = post(t, flags, flagBody)
	require.Equal(t, http.StatusConflict, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	require.Equal(t, "EXISTS", field(t, got.body, "code"))

	got = do(t, "GET", flags+"/checkout", "")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "payments", field(t, got.body, "owner"))
	etag := got.header.Get("ETag")

	changed := strings.Replace(got.body, `"owner":"payments"`, `"owner":"web"`, 1)
	put := do(t, "PUT", flags+"/checkout", changed, "If-Match", etag)
	require.Equal(t, http.StatusOK, put.status, "what was read can be sent back: %s", put.body)
	require.Equal(t, "web", field(t, put.body, "owner"))
	put = do(t, "PUT", flags+"/checkout", changed, "If-Match", etag)
	require.Equal(t, http.StatusPreconditionFailed, put.status)
	require.Equal(t, "PRECONDITION_FAILED", field(t, put.body, "code"))
	put = do(t, "PUT", flags+"/checkout", flagBody, "If-None-Match", "*")
	require.Equal(t, http.StatusPreconditionFailed, put.status)

	require.Equal(t, true, field(t, do(t, "GET", flags+"/checkout/enabled", "").body, "enabled"))
	require.Equal(t, true, field(t, post(t, flags+"/checkout/evaluate", `{"context":{"targetingKey":"u"}}`).body, "value"))
	require.Equal(t, http.StatusNotFound, post(t, flags+"/none/evaluate", `{}`).status)

	require.Equal(t, http.StatusOK, post(t, flags+"/checkout/kill", `{"reason":"errors"}`).status)
	require.Equal(t, true, field(t, do(t, "GET", flags+"/checkout", "").body, "killed"))
	require.Equal(t, http.StatusOK, post(t, flags+"/checkout/unkill", ``).status)

	require.Equal(t, http.StatusOK, do(t, "DELETE", flags+"/checkout", "").status)
	require.Equal(t, http.StatusNotFound, do(t, "GET", flags+"/checkout", "").status)
	require.Equal(t, http.StatusNotFound, do(t, "DELETE", flags+"/checkout", "").status)
}

// S0-13: toggled over REST; that it arrives everywhere is seen in the stock clients' test of the conformance module
func TestToggleHappensOncePerKey(t *testing.T) {
	web, _ := serve(t, newNode(t))
	flags := web.URL + "/api/v1/config/feature-flags"
	post(t, flags, flagBody)
	first := post(t, flags+"/checkout/toggle", "", "Idempotency-Key", "k1")
	require.NotContains(t, first.body, `"enabled":true`)
	again := post(t, flags+"/checkout/toggle", "", "Idempotency-Key", "k1")
	require.Equal(t, "true", again.header.Get("Idempotent-Replay"))
	require.Equal(t, first.body, again.body)
	require.Contains(t, post(t, flags+"/checkout/toggle", "", "Idempotency-Key", "k2").body, `"enabled":true`)
	require.Contains(t, post(t, flags+"/checkout/toggle", `{"enabled":true}`).body, `"enabled":true`)

	require.Equal(t, http.StatusUnprocessableEntity, post(t, flags+"/checkout/toggle", `{"enabled":true}`, "Idempotency-Key", "k1").status,
		"one key is one request")
}

func TestListsPageWhileFlagsChange(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n)
	flags := web.URL + "/api/v1/config/feature-flags"
	for i := range 10 {
		require.Equal(t, 201, post(t, flags, strings.Replace(flagBody, "checkout", fmt.Sprintf("flag-%d", i), 1)).status)
	}
	page := do(t, "GET", flags+"?limit=4", "")
	require.Equal(t, []string{"flag-0", "flag-1", "flag-2", "flag-3"}, keysOf(t, page.body))
	do(t, "DELETE", flags+"/flag-3", "")
	do(t, "DELETE", flags+"/flag-5", "")
	post(t, flags, strings.Replace(flagBody, "checkout", "flag-00", 1))
	page = do(t, "GET", flags+"?limit=4&cursor="+field(t, page.body, "nextCursor").(string), "")
	require.Equal(t, []string{"flag-4", "flag-6", "flag-7", "flag-8"}, keysOf(t, page.body), "nothing twice, nothing missed")

	require.Equal(t, []string{"flag-7"}, keysOf(t, do(t, "GET", flags+"?key=*-7", "").body))
	require.Empty(t, keysOf(t, do(t, "GET", flags+"?owner=nobody", "").body))
	require.Len(t, keysOf(t, do(t, "GET", flags+"/tag/shop", "").body), 9)
	require.Empty(t, keysOf(t, do(t, "GET", flags+"?enabled=false", "").body))
	require.Equal(t, 400, do(t, "GET", flags+"?enabled=maybe", "").status)
	require.Equal(t, 400, do(t, "GET", flags+"?limit=0", "").status)
	require.Equal(t, 404, do(t, "GET", flags+"?environment=moon", "").status)
	require.Equal(t, 503, do(t, "GET", flags+"?minRevision=99999", "").status)
}

func TestConfigsOverREST(t *testing.T) {
	web, _ := serve(t, newNode(t))
	configs := web.URL + "/api/v1/config/configs"
	require.Equal(t, 201, post(t, configs, `{"key":"query.timeout","value":"180s"}`).status)
	first := do(t, "GET", configs+"/query.timeout", "")
	require.Equal(t, "180s", field(t, first.body, "value"))
	require.Equal(t, "string", field(t, first.body, "type"))
	require.Equal(t, 404, do(t, "GET", web.URL+"/api/v1/config/feature-flags/query.timeout", "").status, "a config is no feature flag")
	require.Equal(t, 200, do(t, "PUT", configs+"/query.timeout", `{"value":"120s"}`).status)

	var versions struct {
		Items []struct {
			Version uint64
			Value   struct{ Value string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(do(t, "GET", configs+"/query.timeout/versions", "").body), &versions))
	require.Len(t, versions.Items, 2)
	require.Equal(t, "180s", versions.Items[1].Value.Value)
	diff := do(t, "GET", fmt.Sprintf("%s/query.timeout/versions/diff?from=%d&to=%d", configs, versions.Items[1].Version, versions.Items[0].Version), "")
	require.Contains(t, diff.body, `flag query.timeout: value \"180s\" → \"120s\"`)
	require.Equal(t, 400, do(t, "GET", configs+"/query.timeout/versions/diff", "").status)
	back := post(t, configs+"/query.timeout/rollback", fmt.Sprintf(`{"version":%d}`, versions.Items[1].Version))
	require.Equal(t, 200, back.status, back.body)
	require.Equal(t, "180s", field(t, back.body, "value"))

	exported := do(t, "GET", configs+"/export", "")
	require.Equal(t, []string{"query.timeout"}, keysOf(t, exported.body))
	imported := post(t, configs+"/import", `{"items":[{"key":"query.timeout","value":"1s"},{"key":"limit","value":5}]}`)
	require.EqualValues(t, 2, field(t, imported.body, "changed"), imported.body)
	require.EqualValues(t, 5, field(t, do(t, "GET", configs+"/limit", "").body, "value"))
}

func TestSegmentsAndEnvironmentsOverREST(t *testing.T) {
	web, _ := serve(t, newNode(t))
	base := web.URL + "/api/v1/config"
	require.Equal(t, 201, do(t, "PUT", base+"/segments/beta", `{"include":["user-7"]}`).status)
	require.Equal(t, "user-7", field(t, do(t, "GET", base+"/segments/beta", "").body, "include").([]any)[0])
	require.Equal(t, []string{"beta"}, keysOf(t, do(t, "GET", base+"/segments", "").body))
	require.Equal(t, 200, do(t, "DELETE", base+"/segments/beta", "").status)

	require.Equal(t, []string{"dev", "staging", "production"}, keysOf(t, do(t, "GET", base+"/environments", "").body))
	require.Equal(t, 201, post(t, base+"/environments", `{"key":"qa","name":"Quality"}`).status)
	require.Equal(t, "Quality", field(t, do(t, "GET", base+"/environments/qa", "").body, "name"))
	require.Equal(t, 409, post(t, base+"/environments", `{"key":"qa"}`).status)
	require.Equal(t, 404, do(t, "GET", base+"/environments/none", "").status)
}

func TestWhatIsWrongWithABodyIsNamed(t *testing.T) {
	web, _ := serve(t, newNode(t))
	flags := web.URL + "/api/v1/config/feature-flags"
	got := post(t, flags, `{"key":"a","type":"boolean","colour":"red"}`)
	require.Equal(t, 400, got.status)
	require.Contains(t, got.body, "colour")
	got = post(t, flags, `{"key":"a","type":"boolean"}`)
	require.Equal(t, 422, got.status)
	require.Contains(t, got.body, `"field":"/default"`)
	require.Equal(t, 400, post(t, flags, `[1]`).status)
	require.Equal(t, 400, post(t, flags, `{"key":`).status)
	require.Equal(t, 413, post(t, flags, strings.Repeat(" ", 2<<20)).status)
	require.Equal(t, 422, do(t, "PUT", flags+"/b", flagBody).status, "another key than the path's")
	require.Equal(t, 400, do(t, "PUT", flags+"/checkout", flagBody, "If-Match", "new").status)
	require.Equal(t, 400, post(t, flags, flagBody, "Idempotency-Key", strings.Repeat("k", 65)).status)
	require.Empty(t, keysOf(t, do(t, "GET", flags, "").body), "nothing of this was stored")
	require.Equal(t, 200, post(t, flags+"?dryRun=true", flagBody).status)
	require.Empty(t, keysOf(t, do(t, "GET", flags, "").body))
}
