package fsm

import "slices"

// Run is one analysis: a set of metrics measured side by side.
type Run struct {
	ID      int           `json:"id"` // from 1 in its rollout
	Kind    RunKind       `json:"kind"`
	Step    int           `json:"step"` // in which it began
	Attempt int           `json:"attempt"`
	Started int64         `json:"started"`
	Ended   int64         `json:"ended,omitzero"`
	Phase   RunPhase      `json:"phase"`
	By      *Actor        `json:"by,omitzero"` // who overrode it
	Metrics []MetricState `json:"metrics"`
}

// RunKind tells an analysis step from the analysis behind all steps.
type RunKind string

// The kinds of runs.
const (
	RunInline     RunKind = "inline"
	RunBackground RunKind = "background"
)

// RunPhase is what a metric or a run has come to.
type RunPhase string

// The phases of metrics and runs.
const (
	RunPending      RunPhase = "Pending"
	RunRunning      RunPhase = "Running"
	RunSuccessful   RunPhase = "Successful"
	RunInconclusive RunPhase = "Inconclusive"
	RunNoData       RunPhase = "NoData"
	RunError        RunPhase = "Error"
	RunFailed       RunPhase = "Failed"
	RunCancelled    RunPhase = "Cancelled"
	RunOverridden   RunPhase = "Overridden"
)

func (p RunPhase) open() bool { return p == RunPending || p == RunRunning }

// worse orders the phases of a run's metrics.
func (p RunPhase) worse() int {
	return slices.Index([]RunPhase{RunSuccessful, RunRunning, RunPending, RunInconclusive, RunNoData, RunError, RunFailed}, p)
}

// Verdict is what one measurement means.
type Verdict string

// The verdicts.
const (
	VerdictSuccessful   Verdict = "Successful"
	VerdictFailed       Verdict = "Failed"
	VerdictInconclusive Verdict = "Inconclusive"
	VerdictError        Verdict = "Error"
	VerdictNoData       Verdict = "NoData"
)

// Measurement is one answer of a metric.
type Measurement struct {
	At      int64   `json:"at"` // leader time at which it was there
	Verdict Verdict `json:"verdict"`
	Value   string  `json:"value,omitempty"`
	Stable  string  `json:"stable,omitempty"` // of the stable cohort
	Detail  string  `json:"detail,omitempty"` // why an Error, or what a verdict was made of
	Digest  string  `json:"digest,omitempty"` // SHA-256 of the raw answer, hex
	// StableUnhealthy: the stable cohort fails as well, so the verdict is Inconclusive.
	StableUnhealthy bool `json:"stableUnhealthy,omitzero"`
}

// MetricState is what a run knows of one metric.
type MetricState struct {
	Name               string        `json:"name"`
	Index              int           `json:"index"` // in the list of the plan
	DryRun             bool          `json:"dryRun,omitzero"`
	Phase              RunPhase      `json:"phase"`
	Query              string        `json:"query,omitempty"` // the newest, with its arguments filled in
	Count              int           `json:"count,omitzero"`  // measurements that counted
	Successful         int           `json:"successful,omitzero"`
	Failed             int           `json:"failed,omitzero"`
	Inconclusive       int           `json:"inconclusive,omitzero"`
	Errors             int           `json:"errors,omitzero"`
	NoData             int           `json:"noData,omitzero"`
	ConsecutiveErrors  int           `json:"consecutiveErrors,omitzero"`
	ConsecutiveSuccess int           `json:"consecutiveSuccess,omitzero"`
	SinceRaise         int           `json:"sinceRaise,omitzero"` // successes since the audience last grew
	NoDataSince        int64         `json:"noDataSince,omitzero"`
	Last               []Measurement `json:"last,omitempty"` // up to 10, oldest first
}

const maxMeasurements = 10

// Total is how many measurements were taken, counted or not.
func (m *MetricState) Total() int { return m.Count + m.Errors + m.NoData }

// Newest is the last measurement, nil before the first.
func (m *MetricState) Newest() *Measurement {
	if len(m.Last) == 0 {
		return nil
	}
	return &m.Last[len(m.Last)-1]
}

// Metric finds the plan's metric behind a state.
func (r *Rollout) Metric(run *Run, m *MetricState) *Metric {
	var list []Metric
	if run.Kind == RunBackground {
		list = r.plan.plan.Analysis.Background.Metrics
	} else {
		list = r.plan.steps[run.Step].Analysis.Metrics
	}
	return &list[m.Index]
}

// Add takes a measurement in. A success in between does not undo a failure.
func (m *MetricState) Add(x Measurement) {
	m.Last = append(slices.Clone(m.Last[max(0, len(m.Last)-maxMeasurements+1):]), x)
	if x.Verdict != VerdictSuccessful {
		m.ConsecutiveSuccess = 0
	}
	if x.Verdict != VerdictNoData {
		m.NoDataSince = 0
	}
	switch x.Verdict {
	case VerdictError:
		m.Errors++
		m.ConsecutiveErrors++
		return
	case VerdictNoData:
		m.NoData++
		if m.NoDataSince == 0 {
			m.NoDataSince = x.At
		}
		return
	}
	m.Count++
	m.ConsecutiveErrors = 0
	switch x.Verdict {
	case VerdictSuccessful:
		m.Successful++
		m.ConsecutiveSuccess++
		m.SinceRaise++
	case VerdictFailed:
		m.Failed++
	case VerdictInconclusive:
		m.Inconclusive++
	}
}

