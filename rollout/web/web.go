// Package web answers metrics from any JSON endpoint.
//
// Invariant: only a 2xx answer with one JSON value counts; what a path does not find is no data, everything else is an
// error. Redirects are refused, because a token must not travel on.
//
//	source := web.New()
//	answer, err := source.Query(ctx, rollout.Query{Address: "http://127.0.0.1:8080/health", JSONPath: "$.errors.rate"})
//	if err == nil {
//		fmt.Println(answer.Value) // 0.25
//	}
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hoistflags/hoist/rollout"
)

// Source is a rollout.Source, safe for concurrent use.
type Source struct{ client *http.Client }

// New makes a source. Queries are bounded by their context.
func New() *Source {
	return &Source{client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// maxAnswer is the most bytes an answer may have.
const maxAnswer = 1 << 20

// Query gets the endpoint and selects the value.
func (s *Source) Query(ctx context.Context, q rollout.Query) (rollout.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.Address, nil)
	if err != nil {
		return rollout.Answer{}, fmt.Errorf("web: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if q.BearerTokenFile != "" {
		token, err := os.ReadFile(q.BearerTokenFile)
		if err != nil {
			return rollout.Answer{}, fmt.Errorf("web: bearerTokenFile: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	raw, err := s.get(request)
	if err != nil {
		return rollout.Answer{}, err
	}
	selected, err := Read(raw, q.JSONPath)
	if err != nil {
		err = fmt.Errorf("web %s: %w", request.URL.Redacted(), err)
	}
	return rollout.Answer{Value: selected, Raw: raw}, err
}

// Read selects the value in an answer.
func Read(raw []byte, path string) (any, error) {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, fmt.Errorf("the answer is no JSON: %w", err)
	}
	return rollout.Select(value, path)
}

func (s *Source) get(request *http.Request) (raw []byte, err error) {
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("web %s: it answers %s", request.URL.Redacted(), response.Status)
	}
	var body bytes.Buffer
	if n, err := io.Copy(&body, io.LimitReader(response.Body, maxAnswer+1)); err != nil || n > maxAnswer {
		return nil, errors.Join(fmt.Errorf("web %s: the answer is cut off or larger than 1 MiB", request.URL.Redacted()), err)
	}
	return body.Bytes(), nil
}
