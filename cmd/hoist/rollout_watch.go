package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// waiting is what a command does that stays with a rollout.
type waiting struct {
	wait    bool
	timeout time.Duration
	through bool
}

func (w *waiting) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&w.wait, "wait", false, "return when it has ended or needs a person")
	f.BoolVar(&w.through, "wait-through-pause", false, "with --wait: do not return when it needs a person")
}

// limit takes --timeout, when it was given, for the time to wait; each call on the way keeps its own.
func (w *waiting) limit(cmd *cobra.Command, a *app) {
	if w.wait && cmd.Flags().Changed("timeout") {
		w.timeout, a.timeout = a.timeout, min(a.timeout, 10*time.Second)
	}
}

// follow calls see with the rollout and every later form of it, until see says enough, it has ended, or ctx ends. A node
// that goes away is replaced by asking again: the log knows where the rollout is.
func (a *app) follow(ctx context.Context, n *node, id string, see func(*hoistv1.Rollout) bool) error {
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		stream, err := n.rollouts.Watch(ctx, &hoistv1.WatchRolloutRequest{Environment: n.environment, Id: id})
		if err == nil {
			for stream.Receive() {
				pause = 200 * time.Millisecond
				r := stream.Msg().GetRollout()
				if !see(r) || r.GetEndedAt() != nil {
					_ = stream.Close() // it is over either way
					return nil
				}
			}
			err = stream.Err()
			_ = stream.Close() // it is over either way
		}
		switch code := connect.CodeOf(err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && code == connect.CodeDeadlineExceeded: // the node's clock was a little quicker than ours
			return context.DeadlineExceeded
		case err != nil && code != connect.CodeUnavailable && code != connect.CodeUnknown && code != connect.CodeResourceExhausted:
			return unreachable(n.addr, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// await stays with a rollout, prints the record of what happened, and gives its ending an exit code.
func (a *app) await(ctx context.Context, n *node, id string, w *waiting) error {
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	var last *hoistv1.Rollout
	told := uint64(0)
	err := a.follow(ctx, n, id, func(r *hoistv1.Rollout) bool {
		last = r
		told = a.tell(r, told)
		return w.through || !r.GetNeedsHuman()
	})
	if err != nil && (last == nil || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	record, marshalErr := json.MarshalIndent(recordOf(last), "", "  ")
	if marshalErr != nil {
		return marshalErr
	}
	fmt.Fprintln(a.stdout, string(record))
	return verdictOf(last, w.through)
}

// tell says the events after seq on stderr, one line each.
func (a *app) tell(r *hoistv1.Rollout, seq uint64) uint64 {
	for _, e := range r.GetEvents() {
		if e.GetSeq() > seq {
			a.talk("%s", eventLine(e))
			seq = e.GetSeq()
		}
	}
	return seq
}

func eventLine(e *hoistv1.RolloutEvent) string {
	line := fmt.Sprintf("%s  %-11s step %d  %s", e.GetAt().AsTime().Local().Format(time.TimeOnly), e.GetKind(), e.GetStep(), share(e.GetWeight()))
	if e.GetReason() != "" {
		line += "  " + e.GetReason()
	}
	if e.GetWhy() != "" {
		line += "  " + e.GetWhy()
	}
	return line
}

// record is what a pipeline keeps of a rollout.
type record struct {
	Verdict   string           `json:"verdict"` // completed, rolled_back, aborted, superseded, paused, or in progress
	Rollout   string           `json:"rollout"`
	Flag      string           `json:"flag"`
	Candidate string           `json:"candidate"`
	Attempt   int32            `json:"attempt"`
	Step      int32            `json:"step"`
	Weight    float64          `json:"weight"`
	Reason    string           `json:"reason,omitempty"`
	Cause     string           `json:"cause,omitempty"`
	Metrics   []recordedMetric `json:"metrics,omitempty"`
	Overrides []string         `json:"overrides,omitempty"`
	PlanHash  string           `json:"planHash"`
	Revision  uint64           `json:"revision"`
}

type recordedMetric struct {
	Name       string `json:"name"`
	Phase      string `json:"phase"`
	Count      int32  `json:"count"`
	Successful int32  `json:"successful"`
	Failed     int32  `json:"failed"`
	Last       string `json:"last,omitempty"`
	Query      string `json:"query,omitempty"`
}

func recordOf(r *hoistv1.Rollout) record {
	out := record{Verdict: r.GetPhase(), Rollout: r.GetId(), Flag: r.GetFlag(), Candidate: r.GetCandidate(), Attempt: r.GetAttempt(),
		Step: r.GetStep(), Weight: r.GetWeight(), Reason: r.GetReason(), Cause: r.GetCause(), PlanHash: r.GetPlanHash(), Revision: r.GetRevision()}
	for _, run := range r.GetRuns() {
		for _, m := range run.GetMetrics() {
			one := recordedMetric{Name: m.GetName(), Phase: m.GetPhase(), Count: m.GetCount(), Successful: m.GetSuccessful(), Failed: m.GetFailed(), Query: m.GetQuery()}
			if list := m.GetMeasurements(); len(list) > 0 {
				one.Last = answerText(list[len(list)-1])
			}
			out.Metrics = append(out.Metrics, one)
		}
	}
	for _, e := range r.GetEvents() {
		if e.GetOverride() {
			out.Overrides = append(out.Overrides, fmt.Sprintf("%s by %s at step %d: %s", e.GetMove(), who(e.GetActor()), e.GetFrom(), e.GetWhy()))
		}
	}
	return out
}

func who(a *hoistv1.Actor) string {
	if a.GetId() != "" {
		return a.GetId()
	}
	return a.GetKind()
}

// verdictOf turns where a rollout stands into what the process returns.
func verdictOf(r *hoistv1.Rollout, through bool) error {
	id := r.GetId()
	switch {
	case r.GetPhase() == "completed":
		return nil
	case r.GetPhase() == "superseded":
		return &failure{code: exitConflict, message: "the rollout was superseded: " + r.GetCause(), try: "hoist rollout list"}
	case r.GetEndedAt() != nil:
		return &failure{code: exitRolledBack, message: fmt.Sprintf("the rollout was %s: %s", strings.ReplaceAll(r.GetPhase(), "_", " "), r.GetCause()),
			try: "hoist rollout explain " + id}
	case r.GetNeedsHuman() && !through:
		next := "hoist rollout resume " + id
		if r.GetReason() == "hold" || r.GetReason() == "approval" {
			next = "hoist rollout promote " + id
		}
		return &failure{code: exitPaused, message: "the rollout is paused and needs a person: " + r.GetReason(), try: next + ", or hoist rollout abort " + id}
	}
	return &failure{code: exitTimeout, message: "the time is over; the rollout goes on: " + phaseText(r), try: "hoist rollout status " + id + " --wait"}
}

func (a *app) rolloutWatchCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "watch ID", Short: "Follow a rollout until it ends: its steps, holds and metrics",
		Long:    "Follow a rollout until it ends. In a terminal its ladder is redrawn; when piped it prints one line, or with -o json one object, per event.",
		Example: "  hoist rollout watch checkout-42\n  hoist rollout watch checkout-42 -o json | jq .kind",
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			return a.watchRollout(cmd.Context(), n, args[0])
		},
	}
	return a.printing(a.scoped(c), "table", "json")
}

func (a *app) watchRollout(ctx context.Context, n *node, id string) error {
	live, told := newScreen(a).live, uint64(0)
	return a.follow(ctx, n, id, func(r *hoistv1.Rollout) bool {
		if live {
			fmt.Fprint(a.stdout, "\x1b[H\x1b[2J"+strings.Join(ladder(r, time.Now()), "\n")+"\n")
			return true
		}
		for _, e := range r.GetEvents() {
			if e.GetSeq() <= told {
				continue
			}
			told = e.GetSeq()
			line := eventLine(e)
			if a.output == "json" {
				data, err := messageJSON(e)
				if err != nil {
					line = err.Error()
				} else {
					line = string(data)
				}
			}
			fmt.Fprintln(a.stdout, line)
		}
		return true
	})
}
