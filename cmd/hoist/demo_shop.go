package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// storefront is the application of the demo's canaries: it counts the requests it answers, by flag, variant and outcome, and
// answers the one query the plans ask, in the form of Prometheus's API, so that the demo needs no Prometheus server. The
// counters are those an application would export; the ratio is over the last seconds.
type storefront struct {
	listener net.Listener
	server   *http.Server
	form     *regexp.Regexp // of the query
	mu       sync.Mutex
	seconds  map[shopKey]shopCount
	firstBad map[string]time.Time // per flag: when the candidate first failed
}

type shopKey struct {
	flag, variant string
	second        int64
}

type shopCount struct{ requests, errors int }

const shopWindow = 3 // seconds that a ratio covers

func openStorefront() (*storefront, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the demo's metrics cannot be served: %w", err)
	}
	s := &storefront{listener: listener, seconds: map[shopKey]shopCount{}, firstBad: map[string]time.Time{},
		form: regexp.MustCompile(`^shop_error_ratio\{hoist_flag="([^"]+)",hoist_variant="([^"]+)"\}$`)}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/query", s.query)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // ends with close
	return s, nil
}

func (s *storefront) close() error { return s.server.Close() }

func (s *storefront) address() string { return "http://" + s.listener.Addr().String() }

// served notes one request of the shop.
func (s *storefront) served(flag, variant string, failed bool) {
	key := shopKey{flag, variant, time.Now().Unix()}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.seconds[key]
	c.requests++
	if failed {
		c.errors++
		if _, known := s.firstBad[flag]; !known && variant == "on" {
			s.firstBad[flag] = time.Now()
		}
	}
	s.seconds[key] = c
}

// ratio is the share of failed requests in the window; false: there was no request.
func (s *storefront) ratio(flag, variant string) (float64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum shopCount
	for second := time.Now().Unix(); second > time.Now().Unix()-shopWindow; second-- {
		c := s.seconds[shopKey{flag, variant, second}]
		sum.requests += c.requests
		sum.errors += c.errors
	}
	if sum.requests == 0 {
		return 0, false
	}
	return float64(sum.errors) / float64(sum.requests), true
}

// query answers like Prometheus: a vector of one sample, or an empty one.
func (s *storefront) query(w http.ResponseWriter, r *http.Request) {
	match := s.form.FindStringSubmatch(r.FormValue("query"))
	w.Header().Set("Content-Type", "application/json")
	if match == nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"the demo answers shop_error_ratio{hoist_flag=…,hoist_variant=…} only"}`)
		return
	}
	type sample struct {
		Metric map[string]string `json:"metric"`
		Value  [2]any            `json:"value"`
	}
	samples := []sample{}
	if share, ok := s.ratio(match[1], match[2]); ok {
		samples = append(samples, sample{map[string]string{"hoist_flag": match[1], "hoist_variant": match[2]},
			[2]any{float64(time.Now().UnixMilli()) / 1000, fmt.Sprintf("%.6f", share)}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": samples}}) // the asker has gone
}
