package fsm

import "slices"

// measured takes measurements in, for all rollouts of all environments in one entry. What belongs to a run that is over
// is dropped: it was on its way when the run ended.
func (d *draft) measured(c Measured) error {
	if d.proposal.ControllerTerm == 0 {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Detail: "measurements name the term of the controller that took them"}
	}
	s := d.state
	for _, x := range c.Rollouts {
		env, ok := s.Environment(x.Tenant, x.Environment)
		if !ok {
			continue
		}
		old, ok := env.Rollout(x.ID)
		if !ok || !old.Phase.Live() {
			continue
		}
		r := *old
		r.Runs = cloneRuns(old.Runs)
		taken := r.measure(x.Metrics, s.now)
		if len(taken) == 0 {
			continue
		}
		e := env.clone()
		s.putRollout(e, old, &r)
		s.keepMeasured(e, &r, taken, d.proposal)
		s.replaceEnvironment(e)
		d.changed = true
	}
	return nil
}

// measure takes measurements in and returns what it took.
func (r *Rollout) measure(list []MetricMeasured, now int64) (taken []MeasuredRecord) {
	for _, x := range list {
		at := slices.IndexFunc(r.Runs, func(run Run) bool { return run.ID == x.Run && run.Phase.open() })
		if at < 0 || x.Index < 0 || x.Index >= len(r.Runs[at].Metrics) || !r.Runs[at].Metrics[x.Index].Phase.open() {
			continue
		}
		m := &r.Runs[at].Metrics[x.Index]
		if x.Query != "" {
			m.Query = x.Query
		}
		x.Measurement.At = now
		m.Add(x.Measurement)
		run := &r.Runs[at]
		taken = append(taken, MeasuredRecord{Attempt: run.Attempt, Run: run.ID, Kind: run.Kind, Step: run.Step, Metric: m.Name, Query: m.Query,
			Weight: r.Weight, Measurement: x.Measurement, Raw: x.Raw, StableRaw: x.StableRaw})
	}
	for i := range r.Runs {
		if run := &r.Runs[i]; len(taken) > 0 && run.Phase.open() {
			run.judge(r, now)
		}
	}
	return taken
}
