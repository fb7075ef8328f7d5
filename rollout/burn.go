package rollout

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/hoistflags/hoist/fsm"
)

// burnTier is one pair of windows of the multi-window burn-rate method (Google, The Site Reliability Workbook, chapter 5):
// both windows must burn faster than the rate, the long one so that it matters, the short one so that it still does.
type burnTier struct {
	rate        float64
	long, short string
	page        bool
}

func burnTiers() []burnTier {
	return []burnTier{{14.4, "1h", "5m", true}, {6, "6h", "30m", true}, {3, "1d", "2h", false}, {1, "3d", "6h", false}}
}

// burn measures a burn-rate gate: a tier that pages fails, one that only asks for a ticket is inconclusive.
func (s Sources) burn(ctx context.Context, args *strings.Replacer, m *fsm.Metric) (string, fsm.Measurement) {
	b := m.BurnRate
	rates := map[string]float64{}
	query := ""
	out := fsm.Measurement{Verdict: fsm.VerdictSuccessful}
	var told []string
	for _, tier := range burnTiers() {
		for _, window := range []string{tier.long, tier.short} {
			if _, known := rates[window]; known {
				continue
			}
			ratio := strings.ReplaceAll(fmt.Sprintf("((%s) or vector(0)) / (%s)", b.Bad, b.Total), "{{window}}", window)
			r := s.ask(ctx, args, &fsm.Metric{Prometheus: &fsm.Prometheus{Address: b.Address, Query: ratio, Timeout: b.Timeout}})
			if query == "" {
				query = r.text
			}
			if r.err != nil {
				return query, fsm.Measurement{Verdict: fsm.VerdictError, Detail: clip(r.err.Error())}
			}
			rates[window] = burnRate(r.Value, b.Objective)
		}
		long, short := rates[tier.long], rates[tier.short]
		told = append(told, fmt.Sprintf("%s/%s: %.2f %.2f of %g", tier.long, tier.short, long, short, tier.rate))
		if long > tier.rate && short > tier.rate {
			out.Verdict = fsm.VerdictInconclusive
			if tier.page {
				out.Verdict = fsm.VerdictFailed
			}
			out.Detail = fmt.Sprintf("the error budget burns faster than %g times over %s and %s", tier.rate, tier.long, tier.short)
			break
		}
	}
	if math.IsNaN(rates["1h"]) {
		out = fsm.Measurement{Verdict: fsm.VerdictNoData, Detail: "no requests in the last hour"}
	}
	out.Value = strings.Join(told, "; ")
	return query, out
}

// burnRate is how many times faster than allowed the budget is spent.
func burnRate(v any, objective float64) float64 {
	if list, ok := v.([]float64); ok && len(list) > 0 {
		v = list[0]
	}
	f, ok := v.(float64)
	if !ok {
		return math.NaN()
	}
	return f / (1 - objective)
}
