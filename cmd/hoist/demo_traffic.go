package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// evaluationDeadline is how long an application waits for an answer of any node before the evaluation counts as failed.
const evaluationDeadline = 2 * time.Second

// traffic evaluates flags over OFREP at a fixed rate, as the applications of the shop would: keep-alive connections to
// all nodes, and the next node when one does not answer.
type traffic struct {
	children []*child
	client   *http.Client
	rate     int
	workers  int
	patience time.Duration // evaluationDeadline

	done     atomic.Int64 // evaluations that got an answer or failed
	failed   atomic.Int64
	backward atomic.Int64
	perNode  []atomic.Int64

	mu    sync.Mutex
	first string // what the first failure was
}

func newTraffic(children []*child, rate int) *traffic {
	return &traffic{
		children: children, rate: rate, workers: min(32, max(1, rate/20)), patience: evaluationDeadline, perNode: make([]atomic.Int64, len(children)),
		client: &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
			MaxIdleConnsPerHost: 64,
		}},
	}
}

// question is one evaluation the shop asks again and again.
type question struct {
	key  string
	body []byte
}

func shopQuestions() []question {
	var all []question
	for user := range 50 {
		body := fmt.Sprintf(`{"context":{"targetingKey":"user-%d","plan":"%s","country":"%s","app_version":"3.%d.0","screen_width":%d,"shop_id":"shop-%d"}}`,
			user, []string{"free", "pro", "team"}[user%3], []string{"DE", "FR", "US", "PL"}[user%4], user%5, 800+100*(user%10), user%20)
		for _, key := range []string{"new-checkout", "banner-text", "buy-button", "search-page", "supplier-limit", "checkout.timeout"} {
			all = append(all, question{key, []byte(body)})
		}
	}
	return all
}

// run asks until ctx ends. The pace is a timetable: a worker that was held up catches up, so the rate is kept.
func (t *traffic) run(ctx context.Context) {
	var workers sync.WaitGroup
	questions := shopQuestions()
	interval := time.Duration(t.workers) * time.Second / time.Duration(t.rate)
	for w := range t.workers {
		workers.Go(func() {
			next := time.Now().Add(interval * time.Duration(w) / time.Duration(t.workers))
			for i := w; ; i += t.workers {
				if !sleepUntil(ctx, next) {
					return
				}
				t.ask(ctx, questions[i%len(questions)], i)
				next = next.Add(interval)
			}
		})
	}
	workers.Wait()
	t.client.CloseIdleConnections()
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ask gets one answer, from the next node when one cannot be reached. The evaluation fails when no node has answered
// within the deadline.
func (t *traffic) ask(ctx context.Context, q question, turn int) {
	limited, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	var err error
	for attempt := 0; limited.Err() == nil; attempt++ {
		index := (turn + attempt) % len(t.children)
		wrong := t.askNode(limited, index, q)
		if wrong == nil {
			t.done.Add(1)
			t.perNode[index].Add(1)
			return
		}
		if err == nil || limited.Err() == nil { // that the time was up says less than what was answered before
			err = wrong
		}
		if attempt >= len(t.children)-1 && !sleepUntil(limited, time.Now().Add(10*time.Millisecond)) {
			break
		}
	}
	if ctx.Err() != nil {
		return // the demo is over; nobody waits for this answer
	}
	t.done.Add(1)
	t.failed.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == "" {
		t.first = fmt.Sprintf("flag %s: %v", q.key, err)
	}
}

// askNode evaluates at one node and checks that the node never answers from an older state than before.
func (t *traffic) askNode(ctx context.Context, index int, q question) error {
	c := t.children[index]
	life, before := c.lives.Load(), c.highest.Load()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.node.base+"/ofrep/v1/evaluate/flags/"+q.key, bytes.NewReader(q.body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.evaluates != "" {
		request.Header.Set("Authorization", "Bearer "+c.evaluates)
	}
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // read to its end below
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered HTTP %d", c.name, response.StatusCode)
	}
	revision, err := strconv.ParseUint(response.Header.Get("Hoist-Revision"), 10, 64)
	if err != nil {
		return fmt.Errorf("%s sent no revision: %w", c.name, err)
	}
	if c.lives.Load() != life {
		return nil // another process has taken over in between; its revisions are its own
	}
	if revision < before {
		t.backward.Add(1)
	}
	raise(&c.highest, revision)
	return nil
}

// raise makes v at least to.
func raise(v *atomic.Uint64, to uint64) {
	for now := v.Load(); now < to && !v.CompareAndSwap(now, to); now = v.Load() {
	}
}
