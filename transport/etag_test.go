package transport_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
)

// Equal tags mean equal bodies, whatever happens between two requests: changes of flags and segments, other contexts and
// environments, time.
func TestEqualTagsMeanEqualBodies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			n := golden(t)
			server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
			require.NoError(t, err)
			defer server.Close()
			bodies := map[string]string{}
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				switch rapid.IntRange(0, 6).Draw(rt, "step") {
				case 0:
					n.write(t, fsm.SetEnabled{Scope: dev, Key: rapid.SampledFrom([]string{"theme", "banner", "split", "hidden"}).Draw(rt, "flag"), Enabled: rapid.Bool().Draw(rt, "on")})
				case 1:
					n.write(t, fsm.PutSegment{Scope: dev, Segment: &evaluator.Segment{Key: "s", Include: []string{rapid.SampledFrom([]string{"u1", "u2"}).Draw(rt, "member")}}})
				case 2:
					time.Sleep(time.Duration(rapid.IntRange(1, 30).Draw(rt, "minutes")) * time.Minute)
				}
				attributes := map[string]any{}
				for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"targetingKey", "country", "a", "b"}), 0, 4, rapid.ID).Draw(rt, "names") {
					attributes[name] = rapid.SampledFrom([]string{"FR", "user-1", "user-2", ""}).Draw(rt, "value")
				}
				body, err := json.Marshal(map[string]any{"context": attributes})
				require.NoError(t, err)
				r := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags", bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Hoist-Environment", rapid.SampledFrom([]string{"dev", "staging"}).Draw(rt, "environment"))
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				require.Equal(t, 200, w.Code)
				tag := w.Header().Get("ETag")
				if before, ok := bodies[tag]; ok {
					require.Equal(t, before, w.Body.String())
				}
				bodies[tag] = w.Body.String()
			}
		})
	})
}

func TestCompressedRequestsAreBoundedAfterDecompression(t *testing.T) {
	web, _ := serve(t, golden(t))
	zip := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return b.String()
	}
	url := web.URL + "/ofrep/v1/evaluate/flags/banner"
	require.Equal(t, 200, post(t, url, zip(`{"context":{}}`), "Content-Encoding", "gzip").status)
	require.Equal(t, 200, post(t, url, zip(`{"context":{}}`), "Content-Encoding", "gzip").status, "the decompressor is used again")
	bomb := zip(`{"context":{"a":"` + strings.Repeat("x", 10<<20) + `"}}`)
	require.Less(t, len(bomb), 64<<10)
	require.Equal(t, 413, post(t, url, bomb, "Content-Encoding", "gzip").status)
	require.Equal(t, 400, post(t, url, `{}`, "Content-Encoding", "gzip").status)
	require.Equal(t, 415, post(t, url, `{}`, "Content-Encoding", "br").status)
}
