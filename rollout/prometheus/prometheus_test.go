package prometheus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/rollout"
	"github.com/hoistflags/hoist/rollout/prometheus"
)

func fake(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("query") != "q" {
			t.Errorf("asked %q", r.FormValue("query"))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const vector = `{"status":"success","data":{"resultType":"vector","result":[%s]}}`

func TestAnswersBecomeValues(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want any
	}{
		"a vector":        {fmt.Sprintf(vector, `{"metric":{},"value":[1,"0.25"]},{"metric":{"a":"b"},"value":[1,"3"]}`), []float64{0.25, 3}},
		"an empty vector": {fmt.Sprintf(vector, ""), []float64{}},
		"a scalar":        {`{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}`, 7.0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := prometheus.New().Query(t.Context(), rollout.Query{Address: fake(t, 200, c.body), Text: "q"})
			require.NoError(t, err)
			require.Equal(t, c.want, got.Value)
			require.NotEmpty(t, got.Raw)
		})
	}
}

// An error is an answer nobody has: it is never taken for an empty one.
func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	for name, address := range map[string]string{
		"garbage":     fake(t, 200, "<html>"),
		"a bad query": fake(t, 400, `{"status":"error","errorType":"bad_data","error":"parse error"}`),
		"a 500":       fake(t, 500, `oops`),
		"a redirect":  fake(t, 302, ``),
		"a matrix":    fake(t, 200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`),
		"nobody":      "http://127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := prometheus.New().Query(t.Context(), rollout.Query{Address: address, Text: "q"})
			require.Error(t, err)
			require.Nil(t, got.Value)
		})
	}
	ended := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	defer slow.Close()
	defer close(ended)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := prometheus.New().Query(ctx, rollout.Query{Address: slow.URL, Text: "q"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
