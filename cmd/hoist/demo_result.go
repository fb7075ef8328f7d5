package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// result is what a demo found; it is the object of -o json.
type result struct {
	Evaluations        int64     `json:"evaluations"`
	FailedEvaluations  int64     `json:"failedEvaluations"`
	BackwardReads      int64     `json:"backwardReads"`
	AcknowledgedWrites int       `json:"acknowledgedWrites"`
	LostWrites         int       `json:"lostWrites"`
	UnknownWrites      int       `json:"unknownWrites"`
	LeaderKills        int       `json:"leaderKills"`
	FailoverMs         quantiles `json:"failoverMs"`
	PropagationMs      quantiles `json:"propagationMs"`
	StateHashesEqual   bool      `json:"stateHashesEqual"`

	Healthy  canaryResult `json:"healthyCanary"`
	Poisoned canaryResult `json:"poisonedCanary"`

	judged    bool   // the canaries ran to their ends
	complaint string // what the first failed evaluation was
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// quantilesOf takes the value at or above the rank, so that p99 of few samples is the largest.
func quantilesOf(times []time.Duration) quantiles {
	if len(times) == 0 {
		return quantiles{}
	}
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	at := func(percent int) float64 {
		rank := (len(sorted)*percent + 99) / 100
		return float64(sorted[max(rank, 1)-1].Microseconds()) / 1000
	}
	return quantiles{P50: at(50), P99: at(99)}
}

// judge waits until the nodes agree, looks for every acknowledged write on each of them and sums up.
func (r *rehearsal) judge(ctx context.Context) (result, error) {
	res := result{
		Evaluations: r.traffic.done.Load(), FailedEvaluations: r.traffic.failed.Load(),
		BackwardReads:      r.traffic.backward.Load() + r.ledger.backward.Load(),
		AcknowledgedWrites: len(r.ledger.acknowledged) + r.flipper.acknowledged,
		UnknownWrites:      r.ledger.unknown + r.flipper.unknown,
		LeaderKills:        r.killer.kills,
		FailoverMs:         quantilesOf(r.killer.failovers),
		PropagationMs:      quantilesOf(r.followers.times),
		complaint:          r.traffic.first,
		Healthy:            r.healthy.result(), Poisoned: r.poisoned.result(), judged: r.judged,
	}
	if err := awaitCurrent(ctx, r.children); err != nil {
		return res, err
	}
	equal, err := sameHash(ctx, r.children)
	if err != nil {
		return res, err
	}
	res.StateHashesEqual = equal
	lost, err := r.ledger.lost(ctx)
	if err != nil {
		return res, err
	}
	flips, err := r.flipper.lost(ctx)
	res.LostWrites = lost + flips
	return res, err
}

// sameHash compares the state of the nodes at one revision. Entries of the cluster itself may move a node while the
// others are asked, so it looks again until all are at the same revision.
func sameHash(ctx context.Context, children []*child) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		revisions, hashes := map[uint64]bool{}, map[string]bool{}
		for _, c := range children {
			s, err := c.status(ctx)
			if err != nil {
				return false, fmt.Errorf("asking %s for its hash: %w", c.name, err)
			}
			revisions[s.GetApplied()], hashes[s.GetDomainHash()] = true, true
		}
		if len(revisions) == 1 {
			return len(hashes) == 1, nil
		}
		if !sleepUntil(ctx, time.Now().Add(20*time.Millisecond)) {
			return false, nil // they never agree on a revision, so they do not agree
		}
	}
}

// verdict names what went wrong; "" when nothing did.
func (r *result) verdict() string {
	var wrong []string
	if r.Evaluations == 0 {
		wrong = append(wrong, "nothing was evaluated")
	}
	if r.FailedEvaluations > 0 {
		wrong = append(wrong, fmt.Sprintf("%d evaluation(s) failed, the first: %s", r.FailedEvaluations, r.complaint))
	}
	if r.LostWrites > 0 {
		wrong = append(wrong, fmt.Sprintf("%d acknowledged write(s) were lost", r.LostWrites))
	}
	if r.BackwardReads > 0 {
		wrong = append(wrong, fmt.Sprintf("%d read(s) went backward", r.BackwardReads))
	}
	if breach := r.breach(); r.judged && breach != "" {
		wrong = append(wrong, breach)
	}
	if !r.StateHashesEqual {
		wrong = append(wrong, "the nodes ended in different states")
	}
	return strings.Join(wrong, "; ")
}

// showResult prints the result and turns it into an exit code.
func (a *app) showResult(r result) error {
	if a.output == "json" {
		if err := a.showJSON(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "\nevaluations   %d, failed %d\nwrites        %d acknowledged, %d lost, %d unknown\n"+
			"backward      %d\nleader kills  %d\n",
			r.Evaluations, r.FailedEvaluations, r.AcknowledgedWrites, r.LostWrites, r.UnknownWrites, r.BackwardReads, r.LeaderKills)
		if r.LeaderKills > 0 {
			fmt.Fprintf(a.stdout, "failover      p50 %.0f ms, p99 %.0f ms\n", r.FailoverMs.P50, r.FailoverMs.P99)
		}
		fmt.Fprintf(a.stdout, "propagation   p50 %.1f ms, p99 %.1f ms\nsame state    %s\n",
			r.PropagationMs.P50, r.PropagationMs.P99, yesNo(r.StateHashesEqual))
	}
	if a.output != "json" {
		fmt.Fprintf(a.stdout, "canaries      %s: %s; %s: %s\n              %.2f %% of the users ever saw the poisoned variant (its step: %g %%); "+
			"%.0f ms from the first bad sample to the last client back\n",
			r.Healthy.Rollout, orNothing(r.Healthy.Phase), r.Poisoned.Rollout, orNothing(r.Poisoned.Phase), r.Poisoned.SharePct, r.Poisoned.StepPct, r.Poisoned.WithdrawnMs)
	}
	if wrong := r.verdict(); wrong != "" {
		return failed("the nodes' logs in the folder named below", "%s", wrong)
	}
	return nil
}
