package main

import (
	"testing"

	"github.com/armon/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

func TestMeasurementsOfEveryEntryAreSpared(t *testing.T) {
	kept := metrics.NewInmemSink(1e12, 1e12)
	registry := prometheus.NewRegistry()
	s, err := newSparing(kept, registry)
	require.NoError(t, err)
	for range 2 * timedCommits {
		s.IncrCounterWithLabels([]string{"raft", "apply"}, 1, nil)
		s.AddSampleWithLabels([]string{"raft", "commitTime"}, 3, nil)
		s.AddSampleWithLabels([]string{"raft", "boltdb", "logSize"}, 200, nil)
		s.AddSampleWithLabels([]string{"raft", "boltdb", "logsPerBatch"}, 7, nil)
		s.IncrCounterWithLabels([]string{"raft", "barrier"}, 1, nil)
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Equal(t, "raft_apply", families[0].GetName())
	require.InDelta(t, 2*timedCommits, families[0].GetMetric()[0].GetCounter().GetValue(), 0)

	counts := map[string]int{}
	for name, sample := range kept.Data()[0].Samples {
		counts[name] = sample.Count
	}
	for name, counter := range kept.Data()[0].Counters {
		counts[name] = counter.Count
	}
	require.Equal(t, map[string]int{"raft.commitTime": 2, "raft.boltdb.logsPerBatch": 2 * timedCommits, "raft.barrier": 2 * timedCommits}, counts)
}
