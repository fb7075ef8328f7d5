package transport

import (
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/evaluator"
)

// door is a way in, as metrics name it.
type door int

const (
	doorOFREP door = iota
	doorConnect
	doorWatch
	doors // their number
)

func (d door) String() string { return [...]string{"ofrep", "connect", "watch"}[d] }

// meters are the metrics of the doors.
type meters struct {
	evaluations *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	requests    *prometheus.CounterVec
	latency     *prometheus.HistogramVec
	streams     *prometheus.GaugeVec
	lag         prometheus.Histogram
	propagation *prometheus.HistogramVec

	ofrepDuration   prometheus.Observer
	evaluateLatency prometheus.Observer
	published       prometheus.Observer
	notified        prometheus.Observer
}

// sampleEvery is the share of evaluations that are timed: reading the clock twice would cost more than evaluating.
const sampleEvery = 64

func newMeters(registry prometheus.Registerer, version string) (*meters, error) {
	m := &meters{
		evaluations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hoist_evaluations_total", Help: "Evaluations answered by this node."}, []string{"environment", "reason", "door"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hoist_evaluation_duration_seconds", Help: "Time inside the evaluator; one in 64 single evaluations is timed.",
			Buckets: prometheus.ExponentialBuckets(50e-9, 4, 12)}, []string{"door"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hoist_rpc_requests_total", Help: "Finished calls."}, []string{"procedure", "code"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hoist_rpc_duration_seconds", Help: "Duration of unary calls.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 11)}, []string{"procedure"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "hoist_streams", Help: "Open streams."}, []string{"door"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hoist_stream_lag_revisions", Help: "How many revisions a follower was behind when it was given a difference.",
			Buckets: []float64{0, 1, 2, 5, 10, 50, 250, 1000, 10000}}),
		propagation: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hoist_propagation_seconds", Help: "From the leader's stamp on a change to the stage, by the clocks of both.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"stage"}),
	}
	m.ofrepDuration = m.duration.WithLabelValues(doorOFREP.String())
	m.evaluateLatency = m.latency.WithLabelValues(evaluateProcedure)
	m.published = m.propagation.WithLabelValues("encoded")
	m.notified = m.propagation.WithLabelValues("notified")
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hoist_build_info", Help: "The build of this process; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}}, func() float64 { return 1 })
	var failed []error
	for _, c := range []prometheus.Collector{m.evaluations, m.duration, m.requests, m.latency, m.streams, m.lag, m.propagation, build} {
		failed = append(failed, registry.Register(c))
	}
	return m, errors.Join(failed...)
}

func (m *meters) reasons(environment string, d door) reasonCounters {
	at := func(r evaluator.Reason) prometheus.Counter {
		return m.evaluations.WithLabelValues(environment, string(r), d.String())
	}
	return reasonCounters{
		countStatic: at(evaluator.ReasonStatic), countDefault: at(evaluator.ReasonDefault), countMatch: at(evaluator.ReasonTargetingMatch),
		countSplit: at(evaluator.ReasonSplit), countDisabled: at(evaluator.ReasonDisabled),
		countPrerequisite: at(evaluator.ReasonPrerequisiteFailed), countFailed: at(evaluator.ReasonError),
	}
}

// Published implements stream.Observer.
func (m *meters) Published(since time.Duration) { m.published.Observe(since.Seconds()) }

// Sent implements stream.Observer.
func (m *meters) Sent(lag uint64) { m.lag.Observe(float64(lag)) }
