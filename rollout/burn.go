package rollout

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// burnTier is one pair of windows of the multi-window burn-rate method (Google, The Site Reliability Workbook, chapter 5):
// both windows must burn faster than the rate, the long one so that it matters, the short one so that it still does.
type burnTier struct {
	rate        float64
	long, short string
	span        time.Duration // of long
	page        bool
}

// burnTiers are those of a budget over a period: a page when 2 % of it is spent in an hour or 5 % in six, a ticket when
// 10 % is in one day or three. Over 30 days that is 14.4, 6, 3 and 1 times as fast as allowed.
func burnTiers(period time.Duration) []burnTier {
	rate := func(thousandths int, span time.Duration) float64 {
		return float64(thousandths) * period.Hours() / (1000 * span.Hours())
	}
	const hour, day = time.Hour, 24 * time.Hour
	return []burnTier{{rate(20, hour), "1h", "5m", hour, true}, {rate(50, 6*hour), "6h", "30m", 6 * hour, true},
		{rate(100, day), "1d", "2h", day, false}, {rate(100, 3*day), "3d", "6h", 3 * day, false}}
}

const month = 30 * 24 * time.Hour

// rates asks how many times faster than allowed an error budget is spent, over windows. NaN: there were no requests.
type rates struct {
	sources Sources
	args    *strings.Replacer
	gate    fsm.BurnRate
	known   map[string]float64
	query   string // the first that was asked
	raw     []byte // every answer, a line each
}

func (r *rates) over(ctx context.Context, window string) (float64, error) {
	if rate, known := r.known[window]; known {
		return rate, nil
	}
	ratio := strings.ReplaceAll(fmt.Sprintf("((%s) or vector(0)) / (%s)", r.gate.Bad, r.gate.Total), "{{window}}", window)
	reply := r.sources.ask(ctx, r.args, &fsm.Metric{Prometheus: &fsm.Prometheus{Address: r.gate.Address, Query: ratio, Timeout: r.gate.Timeout}})
	if r.query == "" {
		r.query = reply.text
	}
	if reply.err != nil {
		return 0, reply.err
	}
	r.known[window] = burnRate(reply.Value, r.gate.Objective)
	r.raw = fmt.Appendf(r.raw, "%s %s\n", window, reply.Raw)
	return r.known[window], nil
}

// burning finds the first tier both of whose windows burn, and tells what was seen on the way.
func (r *rates) burning(ctx context.Context, tiers []burnTier) (found *burnTier, told string, err error) {
	var all []string
	for i := range tiers {
		tier := &tiers[i]
		long, err := r.over(ctx, tier.long)
		if err != nil {
			return nil, "", err
		}
		short, err := r.over(ctx, tier.short)
		if err != nil {
			return nil, "", err
		}
		all = append(all, fmt.Sprintf("%s/%s: %.2f %.2f of %g", tier.long, tier.short, long, short, tier.rate))
		if long > tier.rate && short > tier.rate {
			found = tier
			break
		}
	}
	return found, strings.Join(all, "; "), nil
}

// burn measures a burn-rate gate: a tier that pages fails, one that only asks for a ticket is inconclusive.
func (s Sources) burn(ctx context.Context, args *strings.Replacer, m *fsm.Metric, measured *fsm.MetricMeasured) {
	r := &rates{sources: s, args: args, gate: *m.BurnRate, known: map[string]float64{}}
	tier, told, err := r.burning(ctx, burnTiers(month))
	measured.Query, measured.Raw = r.query, fsm.NewRawAnswer(r.raw)
	out := &measured.Measurement
	out.Verdict, out.Value = fsm.VerdictSuccessful, told
	switch {
	case err != nil:
		*out = fsm.Measurement{Verdict: fsm.VerdictError, Detail: clip(err.Error())}
	case math.IsNaN(r.known["1h"]):
		out.Verdict, out.Detail = fsm.VerdictNoData, "no requests in the last hour"
	case tier != nil:
		out.Verdict = fsm.VerdictInconclusive
		if tier.page {
			out.Verdict = fsm.VerdictFailed
		}
		out.Detail = fmt.Sprintf("the error budget burns faster than %g times over %s and %s", tier.rate, tier.long, tier.short)
	}
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
