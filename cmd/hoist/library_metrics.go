package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/armon/go-metrics"
	metricsprom "github.com/armon/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// libraryMetrics shows what raft and memberlist measure about themselves (raft_*, memberlist_*). Their registry is global
// to the process, so only a server installs it, once; never a test or a node that shares a process.
func libraryMetrics(registry *prometheus.Registry) error {
	sink, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{Registerer: registry, Expiration: time.Minute})
	if err != nil {
		return fmt.Errorf("preparing the metrics of raft: %w", err)
	}
	spared, err := newSparing(sink, registry)
	if err != nil {
		return fmt.Errorf("preparing the metrics of raft: %w", err)
	}
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname, cfg.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(cfg, spared); err != nil {
		return fmt.Errorf("preparing the metrics of raft: %w", err)
	}
	return nil
}

// sparing keeps from the sink most of what the libraries measure once per log entry. A sample costs the sink about 2 µs, for
// a name that it puts together and a summary that it keeps sorted: as much as applying the entry costs in a large batch.
type sparing struct {
	metrics.MetricSink
	applies prometheus.Counter
	commits atomic.Uint64
}

// timedCommits is how many commits come upon one whose time is shown.
const timedCommits = 16

func newSparing(sink metrics.MetricSink, registry *prometheus.Registry) (*sparing, error) {
	s := &sparing{MetricSink: sink, applies: prometheus.NewCounter(prometheus.CounterOpts{Name: "raft_apply", Help: "raft_apply"})}
	return s, registry.Register(s.applies)
}

// IncrCounterWithLabels counts what is proposed by itself.
func (s *sparing) IncrCounterWithLabels(key []string, value float32, labels []metrics.Label) {
	if len(key) == 2 && key[0] == "raft" && key[1] == "apply" {
		s.applies.Add(float64(value))
		return
	}
	s.MetricSink.IncrCounterWithLabels(key, value, labels)
}

// AddSampleWithLabels leaves out sizes of entries, of which the sizes of batches tell enough, and most commit times.
func (s *sparing) AddSampleWithLabels(key []string, value float32, labels []metrics.Label) {
	switch {
	case len(key) == 3 && key[1] == "boltdb" && key[2] == "logSize":
		return
	case len(key) == 2 && key[0] == "raft" && key[1] == "commitTime" && s.commits.Add(1)%timedCommits != 1:
		return
	}
	s.MetricSink.AddSampleWithLabels(key, value, labels)
}