// Judge gives the phase that the numbers of a metric mean, by the first rule that applies. Limits mean "more than".
func (m *MetricState) Judge(by *Metric, now int64) (RunPhase, string) {
	over := func(n, limit int) bool { return limit >= 0 && n > limit }
	enough := by.total() > 0 && m.Count >= by.total()
	switch {
	case m.Total() == 0:
		return RunPending, "nothing was measured yet"
	case over(m.Failed, by.FailureLimit):
		return RunFailed, "more failures than failureLimit"
	case over(m.ConsecutiveErrors, by.errorLimit()):
		return RunError, "more errors in a row than consecutiveErrorLimit"
	case over(m.Inconclusive, by.InconclusiveLimit):
		return RunInconclusive, "more inconclusive answers than inconclusiveLimit"
	case m.NoDataSince > 0 && now-m.NoDataSince >= by.noDataTimeout():
		return RunNoData, "no data for longer than noDataTimeout"
	case by.ConsecutiveSuccessLimit > 0 && m.ConsecutiveSuccess >= by.ConsecutiveSuccessLimit:
		return RunSuccessful, "consecutiveSuccessLimit reached"
	case enough && by.FailureLimit >= 0 && by.ConsecutiveSuccessLimit > 0:
		return RunInconclusive, "count reached, and neither limit"
	case enough && by.FailureLimit < 0:
		return RunFailed, "count reached without the successes in a row that are asked for"
	case enough && m.Successful == 0:
		return RunInconclusive, "count reached without one success"
	case enough:
		return RunSuccessful, "count reached"
	}
	return RunRunning, "it goes on"
}

// judge settles what the metrics' numbers mean for the run. A phase that is final stays.
func (run *Run) judge(r *Rollout, now int64) {
	for i := range run.Metrics {
		m := &run.Metrics[i]
		if m.Phase.open() {
			m.Phase, _ = m.Judge(r.Metric(run, m), now)
		}
	}
	worst, complete := RunSuccessful, true
	decides := slices.ContainsFunc(run.Metrics, func(m MetricState) bool { return !m.DryRun })
	for i := range run.Metrics {
		m := &run.Metrics[i]
		if m.DryRun && decides {
			continue
		}
		if m.DryRun { // nothing decides: the run lasts until its last reporter is through
			complete = complete && !m.Phase.open()
			continue
		}
		complete = complete && !m.Phase.open()
		if m.Phase.worse() > worst.worse() {
			worst = m.Phase
		}
	}
	switch {
	case worst.worse() >= RunInconclusive.worse() || complete:
		run.end(now, worst)
	case !decides:
		run.Phase = RunRunning
	default:
		run.Phase = worst
	}
}

// end closes the run. Metrics that were not through are cancelled, never called successful.
func (run *Run) end(now int64, phase RunPhase) {
	run.Phase, run.Ended = phase, now
	for i := range run.Metrics {
		if m := &run.Metrics[i]; m.Phase.open() {
			m.Phase = RunCancelled
		}
	}
}

// finish closes the run because its rollout has landed: what succeeded until then has succeeded.
func (run *Run) finish(now int64) {
	phase := RunSuccessful
	for i := range run.Metrics {
		m := &run.Metrics[i]
		if m.Phase.open() && m.Successful > 0 {
			m.Phase = RunSuccessful
		}
		if !m.DryRun && m.Phase != RunSuccessful {
			phase = RunCancelled
		}
	}
	run.end(now, phase)
}

// open begins a run of the rollout.
func (r *Rollout) open(kind RunKind, metrics []Metric, now int64) {
	r.RunCount++
	run := Run{ID: r.RunCount, Kind: kind, Step: r.Step, Attempt: r.Attempt, Started: now, Phase: RunPending}
	for i := range metrics {
		run.Metrics = append(run.Metrics, MetricState{Name: metrics[i].Name, Index: i, Phase: RunPending,
			DryRun: r.plan.plan.DryRun(metrics[i].Name)})
	}
	r.Runs = append(slices.Clone(r.Runs[max(0, len(r.Runs)-maxRuns+1):]), run)
}

// openRun finds the run of a kind that is under way.
func (r *Rollout) openRun(kind RunKind) *Run {
	for i := range r.Runs {
		if r.Runs[i].Kind == kind && r.Runs[i].Phase.open() {
			return &r.Runs[i]
		}
	}
	return nil
}

// lastRun is the newest run of a kind in this attempt, of one step where step is not negative.
func (r *Rollout) lastRun(kind RunKind, step int) *Run {
	for i := range slices.Backward(r.Runs) {
		if run := &r.Runs[i]; run.Kind == kind && run.Attempt == r.Attempt && (step < 0 || run.Step == step) {
			return run
		}
	}
	return nil
}

// OpenRuns lists the runs under way.
func (r *Rollout) OpenRuns() []*Run {
	var out []*Run
	for i := range r.Runs {
		if r.Runs[i].Phase.open() {
			out = append(out, &r.Runs[i])
		}
	}
	return out
}

// LastRun is the newest run that decides about the current step: the inline one of the step, and the background one.
func (r *Rollout) LastRun(kind RunKind) *Run {
	if kind == RunInline {
		return r.lastRun(kind, r.Step)
	}
	return r.lastRun(kind, -1)
}
