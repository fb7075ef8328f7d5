package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
	promsource "github.com/hoistflags/hoist/rollout/prometheus"
	"github.com/hoistflags/hoist/rollout/web"
	"github.com/hoistflags/hoist/rollout/webhook"
)

// plans reads plans for the door, which does not know what makes one good, nor whom this server can tell.
type plans struct{ receivers []string }

func (p plans) Parse(document []byte) (*fsm.Plan, []string, error) {
	plan, err := rollout.ParsePlan(document)
	if err != nil {
		return nil, nil, err
	}
	for i, text := range plan.Notify {
		if name := strings.TrimPrefix(text, fsm.NotifyWebhook); !slices.Contains(p.receivers, name) {
			return nil, nil, fsm.Problems{{Field: fmt.Sprintf("/notify/%d", i), Code: "plan.notify", Message: fmt.Sprintf(
				"this server knows no webhook %q; its webhooks_file names the ones there are", name)}}
		}
	}
	return plan, rollout.Warnings(plan), nil
}

func (plans) ParseBudget(document []byte) (*fsm.Budget, error) { return rollout.ParseBudget(document) }

// readWebhooks reads the file of receivers; without one nobody can be told.
func readWebhooks(path string) (*webhook.Book, error) {
	if path == "" {
		return webhook.Parse(nil)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, failed("another webhooks_file", "webhooks_file: %v", err)
	}
	book, err := webhook.Parse(data)
	if err != nil {
		return nil, failed("correct it as docs/rollouts.md shows", "webhooks_file %s: %v", path, err)
	}
	return book, nil
}

// pilotMeters are the metrics of the pilot.
type pilotMeters struct {
	decisions *prometheus.CounterVec
	failures  *prometheus.CounterVec
	notices   *prometheus.CounterVec
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
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hoist_notices_sent_total", Help: "Tries of this node, as the leader, to deliver a notice."}, []string{"receiver", "outcome"}),
	}
	for _, c := range []prometheus.Collector{m.decisions, m.failures, m.notices, newOutboxMeter(store), phases{store, prometheus.NewDesc(
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

func (m *pilotMeters) Delivered(receiver string, failed bool) {
	outcome := "delivered"
	if failed {
		outcome = "failed"
	}
	m.notices.WithLabelValues(receiver, outcome).Inc()
}

// outboxMeter tells how many notices wait and how many were dropped, when somebody asks.
type outboxMeter struct {
	store            *fsm.Store
	waiting, dropped *prometheus.Desc
}

func newOutboxMeter(store *fsm.Store) outboxMeter {
	return outboxMeter{store, prometheus.NewDesc("hoist_notices_waiting", "Notices that were not delivered yet.", []string{"receiver"}, nil),
		prometheus.NewDesc("hoist_notices_dropped_total", "Notices that were given up or pushed out by newer ones.", []string{"receiver"}, nil)}
}

func (m outboxMeter) Describe(out chan<- *prometheus.Desc) { out <- m.waiting; out <- m.dropped }

func (m outboxMeter) Collect(out chan<- prometheus.Metric) {
	for _, r := range m.store.State().Receivers() {
		out <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(len(r.Waiting())), r.Name)
		out <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(r.Dropped), r.Name)
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
func (i *instance) fly(store *fsm.Store, book *webhook.Book, meters rollout.Meters) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	pilot := &rollout.Pilot{Store: store, Cluster: i.node, Meters: meters, Logger: i.logger,
		Sources: rollout.Sources{Prometheus: promsource.New(), Web: web.New()}}
	if book != nil {
		pilot.Messenger = book
	}
	go func() {
		defer close(done)
		if err := pilot.Run(ctx); err != nil {
			i.logger.Error("the pilot does not run", "error", err)
		}
	}()
	i.land = func() { cancel(); <-done }
}
