package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHistogramCountsEverythingOnce(t *testing.T) {
	times := []time.Duration{500 * time.Nanosecond, time.Microsecond, 90 * time.Microsecond, 100 * time.Microsecond, 3 * time.Second}
	bars := histogram(times)
	total := 0
	for i, b := range bars {
		total += b.Count
		require.True(t, i == 0 || b.UpTo > bars[i-1].UpTo)
	}
	require.Equal(t, len(times), total)
	require.Equal(t, bar{UpTo: 0.001, Count: 2}, bars[0])
	require.Equal(t, 1, bars[len(bars)-1].Count)
	require.GreaterOrEqual(t, bars[len(bars)-1].UpTo, 3000.0)
	require.Empty(t, histogram(nil))
}

func TestPaceSpreadsRequests(t *testing.T) {
	start := time.Now().Add(-time.Second) // all of it is due
	p := &pace{start: start, end: start.Add(time.Second), every: 100 * time.Millisecond}
	count := 0
	for at, ok := p.due(count); ok; at, ok = p.due(count) {
		require.Equal(t, start.Add(time.Duration(count)*100*time.Millisecond), at, "a late request keeps the moment at which it was due")
		count++
	}
	require.Equal(t, 10, count)
}

// Servers of others answer with chunks, with a length or with 304, and under a path of their own.
func TestBenchAsksAnyServer(t *testing.T) {
	alone(t)
	seen := make(chan *http.Request, 10_000)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // as a server does
		select {
		case seen <- r:
		default:
		}
		w.Header().Set("ETag", `"tag"`)
		if r.Header.Get("If-None-Match") == `"tag"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 5000)) // in chunks
	}))
	defer other.Close()
	var answer struct{ Results []measured }
	out := does(t, "bench", "bulk", "--url", other.URL+"/base", "--token", "secret", "--rounds", "1", "--round", "50ms", "--connections", "2", "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.Len(t, answer.Results, 2)
	require.Equal(t, "bulk, not modified", answer.Results[1].Name)
	require.Positive(t, answer.Results[1].PerSecond)
	require.NotEmpty(t, answer.Results[0].Latency)
	r := <-seen
	require.Equal(t, "/base/ofrep/v1/evaluate/flags", r.URL.Path)
	require.Equal(t, "Bearer secret", r.Header.Get("Authorization"))

	refuses(t, exitFailed, "nobody: the server answered HTTP/1.1 401", "bench", "ofrep", "--url", dev(t), "--flag", "nobody", "--token", "hst_no", "--rounds", "1", "--round", "10ms")
	refuses(t, exitUsage, "--url needs --flag", "bench", "ofrep", "--url", other.URL)
	refuses(t, exitUsage, "JSON object", "bench", "ofrep", "--context-json", "[]")
	refuses(t, exitUsage, "--rate not negative", "bench", "ofrep", "--rate", "-1")
}

// The four workloads answer as they are called, through every door.
func TestBenchMeasuresItsOwnNode(t *testing.T) {
	if testing.Short() {
		t.Skip("pumps requests")
	}
	alone(t)
	for _, args := range [][]string{
		{"ofrep", "--compare-baseline", "--rate", "500"}, {"bulk", "--compare-baseline"}, {"connect", "--compare-baseline"},
	} {
		var answer struct{ Results []measured }
		out := does(t, append([]string{"bench"}, append(args, "--rounds", "1", "--round", "50ms", "--connections", "4", "--flags", "20", "-o", "json")...)...)
		require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
		require.GreaterOrEqual(t, len(answer.Results), 4, args)
		for _, m := range answer.Results {
			require.Positive(t, m.PerSecond, m.Name)
			require.Equal(t, m.Name != baseDecode, m.Ratio > 0, m.Name)
		}
	}
}
