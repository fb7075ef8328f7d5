package fsm

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
)

// Was is a rollout as a move met it: with the event and its evidence it is everything that the move was decided on.
type Was struct {
	Phase    Phase    `json:"phase"`
	Reason   Reason   `json:"reason,omitempty"`
	Weight   Percent  `json:"weight"`
	Rings    []string `json:"rings,omitempty"`
	Since    int64    `json:"since"`
	HoldEnd  int64    `json:"holdEnd,omitzero"`
	RaisedAt int64    `json:"raisedAt,omitzero"`
	Stalled  bool     `json:"stalled,omitzero"`
	Frozen   *Frozen  `json:"frozen,omitzero"` // what covered its flag
	Burn     *Burn    `json:"burn,omitzero"`   // of the error budget, where that was burning
}

// Evidence is what one metric had to say when a move was made.
type Evidence struct {
	Run     int      `json:"run"`
	Kind    RunKind  `json:"kind"`
	Step    int      `json:"step"` // in which the run began
	Started int64    `json:"started,omitzero"`
	Of      RunPhase `json:"of,omitempty"` // phase of the run
	MetricState
}

// evidenceKept is how many measurements of a metric an event keeps.
const evidenceKept = 3

func (r *Rollout) was(e *Environment) *Was {
	w := &Was{Phase: r.Phase, Reason: r.Reason, Weight: r.Weight, Rings: r.Rings, Since: r.Since, HoldEnd: r.HoldEnd, RaisedAt: r.RaisedAt,
		Stalled: r.Stalled, Frozen: e.FrozenFor(r.Flag)}
	if b := e.budget; b != nil && b.Burn.Tier != BurnNone {
		w.Burn = &b.Burn
	}
	return w
}

// evidence is what the runs of the attempt that are open, or have just ended, say.
func (r *Rollout) evidence() []Evidence {
	var out []Evidence
	for _, kind := range []RunKind{RunInline, RunBackground} {
		run := r.LastRun(kind)
		if run == nil {
			continue
		}
		for _, m := range run.Metrics {
			m.Last = m.Last[max(0, len(m.Last)-evidenceKept):]
			out = append(out, Evidence{Run: run.ID, Kind: kind, Step: run.Step, Started: run.Started, Of: run.Phase, MetricState: m})
		}
	}
	return out
}

// DecodeEvent reads the record of one event, strictly.
func DecodeEvent(record []byte) (*Event, error) {
	e := &Event{}
	if err := json.Unmarshal(record, e, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("an event: %w", err)
	}
	return e, nil
}

// Record is the canonical form of an event, which the chain of its rollout hashes.
func (e Event) Record() []byte { return mustEncode(e) }

// Head is the hash over all events of the rollout: of the head before and the newest record, hex.
func (r *Rollout) Head() string { return r.head.hex() }

// ChainEvents is the head that records of events give, when they are all that a rollout has.
func ChainEvents(records [][]byte) string {
	var head digest
	for _, record := range records {
		head = digestOf(append(slices.Clone(head[:]), record...))
	}
	return head.hex()
}

// Recall is a rollout as the move of an event met it. The plan is the one it was started with, or another, of which only
// metrics of the same names say anything. False: nothing came before the event.
func Recall(p *Plan, e *Event) (*Rollout, bool) {
	if e.Was == nil {
		return nil, false
	}
	w := e.Was
	r := &Rollout{Candidate: p.Target.Variant, Flag: p.Flag, Phase: w.Phase, Reason: w.Reason, Weight: w.Weight, Rings: w.Rings, Attempt: e.Attempt, Step: e.From,
		Since: w.Since, HoldEnd: w.HoldEnd, RaisedAt: w.RaisedAt, Stalled: w.Stalled, plan: newPlanRecord(p)}
	for _, x := range e.Evidence {
		index := slices.IndexFunc(r.plan.metrics(x.Kind, x.Step), func(m Metric) bool { return m.Name == x.Name })
		if index < 0 {
			continue
		}
		at := slices.IndexFunc(r.Runs, func(run Run) bool { return run.ID == x.Run })
		if at < 0 {
			at = len(r.Runs)
			r.Runs = append(r.Runs, Run{ID: x.Run, Kind: x.Kind, Step: x.Step, Attempt: e.Attempt, Started: x.Started, Phase: x.Of})
		}
		m := x.MetricState
		m.Index = index
		r.Runs[at].Metrics = append(r.Runs[at].Metrics, m)
	}
	return r, true
}

// Rejudge settles what the numbers of every metric mean by the rollout's plan, as if nothing had been said before.
func (r *Rollout) Rejudge(now int64) {
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Phase == RunCancelled || run.Phase == RunOverridden {
			continue
		}
		run.Phase, run.Ended = RunRunning, 0
		for j := range run.Metrics {
			if m := &run.Metrics[j]; m.Phase != RunCancelled && m.Phase != RunOverridden {
				m.Phase = RunRunning
			}
		}
		run.judge(r, now)
	}
}

// Recount gives a metric the numbers of the measurements it holds.
func (m *MetricState) Recount(list []Measurement) {
	old := *m
	*m = MetricState{Name: old.Name, Index: old.Index, DryRun: old.DryRun, Phase: old.Phase, Query: old.Query}
	for _, x := range list {
		m.Add(x)
	}
	m.SinceRaise = min(old.SinceRaise, m.Successful)
}

// metrics are those of a run.
func (p *planRecord) metrics(kind RunKind, step int) []Metric {
	switch b := p.plan.Analysis.Background; {
	case kind == RunBackground && b != nil:
		return b.Metrics
	case kind == RunInline && step < len(p.steps) && p.steps[step].Analysis != nil:
		return p.steps[step].Analysis.Metrics
	}
	return nil
}
