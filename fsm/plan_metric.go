package fsm

import (
	"fmt"
	"strings"
)

func (c *planCheck) list(at string, metrics []Metric) {
	if len(metrics) == 0 {
		c.add(at, "plan.required", "an analysis needs a metric")
	}
	for i := range metrics {
		one := fmt.Sprintf("%s/%d", at, i)
		m := &metrics[i]
		c.key(one+"/name", m.Name)
		if c.metrics[at+m.Name] {
			c.add(one+"/name", "plan.duplicate", "two metrics of one analysis are called %q", m.Name)
		}
		c.metrics[at+m.Name] = true
		c.counts(one, m)
		c.verdict(one, m)
		c.provider(one, m)
	}
}

// counts: limits that can be reached, and no loop without a pause.
func (c *planCheck) counts(at string, m *Metric) {
	c.limit(at+"/failureLimit", m.FailureLimit)
	c.limit(at+"/inconclusiveLimit", m.InconclusiveLimit)
	c.limit(at+"/consecutiveErrorLimit", m.errorLimit())
	switch {
	case m.Count < 0:
		c.add(at+"/count", "plan.count", "how many measurements: 1 or more, or nothing for no end")
	case m.Count > 1 && m.Interval == 0:
		c.add(at+"/interval", "plan.required", "%d measurements need an interval between them", m.Count)
	case m.ConsecutiveSuccessLimit < 0:
		c.add(at+"/consecutiveSuccessLimit", "plan.limit", "a number from 1, or 0 for none")
	case m.FailureLimit == -1 && m.ConsecutiveSuccessLimit == 0:
		c.add(at+"/failureLimit", "plan.limit", "without a limit on failures and without consecutiveSuccessLimit the metric decides nothing; put it under dryRun instead")
	case m.total() > 0 && m.FailureLimit >= m.total():
		c.add(at+"/failureLimit", "plan.limit", "%d failures are tolerated but only %d measurements taken: it can never fail", m.FailureLimit, m.total())
	case m.total() > 0 && m.total() < max(m.FailureLimit, 0)+m.ConsecutiveSuccessLimit:
		c.add(at+"/count", "plan.count", "at least failureLimit + consecutiveSuccessLimit = %d measurements", max(m.FailureLimit, 0)+m.ConsecutiveSuccessLimit)
	case m.Interval > 0 && m.Interval < 1000:
		c.add(at+"/interval", "plan.interval", "at least 1s")
	}
	if n := m.MinMeasurements; n != nil && (*n < 1 || m.total() > 0 && *n > m.total()) {
		c.add(at+"/minMeasurements", "plan.count", "at least 1, and no more than are taken")
	}
}

func (c *planCheck) verdict(at string, m *Metric) {
	if m.BurnRate == nil && m.SuccessCondition == "" && m.FailureCondition == "" {
		c.add(at, "plan.condition", "a metric needs a successCondition or a failureCondition: without one its answers mean nothing")
	}
	if m.BurnRate != nil && m.SuccessCondition+m.FailureCondition != "" {
		c.add(at+"/successCondition", "plan.condition", "burnRate brings its own conditions")
	}
	c.oneOf(at+"/noData", m.NoData, NoDataWait, NoDataInconclusive, NoDataFail, NoDataPass, NoDataEvaluate)
	c.oneOf(at+"/scope", m.Scope, ScopeGlobal)
	if m.GuardStable && m.Scope == ScopeGlobal {
		c.add(at+"/guardStable", "plan.scope", "a global metric says the same of both cohorts")
	}
	c.size(at+"/successCondition", m.SuccessCondition)
	c.size(at+"/failureCondition", m.FailureCondition)
}

func (c *planCheck) provider(at string, m *Metric) {
	set, scoped := 0, ""
	if m.Prometheus != nil {
		set++
		scoped = m.Prometheus.Query
		c.address(at+"/prometheus/address", m.Prometheus.Address)
		c.text(at+"/prometheus/query", m.Prometheus.Query)
	}
	if m.Web != nil {
		set++
		scoped = m.Web.URL
		c.address(at+"/web/url", m.Web.URL)
	}
	if m.BurnRate != nil {
		set++
		scoped = m.BurnRate.Bad
		c.address(at+"/burnRate/address", m.BurnRate.Address)
		if o := m.BurnRate.Objective; o <= 0 || o >= 1 {
			c.add(at+"/burnRate/objective", "plan.objective", "a share between 0 and 1, such as 0.999")
		}
		c.windowed(at+"/burnRate/bad", m.BurnRate.Bad)
		c.windowed(at+"/burnRate/total", m.BurnRate.Total)
	}
	if set != 1 {
		c.add(at, "plan.provider", "a metric is asked of exactly one of prometheus, web and burnRate")
		return
	}
	if m.Scope != ScopeGlobal && !strings.Contains(scoped, "{{args.cohort}}") && !strings.Contains(scoped, "{{args.candidate}}") {
		c.add(at, "plan.scope", "the query covers everybody, so a bad canary would be diluted: select the cohort with {{args.cohort}}, or write `scope: global`")
	}
}

func (c *planCheck) text(at, query string) {
	if strings.TrimSpace(query) == "" {
		c.add(at, "plan.required", "a query is required")
	}
	c.size(at, query)
}

func (c *planCheck) size(at, text string) {
	if len(text) > maxQuery {
		c.add(at, "text.size", "at most %d bytes", maxQuery)
	}
}

func (c *planCheck) limit(at string, n int) {
	if n < -1 {
		c.add(at, "plan.limit", "a number from 0, or -1 for no limit")
	}
}

func (c *planCheck) windowed(at, query string) {
	c.text(at, query)
	if !strings.Contains(query, "{{window}}") {
		c.add(at, "plan.window", "the query must hold {{window}} where its range stands: rate(errors_total[{{window}}])")
	}
}

// address: what is asked is an HTTP endpoint; credentials do not belong into a plan that everybody can read.
func (c *planCheck) address(at, text string) {
	rest, plain := strings.CutPrefix(text, "http://")
	rest, secure := strings.CutPrefix(rest, "https://")
	host, _, _ := strings.Cut(rest, "/")
	if !plain && !secure || host == "" || strings.ContainsAny(host, "@ ") {
		c.add(at, "plan.address", "%q is no http or https address without credentials", text)
	}
}

func (m *Metric) errorLimit() int {
	if m.ConsecutiveErrorLimit == nil {
		return 4
	}
	return *m.ConsecutiveErrorLimit
}

// total is how many measurements complete the metric; 0: it has no end.
func (m *Metric) total() int {
	if m.Count == 0 && m.Interval == 0 {
		return 1
	}
	return m.Count
}

// Needed is how many successful measurements a step needs since the last raise.
func (m *Metric) Needed() int {
	if m.MinMeasurements == nil {
		return 1
	}
	return *m.MinMeasurements
}

func (m *Metric) noDataTimeout() int64 {
	if m.NoDataTimeout == 0 {
		return 3_600_000
	}
	return int64(m.NoDataTimeout)
}
