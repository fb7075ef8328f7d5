// Package prometheus answers metrics from a Prometheus server by instant queries.
//
// Invariant: an error is an answer nobody has; an empty vector is an answer that says there is nothing. The two are never
// mixed, and redirects are refused, because a metric must come from where the plan says.
//
//	source := prometheus.New()
//	answer, err := source.Query(ctx, rollout.Query{Address: "http://127.0.0.1:9090", Text: `sum(rate(errors_total[1m]))`})
//	if err == nil {
//		fmt.Println(answer.Value) // []float64{0.25}
//	}
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	apiv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/hoistflags/hoist/rollout"
)

// Source is a rollout.Source. It keeps one client per address and is safe for concurrent use.
type Source struct {
	next    http.RoundTripper
	mu      sync.Mutex
	clients map[string]apiv1.API
}

// New makes a source. Queries are bounded by their context.
func New() *Source {
	transport := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: time.Minute}
	return &Source{next: direct{transport}, clients: map[string]apiv1.API{}}
}

// direct refuses redirects: the client of the API would follow them.
type direct struct{ next http.RoundTripper }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := d.next.RoundTrip(r)
	if err == nil && response.StatusCode/100 == 3 {
		closed := response.Body.Close()
		return nil, errors.Join(fmt.Errorf("it redirects to %q; name the address that answers", response.Header.Get("Location")), closed)
	}
	return response, err
}

// Query asks for the value now: []float64 for a vector, float64 for a scalar.
func (s *Source) Query(ctx context.Context, q rollout.Query) (rollout.Answer, error) {
	client, err := s.client(q.Address)
	if err != nil {
		return rollout.Answer{}, err
	}
	value, _, _, err := client.Query(ctx, q.Text, time.Now())
	if err != nil {
		return rollout.Answer{}, fmt.Errorf("prometheus %s: %w", q.Address, err)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return rollout.Answer{}, fmt.Errorf("prometheus %s: keep the answer: %w", q.Address, err)
	}
	switch v := value.(type) {
	case *model.Scalar:
		return rollout.Answer{Value: float64(v.Value), Raw: raw}, nil
	case model.Vector:
		return rollout.Answer{Value: valuesOf(v), Raw: raw}, nil
	}
	return rollout.Answer{}, fmt.Errorf("prometheus %s: the query gives a %s; it must give a vector or a scalar", q.Address, value.Type())
}

func valuesOf(v model.Vector) []float64 {
	list := make([]float64, 0, len(v))
	for _, sample := range v {
		list = append(list, float64(sample.Value))
	}
	return list
}

// Read gives the value of an answer that Query kept.
func Read(raw []byte) (any, error) {
	vector := model.Vector{}
	if json.Unmarshal(raw, &vector) == nil {
		return valuesOf(vector), nil
	}
	scalar := &model.Scalar{}
	if err := json.Unmarshal(raw, scalar); err != nil {
		return nil, fmt.Errorf("this is neither a vector nor a scalar: %w", err)
	}
	return float64(scalar.Value), nil
}

func (s *Source) client(address string) (apiv1.API, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client, ok := s.clients[address]; ok {
		return client, nil
	}
	c, err := api.NewClient(api.Config{Address: address, RoundTripper: s.next})
	if err != nil {
		return nil, fmt.Errorf("prometheus %s: %w", address, err)
	}
	if len(s.clients) >= 256 { // addresses with arguments inside
		clear(s.clients)
	}
	s.clients[address] = apiv1.NewAPI(c)
	return s.clients[address], nil
}
