package transport_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport"
)

// FuzzBody compares the quick reading of a body with the strict one: both accept the same bodies.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"context":{}}`, ` { "context" : {"targetingKey":"u"} } `, `{"context":{},"x":1}`, `{"context":{}}}`, `{"context":"}"}`,
		`{"context":{"a":1},"context":{}}`, `{"context":{}},{"context":{}}`, `{"context":{"a":{"b":[1,2]}}}`, `{"context"{}}`,
	} {
		f.Add(seed)
	}
	n := golden(f)
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags/banner", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		require.Contains(t, []int{200, 400, 413}, w.Code)
		var envelope map[string]jsontext.Value
		accepted := json.Unmarshal([]byte(body), &envelope) == nil && envelope != nil
		if raw, has := envelope["context"]; accepted && has {
			accepted = evaluator.ParseContext(raw, new(evaluator.Context)) == nil
		}
		if w.Code == 200 {
			require.True(t, accepted, "%q", body)
		} else if accepted {
			require.Contains(t, w.Body.String(), "deeper", "%q: %s", body, w.Body)
		}
	})
}
