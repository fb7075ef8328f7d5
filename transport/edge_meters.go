package transport

import "github.com/prometheus/client_golang/prometheus"

// edgeMeters show how the replicas of an edge stand, read when somebody looks.
type edgeMeters struct {
	edge                     *edge
	age, revision, connected *prometheus.Desc
}

func newEdgeMeters(e *edge) *edgeMeters {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"tenant", "environment"}, nil)
	}
	return &edgeMeters{
		edge:      e,
		age:       describe("hoist_edge_age_seconds", "Since what is served was known to be current."),
		revision:  describe("hoist_edge_revision", "Everything up to it is served."),
		connected: describe("hoist_edge_connected", "1 while a stream from upstream is open and alive."),
	}
}

// Describe implements prometheus.Collector.
func (m *edgeMeters) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.age, m.revision, m.connected} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *edgeMeters) Collect(out chan<- prometheus.Metric) {
	for _, scope := range m.edge.order {
		s := m.edge.replicas[scope].Status()
		connected := 0.0
		if s.Connected {
			connected = 1
		}
		gauge := func(d *prometheus.Desc, value float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, scope.Tenant, scope.Environment)
		}
		gauge(m.age, s.Age().Seconds())
		gauge(m.revision, float64(s.Revision))
		gauge(m.connected, connected)
	}
}
