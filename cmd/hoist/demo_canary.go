package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// canary is a rollout of the demo with the application it is judged by: users who ask for the flag and, where they get
// the candidate, an application that works or does not.
type canary struct {
	flag     string
	failures float64 // share of failing requests on the candidate
	children []*child
	shop     *storefront
	say      func(string, ...any)

	mu       sync.Mutex
	exposed  map[int]bool // users who ever got the candidate
	lastSeen time.Time    // when somebody last did

	id      string
	rollout *hoistv1.Rollout // as it ended
	err     error
}

const (
	canaryUsers    = 10_000
	canaryRate     = 500 // evaluations per second and flag
	canaryWorkers  = 10
	canaryPatience = 60 * time.Second
)

// canaryPlan is 10/50/100 with background analysis.
const canaryPlan = `kind: RolloutPlan
name: %[1]s
flag: %[1]s
target: {variant: "on"}
steps:
  - setWeight: 10
  - hold: 2s
  - setWeight: 50
  - hold: 2s
  - setWeight: 100
  - hold: 2s
analysis:
  background:
    startingStep: 1
    metrics:
      - name: error-ratio
        interval: 1s
        initialDelay: 1s
        failureCondition: result[0] > 0.05
        prometheus:
          address: %[2]s
          query: shop_error_ratio{hoist_flag="{{args.flag}}",hoist_variant="{{args.cohort}}"}
`

// run creates the flag, starts the rollout and the users, and follows it to its end.
func (c *canary) run(ctx context.Context, a *app) {
	ctx, cancel := context.WithTimeout(ctx, canaryPatience)
	defer cancel()
	c.exposed = map[int]bool{}
	using, stop := context.WithCancel(ctx)
	var users sync.WaitGroup
	defer users.Wait()
	defer stop()
	if c.err = c.start(ctx); c.err != nil {
		return
	}
	client := &http.Client{Timeout: evaluationDeadline, Transport: &http.Transport{MaxIdleConnsPerHost: canaryWorkers}}
	defer client.CloseIdleConnections()
	for w := range canaryWorkers {
		users.Go(func() { c.use(using, client, w) })
	}
	c.say("canary %s started: 10 %%, 50 %%, 100 %%", c.id)
	told := uint64(0)
	for turn := 0; ctx.Err() == nil; turn++ {
		n := c.children[turn%len(c.children)].node
		err := a.follow(ctx, n, c.id, func(r *hoistv1.Rollout) bool {
			c.rollout = r
			for _, e := range r.GetEvents() {
				if e.GetSeq() > told {
					told = e.GetSeq()
					c.say("canary %s: %s at %s%s", c.flag, e.GetKind(), share(e.GetWeight()), because(e))
				}
			}
			return true
		})
		if err == nil {
			break
		}
	}
	if c.rollout.GetEndedAt() == nil {
		c.err = errors.Join(c.err, ctx.Err())
	}
	sleepUntil(ctx, time.Now().Add(time.Second)) // the last clients
}

func because(e *hoistv1.RolloutEvent) string {
	if e.GetKind() == "rolled_back" {
		return ": " + e.GetWhy()
	}
	return ""
}

// start makes the flag, dark, and begins the rollout; the leader may die meanwhile.
func (c *canary) start(ctx context.Context) error {
	n := c.children[0].node
	trier := &app{stdout: io.Discard, stderr: io.Discard, timeout: 20 * time.Second}
	flag := &hoistv1.Flag{Key: c.flag, Type: "boolean", Enabled: true, Off: "off", Owner: "demo",
		Variants: []*hoistv1.Variant{{Key: "on", Value: structpb.NewBoolValue(true)}, {Key: "off", Value: structpb.NewBoolValue(false)}}, Default: &hoistv1.Serve{Variant: "off"}}
	w := &writing{comment: "a canary of the demo"}
	if _, err := send(ctx, trier, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.Put(ctx, &hoistv1.PutFlagRequest{Environment: defaultEnvironment, Flag: flag, Write: o})
	}); err != nil {
		return err
	}
	done, err := send(ctx, trier, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.StartRolloutResponse, error) {
		return n.rollouts.Start(ctx, &hoistv1.StartRolloutRequest{Environment: defaultEnvironment,
			Plan: fmt.Sprintf(canaryPlan, c.flag, c.shop.address()), Write: o})
	})
	c.id = done.GetRollout().GetId()
	return err
}

