package cluster

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what operators must see of a node. Gauges are read when they are scraped.
type metrics struct {
	fsync     *prometheus.HistogramVec
	apply     prometheus.Histogram
	unknown   prometheus.Counter
	fenced    prometheus.Counter
	abandoned prometheus.Gauge
	offset    prometheus.Gauge
	restarts  prometheus.Counter
}

func newMetrics() *metrics {
	buckets := prometheus.ExponentialBuckets(0.00005, 2, 17) // 50 µs to 3.3 s
	return &metrics{
		fsync: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hoist_fsync_duration_seconds", Help: "Time of one durable write of the log store.", Buckets: buckets}, []string{"op"}),
		apply: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hoist_apply_duration_seconds", Help: "Time to apply and publish one batch of committed entries.", Buckets: buckets}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hoist_unknown_outcome_total", Help: "Writes whose caller was told that the outcome is unknown."}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hoist_fenced_total", Help: "Steps of a former leader that were refused."}),
		abandoned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hoist_raft_abandoned_futures", Help: "Operations inside raft whose caller has left."}),
		offset: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hoist_clock_offset_seconds", Help: "Median of the peers' wall clocks minus this node's."}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hoist_raft_restarts_total", Help: "Times raft was started anew inside this process, because its log had parted from the leader's."}),
	}
}

// register adds everything to r; with r nil the metrics are kept for nobody.
func (n *Node) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	n.collectors = []prometheus.Collector{
		newMemberMetrics(n),
		n.metrics.fsync, n.metrics.apply, n.metrics.unknown, n.metrics.fenced, n.metrics.abandoned, n.metrics.offset, n.metrics.restarts,
		gauge("hoist_raft_term", "Term of raft.", func() float64 { return float64(n.raft().CurrentTerm()) }),
		gauge("hoist_raft_commit_index", "Highest index known to be committed.", func() float64 { return float64(n.raft().CommitIndex()) }),
		gauge("hoist_raft_applied_index", "Revision of the local state.", func() float64 { return float64(n.cfg.Store.State().Index()) }),
		gauge("hoist_raft_is_leader", "1 while this node leads.", func() float64 { return truth(n.lead.Load() != nil) }),
		gauge("hoist_raft_has_leader", "1 while this node knows a leader.", func() float64 { _, id := n.raft().LeaderWithID(); return truth(id != "") }),
		gauge("hoist_disk_free_bytes", "Space free on the disk of the data directory.", func() float64 { return float64(n.space.free.Load()) }),
		gauge("hoist_disk_size_bytes", "Size of the disk of the data directory; 0: not known.", func() float64 { return float64(n.space.size.Load()) }),
		gauge("hoist_disk_full", "1 while the disk is too full to take writes.", func() float64 { return truth(n.space.full.Load()) }),
		gauge("hoist_state_age_seconds", "Time since this node knew that its state was current.", func() float64 { return n.Age().Seconds() }),
		gauge("hoist_snapshot_age_seconds", "Time since the newest snapshot of the log.", func() float64 { return n.machine.snapshotAge().Seconds() }),
	}
	for _, c := range n.collectors {
		if err := r.Register(c); err != nil {
			n.unregister(r)
			return errors.Join(errors.New("metrics are registered already: one registry serves one node"), err)
		}
	}
	return nil
}

func (n *Node) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range n.collectors {
		r.Unregister(c)
	}
}
