package transport_test

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport"
)

// evaluations sums hoist_evaluations_total by reason.
func evaluations(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "hoist_evaluations_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "reason" && m.GetCounter().GetValue() > 0 {
					counts[label.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return counts
}

// The first bulk answer of a snapshot is made flag by flag and later ones from a page; nobody can tell which, neither from the
// bodies nor from the counters.
func TestBulkAnswersFromAPageAreTheSame(t *testing.T) {
	n := golden(t)
	n.put(t, `{"key":"rolled","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on","label":"rollout:r1"}}`)
	ask := func(h http.Handler, body string) string {
		r := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		return w.Body.String()
	}
	bodies := []string{`{}`, `{"context":{"targetingKey":"user-1"}}`, `{"context":{"targetingKey":"user-2","country":"FR"}}`, `{"context":{"country":"DE"}}`}
	for round := range 2 {
		warm := prometheus.NewRegistry()
		paged, err := transport.NewCore(transport.Config{Store: n.store, Node: n, Registry: warm, NoAuth: true})
		require.NoError(t, err)
		ask(paged, `{}`)
		ask(paged, `{}`)
		before := evaluations(t, warm)
		for _, body := range bodies {
			registry := prometheus.NewRegistry()
			direct, err := transport.NewCore(transport.Config{Store: n.store, Node: n, Registry: registry, NoAuth: true})
			require.NoError(t, err)
			require.Equal(t, ask(direct, body), ask(paged, body), "round %d, %s", round, body)
			after, want := evaluations(t, warm), evaluations(t, registry)
			for reason, count := range after {
				if count -= before[reason]; count > 0 {
					require.Equal(t, want[reason], count, reason)
				}
			}
			before = after
			require.NoError(t, direct.Close())
		}
		require.NoError(t, paged.Close())
		n.put(t, `{"key":"aaa","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)
	}
}

func TestEnvironmentsTooLargeForAPageAreAnswered(t *testing.T) {
	n := newNode(t)
	value := strings.Repeat("x", 60_000)
	for i := range 80 {
		n.put(t, `{"key":"f`+strconv.Itoa(i)+`","type":"string","enabled":true,"variants":[{"key":"a","value":"`+value+`"}],"default":{"variant":"a"}}`)
	}
	web, _ := serve(t, n)
	for range 3 {
		require.Greater(t, len(post(t, web.URL+"/ofrep/v1/evaluate/flags", `{}`).body), 80*60_000)
	}
}

// FuzzEvaluation holds the encoder of answers against encoding/json: what a definition may contain arrives as it is.
func FuzzEvaluation(f *testing.F) {
	f.Add("key", "on", "rule", "value", "note", "text", 1.5)
	f.Add("a.b", "v", "r", "<\u2028>\"\\\n\x00\x7f\xff", "n", "\xe2\x80", math.MaxFloat64)
	n := newNode(f)
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, key, variant, rule, text, name, note string, number float64) {
		object := evaluator.Object([]evaluator.Attribute{{Name: text, Value: evaluator.Number(number)}, {Name: "n", Value: evaluator.String(note)}})
		flag := &evaluator.Flag{Key: key, Type: evaluator.TypeObject, Enabled: true, Variants: []evaluator.Variant{{Key: variant, Value: &object}},
			Metadata: map[string]evaluator.Value{name: evaluator.String(note)}, Default: &evaluator.Serve{Variant: variant},
			Rules: []evaluator.Rule{{ID: rule, Then: evaluator.Serve{Variant: variant}}}}
		if _, err := evaluator.Compile(flag); err != nil {
			t.Skip("no such flag can be stored")
		}
		n.putFlag(t, flag)
		r := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags/"+strings.ReplaceAll(key, "%", "%25"), strings.NewReader(`{}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code, w.Body)
		var got map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), "%q", w.Body)
		metadata := map[string]any{name: note, "hoist.rule": rule, "hoist.revision": got["metadata"].(map[string]any)["hoist.revision"]}
		want := map[string]any{"key": key, "reason": "TARGETING_MATCH", "variant": variant, "metadata": metadata}
		data, err := json.Marshal(map[string]any{text: number, "n": note})
		require.NoError(t, err)
		var value any
		require.NoError(t, json.Unmarshal(data, &value))
		want["value"] = value
		require.Equal(t, want, got)
	})
}