// use is one part of the users, who ask in turn until ctx ends.
func (c *canary) use(ctx context.Context, client *http.Client, worker int) {
	next := time.Now()
	for turn := worker; sleepUntil(ctx, next); turn += canaryWorkers {
		next = next.Add(canaryWorkers * time.Second / canaryRate)
		user := rand.IntN(canaryUsers)
		variant, err := c.evaluate(ctx, client, turn, user)
		if err != nil {
			continue // the next user asks the next node
		}
		failing := 0.002
		if variant == "on" {
			failing = c.failures
			c.mu.Lock()
			c.exposed[user], c.lastSeen = true, time.Now()
			c.mu.Unlock()
		}
		c.shop.served(c.flag, variant, rand.Float64() < failing)
	}
}

func (c *canary) evaluate(ctx context.Context, client *http.Client, turn, user int) (string, error) {
	body := fmt.Sprintf(`{"context":{"targetingKey":"customer-%d"}}`, user)
	node := c.children[turn%len(c.children)]
	base := node.node.base
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/ofrep/v1/evaluate/flags/"+c.flag, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+node.evaluates)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // read to its end below
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	var answer struct {
		Variant string `json:"variant"`
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.Variant == "" {
		return "", errors.Join(err, fmt.Errorf("%s gave no variant", base))
	}
	return answer.Variant, nil
}

// canaryResult is what a canary came to.
type canaryResult struct {
	Rollout     string  `json:"rollout"`
	Phase       string  `json:"phase"`
	Cause       string  `json:"cause,omitempty"`
	SharePct    float64 `json:"sharePercent"`         // of the users who ever saw the candidate
	StepPct     float64 `json:"stepPercent"`          // the largest weight it had
	WithdrawnMs float64 `json:"withdrawnMs,omitzero"` // from the first bad sample to the last client back on stable
}

func (c *canary) result() canaryResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := canaryResult{Rollout: c.id, Phase: c.rollout.GetPhase(), Cause: c.rollout.GetCause(),
		SharePct: 100 * float64(len(c.exposed)) / canaryUsers}
	for _, e := range c.rollout.GetEvents() {
		out.StepPct = max(out.StepPct, e.GetWeight())
	}
	c.shop.mu.Lock()
	defer c.shop.mu.Unlock()
	if bad, ok := c.shop.firstBad[c.flag]; ok && out.Phase == "rolled_back" {
		out.WithdrawnMs = float64(max(0, c.lastSeen.Sub(bad)).Microseconds()) / 1000
	}
	return out
}

// canaryRoom is how far the measured share of users may be above the step's weight, in points.
const canaryRoom = 0.5

// breach says what is wrong with the canaries; "" when both did as they should.
func (r *result) breach() string {
	var wrong []string
	if r.Healthy.Phase != "completed" {
		wrong = append(wrong, "the healthy canary is "+orNothing(r.Healthy.Phase)+" instead of completed "+r.Healthy.Cause)
	}
	if r.Poisoned.Phase != "rolled_back" {
		wrong = append(wrong, "the poisoned canary is "+orNothing(r.Poisoned.Phase)+" instead of rolled back")
	}
	if r.Poisoned.SharePct > r.Poisoned.StepPct+canaryRoom {
		wrong = append(wrong, fmt.Sprintf("%.2f %% of the users saw the poisoned variant, which had %g %%", r.Poisoned.SharePct, r.Poisoned.StepPct))
	}
	return strings.Join(wrong, "; ")
}

func orNothing(phase string) string {
	if phase == "" {
		return "not started"
	}
	return phase
}
