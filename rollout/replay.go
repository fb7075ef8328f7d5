package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Replayed is one event of a rollout, judged again from its record alone.
type Replayed struct {
	Event  *fsm.Event
	Judged int       // measurements and metrics that were derived again
	Doubts []string  // where the record does not give what was acted on; empty: it does
	Again  *Decision // what the controller decides on the record; nil for a move of a person
	Other  *Decision // what it would have decided by the other plan; nil without one
	Notes  []string  // why Other is less than certain
}

// Replay judges the events of a rollout again: each kept measurement by its conditions, each metric by its numbers, each
// move of the controller by Decide. Other, unless nil, is another plan for the same change: of it only the metrics of the
// same names, the limits and what happens on a failure are compared, over the measurements that the record holds.
func Replay(plan, other *fsm.Plan, events []*fsm.Event) []Replayed {
	known := measurements(events)
	var out []Replayed
	for _, e := range events {
		x := Replayed{Event: e}
		if r, ok := fsm.Recall(plan, e); ok {
			x.verdicts(r)
			x.decide(r)
		}
		if r, ok := recallBy(other, plan, e); ok {
			x.compare(r, known)
		}
		out = append(out, x)
	}
	return out
}

// recallBy recalls the rollout as if it had been started with another plan. Its steps must be those of the first.
func recallBy(other, plan *fsm.Plan, e *fsm.Event) (*fsm.Rollout, bool) {
	if other == nil || len(other.Ladder()) != len(plan.Ladder()) {
		return nil, false
	}
	return fsm.Recall(other, e)
}

func (x *Replayed) doubt(format string, args ...any) {
	x.Doubts = append(x.Doubts, fmt.Sprintf(format, args...))
}

// verdicts derives what every measurement and every metric said.
func (x *Replayed) verdicts(r *fsm.Rollout) {
	for i := range r.Runs {
		run := &r.Runs[i]
		for j := range run.Metrics {
			m := &run.Metrics[j]
			by := r.Metric(run, m)
			for _, one := range m.Last {
				if again, ok := verdictAgain(by, &one); ok {
					x.Judged++
					if again != one.Verdict {
						x.doubt("metric %s measured %s, which is %s by its conditions, but %s was recorded", m.Name, shown(&one), again, one.Verdict)
					}
				}
			}
			switch m.Phase {
			case fsm.RunCancelled, fsm.RunOverridden, fsm.RunNoData: // said by an end or by a clock, not by numbers
				continue
			}
			x.Judged++
			if again, why := m.Judge(by, x.Event.At); again != m.Phase {
				x.doubt("metric %s is %s by its numbers (%s), but %s was recorded", m.Name, again, why, m.Phase)
			}
		}
	}
}

// decide asks Decide for the move again.
func (x *Replayed) decide(r *fsm.Rollout) {
	e := x.Event
	if e.Rule == "" {
		return
	}
	d := Decide(time.UnixMilli(e.At), r, gatesOf(e))
	x.Again = &d
	if d.Move != e.Move || d.Rule != e.Rule || d.Pause != pausedBy(e) {
		x.doubt("the controller would decide %s by rule %s, but it moved with %s by rule %s", orNothing(d.Move), d.Rule, e.Move, e.Rule)
	}
}

func pausedBy(e *fsm.Event) fsm.Reason {
	if e.Move == fsm.MoveHold {
		return e.Pause
	}
	return ""
}

func orNothing(m fsm.Move) string {
	if m == "" {
		return "nothing"
	}
	return string(m)
}

func gatesOf(e *fsm.Event) Gates {
	g := Gates{Frozen: e.Was.Frozen}
	if e.Was.Burn != nil {
		g.Burn = *e.Was.Burn
	}
	return g
}

// series names the measurements of one metric in one run.
type series struct {
	run  int
	name string
}

// measurements collects, in order, what the records hold of each metric.
func measurements(events []*fsm.Event) map[series][]fsm.Measurement {
	out := map[series][]fsm.Measurement{}
	for _, e := range events {
		for _, x := range e.Evidence {
			at := series{x.Run, x.Name}
			for _, m := range x.Last {
				if list := out[at]; len(list) == 0 || m.At > list[len(list)-1].At {
					out[at] = append(list, m)
				}
			}
		}
	}
	return out
}

// compare says what another plan would have made of the same answers.
func (x *Replayed) compare(r *fsm.Rollout, known map[series][]fsm.Measurement) {
	e := x.Event
	for i := range r.Runs {
		run := &r.Runs[i]
		for j := range run.Metrics {
			m := &run.Metrics[j]
			by := r.Metric(run, m)
			list := slices.Clone(known[series{run.ID, m.Name}])
			list = slices.DeleteFunc(list, func(one fsm.Measurement) bool { return one.At > e.At })
			if total := m.Total(); len(list) < total {
				x.Notes = append(x.Notes, fmt.Sprintf("the record holds %d of the %d answers of metric %s", len(list), total, m.Name))
			}
			for k := range list {
				if again, ok := verdictAgain(by, &list[k]); ok {
					list[k].Verdict = again
				}
			}
			m.Recount(list)
		}
	}
	r.Rejudge(e.At)
	d := Decide(time.UnixMilli(e.At), r, gatesOf(e))
	x.Other = &d
}

// verdictAgain derives a verdict from what was recorded of an answer. It reports false where the record does not hold
// the answer: nobody answered, or only the beginning was kept.
func verdictAgain(by *fsm.Metric, m *fsm.Measurement) (fsm.Verdict, bool) {
	if by.BurnRate != nil || m.Verdict == fsm.VerdictError || m.StableUnhealthy && m.Stable == "" {
		return "", false
	}
	value, ok := recorded(by, m.Value)
	stable, okToo := recorded(by, m.Stable)
	if !ok || !okToo {
		return "", false
	}
	asked := by.GuardStable || comparesStable(by)
	return judge(by, reply{asked: true, Answer: Answer{Value: value}}, reply{asked: asked, Answer: Answer{Value: stable}}).Verdict, true
}

// recorded is the value behind its text in a record.
func recorded(by *fsm.Metric, text string) (any, bool) {
	switch inner, list := strings.CutPrefix(strings.TrimSuffix(text, "]"), "["); {
	case text == "":
		return nil, true
	case strings.HasSuffix(text, "…"):
		return nil, false
	case by.Prometheus == nil:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f, true
		}
		var v any
		err := json.Unmarshal([]byte(text), &v)
		return v, err == nil
	case list:
		values := []float64{}
		for part := range strings.FieldsSeq(inner) {
			f, err := strconv.ParseFloat(part, 64)
			if err != nil {
				return nil, false
			}
			values = append(values, f)
		}
		return values, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
