package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/rollout"
	"github.com/hoistflags/hoist/rollout/web"
)

func TestPathsSelectFromTheAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":{"ok":true,"list":[{"rate":0.25}],"a b":"text","none":null}}`)
	}))
	defer s.Close()
	for path, want := range map[string]any{
		"$.data.ok": true, "{$.data.list[0].rate}": 0.25, "$['data']['a b']": "text", "$.data.none": nil, "$.data.gone.deep": nil, "$.data.list[7]": nil,
	} {
		got, err := web.New().Query(t.Context(), rollout.Query{Address: s.URL, JSONPath: path})
		require.NoError(t, err, path)
		require.Equal(t, want, got.Value, path)
	}
}

func TestTheTokenComesFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.Header.Get("Authorization"))
	}))
	defer s.Close()
	got, err := web.New().Query(t.Context(), rollout.Query{Address: s.URL, BearerTokenFile: file})
	require.NoError(t, err)
	require.Equal(t, "Bearer secret", got.Value)
	_, err = web.New().Query(t.Context(), rollout.Query{Address: s.URL, BearerTokenFile: file + "x"})
	require.ErrorContains(t, err, "bearerTokenFile")
}

func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) },
		"a 500":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"garbage":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"two values": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "1 2") },
		"too large":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%q", strings.Repeat("x", 2<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(handler)
			defer s.Close()
			_, err := web.New().Query(t.Context(), rollout.Query{Address: s.URL})
			require.Error(t, err)
		})
	}
}
