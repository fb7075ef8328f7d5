package rollout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Source answers queries of one kind of provider.
type Source interface {
	// Query asks once. An error means that nobody knows: unreachable, refused, not understood.
	Query(ctx context.Context, q Query) (Answer, error)
}

// Query is one question with its arguments filled in.
type Query struct {
	Address         string
	Text            string // of the query; empty for web
	JSONPath        string // web only
	BearerTokenFile string // web only
}

// Answer is what a provider said.
type Answer struct {
	Value any    // float64, []float64, or what a JSON path selects; nil when there was nothing
	Raw   []byte // of the answer, for the record
}

// Sources are the providers.
type Sources struct {
	Prometheus Source
	Web        Source
}

// Timeouts where a plan gives none.
const (
	prometheusTimeout = 30 * time.Second
	webTimeout        = 10 * time.Second
)

// Measure takes one measurement of a metric.
func (s Sources) Measure(ctx context.Context, environment string, r *fsm.Rollout, run *fsm.Run, m *fsm.MetricState) fsm.MetricMeasured {
	by := r.Metric(run, m)
	out := fsm.MetricMeasured{Run: run.ID, Index: m.Index}
	if by.BurnRate != nil {
		s.burn(ctx, arguments(environment, r, r.Candidate), by, &out)
		return out
	}
	candidate := s.ask(ctx, arguments(environment, r, r.Candidate), by)
	out.Query = candidate.text
	var stable reply
	if by.GuardStable || comparesStable(by) {
		stable = s.ask(ctx, arguments(environment, r, r.Stable), by)
	}
	out.Measurement = judge(by, candidate, stable)
	out.Raw, out.StableRaw = fsm.NewRawAnswer(candidate.Raw), fsm.NewRawAnswer(stable.Raw)
	return out
}

// reply is an answer or why there is none.
type reply struct {
	asked bool
	text  string
	Answer
	err error
}

func (s Sources) ask(ctx context.Context, args *strings.Replacer, m *fsm.Metric) reply {
	q, source, timeout := Query{}, s.Prometheus, prometheusTimeout
	if p := m.Prometheus; p != nil {
		q = Query{Address: args.Replace(p.Address), Text: strings.TrimSpace(args.Replace(p.Query))}
		timeout = orElse(p.Timeout, timeout)
	} else {
		q = Query{Address: args.Replace(m.Web.URL), JSONPath: m.Web.JSONPath, BearerTokenFile: m.Web.BearerTokenFile}
		source, timeout = s.Web, orElse(m.Web.Timeout, webTimeout)
	}
	out := reply{asked: true, text: q.Text}
	if out.text == "" {
		out.text = q.Address
	}
	if source == nil {
		out.err = fmt.Errorf("this node has no such provider")
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out.Answer, out.err = source.Query(ctx, q)
	return out
}

func orElse(d fsm.Duration, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d.Of()
}

// arguments fills {{args.name}} in, with or without spaces inside the braces.
func arguments(environment string, r *fsm.Rollout, cohort string) *strings.Replacer {
	values := map[string]string{
		"flag": r.Flag, "environment": environment, "rollout": r.ID, "attempt": strconv.Itoa(r.Attempt),
		"candidate": r.Candidate, "stable": r.Stable, "cohort": cohort, "weight": strings.TrimSuffix(r.Weight.String(), "%"),
	}
	for name, value := range r.Plan().Analysis.Args {
		values[name] = value
	}
	var pairs []string
	for name, value := range values {
		pairs = append(pairs, "{{args."+name+"}}", value, "{{ args."+name+" }}", value)
	}
	return strings.NewReplacer(pairs...)
}

// comparesStable tells whether a condition names the stable cohort.
func comparesStable(m *fsm.Metric) bool {
	named := regexp.MustCompile(`\bstable\b`)
	return named.MatchString(m.SuccessCondition) || named.MatchString(m.FailureCondition)
}

// judge turns replies into a measurement. Nothing that was not measured is ever called successful.
func judge(m *fsm.Metric, candidate, stable reply) fsm.Measurement {
	out := fsm.Measurement{Value: text(candidate.Value)}
	if candidate.Raw != nil {
		digest := sha256.Sum256(candidate.Raw)
		out.Digest = hex.EncodeToString(digest[:])
	}
	if stable.asked && stable.err == nil {
		out.Stable = text(stable.Value)
	}
	out.Verdict, out.Detail = verdict(m, candidate, stable.Value)
	if comparesStable(m) && candidate.err == nil && out.Verdict != fsm.VerdictNoData {
		switch {
		case stable.err != nil:
			out.Verdict, out.Detail = fsm.VerdictError, "the stable cohort: "+stable.err.Error()
		case empty(stable.Value) && m.NoData != fsm.NoDataEvaluate:
			out.Verdict, out.Detail = fsm.VerdictNoData, "the stable cohort has no data to compare with"
		}
	}
	if m.GuardStable && out.Verdict == fsm.VerdictFailed && stable.asked && stable.err == nil && !empty(stable.Value) {
		if v, _ := verdict(m, stable, stable.Value); v == fsm.VerdictFailed {
			out.Verdict, out.StableUnhealthy, out.Detail = fsm.VerdictInconclusive, true, "the stable cohort fails as well"
		}
	}
	return out
}

func verdict(m *fsm.Metric, r reply, stable any) (fsm.Verdict, string) {
	if r.err != nil {
		return fsm.VerdictError, clip(r.err.Error())
	}
	if m.NoData != fsm.NoDataEvaluate && empty(r.Value) {
		switch m.NoData {
		case fsm.NoDataInconclusive:
			return fsm.VerdictInconclusive, "without data"
		case fsm.NoDataFail:
			return fsm.VerdictFailed, "without data"
		case fsm.NoDataPass:
			return fsm.VerdictSuccessful, "without data"
		}
		return fsm.VerdictNoData, "the answer holds no value"
	}
	return conditions(m, r.Value, stable)
}

// conditions is the table of two conditions. A failure that holds beats a success that holds.
func conditions(m *fsm.Metric, value, stable any) (fsm.Verdict, string) {
	var failed, succeeded bool
	var err error
	if m.FailureCondition != "" {
		if failed, err = holds(m.FailureCondition, value, stable); err != nil {
			return fsm.VerdictError, clip(err.Error())
		}
	}
	if m.SuccessCondition != "" {
		if succeeded, err = holds(m.SuccessCondition, value, stable); err != nil {
			return fsm.VerdictError, clip(err.Error())
		}
	}
	switch {
	case failed:
		return fsm.VerdictFailed, ""
	case succeeded, m.SuccessCondition == "":
		return fsm.VerdictSuccessful, ""
	case m.FailureCondition == "":
		return fsm.VerdictFailed, ""
	}
	return fsm.VerdictInconclusive, "neither condition holds"
}

// empty tells whether an answer holds no value: nothing, an empty vector, or nothing but NaN.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case float64:
		return math.IsNaN(v)
	case []float64:
		for _, f := range v {
			if !math.IsNaN(f) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

// text is a value as it stands in a record.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []float64:
		parts := make([]string, len(v))
		for i, f := range v {
			parts[i] = strconv.FormatFloat(f, 'g', -1, 64)
		}
		return clip("[" + strings.Join(parts, " ") + "]")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return clip(fmt.Sprint(v))
	}
	return clip(string(data))
}

// clip keeps what goes into the log short.
func clip(s string) string {
	const most = 300
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
