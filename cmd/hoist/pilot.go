package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
	promsource "github.com/hoistflags/hoist/rollout/prometheus"
	"github.com/hoistflags/hoist/rollout/web"
)

// plans reads plans for the door, which does not know what makes one good.
type plans struct{}

func (plans) Parse(document []byte) (*fsm.Plan, []string, error) {
	plan, err := rollout.ParsePlan(document)
	if err != nil {
		return nil, nil, err
	}
	return plan, rollout.Warnings(plan), nil
}

// pilotMeters are the metrics of the pilot.
type pilotMeters struct {
	decisions *prometheus.CounterVec
	failures  *prometheus.CounterVec
}

// newPilotMeters registers them, with the number of rollouts per phase; nil without a registry.
func newPilotMeters(registry *prometheus.Registry, store *fsm.Store) (rollout.Meters, error) {
	if registry == nil {
		return nil, nil
	}
	m := &pilotMeters{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hoist_rollout_decisions_total", Help: "Moves this node made as the controller of rollouts."}, []string{"verdict"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hoist_metric_query_errors_total", Help: "Measurements of rollouts that ended in an error."}, []string{"provider"}),
	}
	for _, c := range []prometheus.Collector{m.decisions, m.failures, phases{store, prometheus.NewDesc(
		"hoist_rollouts", "Rollouts that own a seat, by phase.", []string{"phase"}, nil)}} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *pilotMeters) Decided(move fsm.Move) { m.decisions.WithLabelValues(string(move)).Inc() }

func (m *pilotMeters) Queried(provider string, failed bool) {
	if failed {
		m.failures.WithLabelValues(provider).Inc()
	}
}

// phases counts live rollouts when somebody asks.
type phases struct {
	store *fsm.Store
	desc  *prometheus.Desc
}

func (p phases) Describe(out chan<- *prometheus.Desc) { out <- p.desc }

func (p phases) Collect(out chan<- prometheus.Metric) {
	count := map[fsm.Phase]int{fsm.PhaseProgressing: 0, fsm.PhaseHolding: 0, fsm.PhasePaused: 0}
	state := p.store.State()
	for _, tenant := range state.Tenants() {
		for _, env := range state.Environments(tenant) {
			for _, r := range env.LiveRollouts() {
				if r.Phase.Live() {
					count[r.Phase]++
				}
			}
		}
	}
	for phase, n := range count {
		out <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, float64(n), string(phase))
	}
}

// fly runs the pilot beside a node until stop is called, which waits for it.
func (i *instance) fly(store *fsm.Store, meters rollout.Meters) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	pilot := &rollout.Pilot{Store: store, Cluster: i.node, Meters: meters, Logger: i.logger,
		Sources: rollout.Sources{Prometheus: promsource.New(), Web: web.New()}}
	go func() {
		defer close(done)
		if err := pilot.Run(ctx); err != nil {
			i.logger.Error("the pilot does not run", "error", err)
		}
	}()
	i.land = func() { cancel(); <-done }
}
