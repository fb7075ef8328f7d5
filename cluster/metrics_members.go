package cluster

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"
)

// memberMetrics shows the members as `hoist cluster status` does. It asks when it is scraped, so a member that is gone
// leaves no series behind.
type memberMetrics struct {
	node *Node

	voters, healthy, canLose *prometheus.Desc
	lag, contact, disk       *prometheus.Desc
}

func newMemberMetrics(n *Node) *memberMetrics {
	one := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	each := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"member"}, nil)
	}
	return &memberMetrics{node: n,
		voters:  one("hoist_cluster_voters", "Voters of the cluster."),
		healthy: one("hoist_cluster_healthy_voters", "Voters that are alive, as this node sees it."),
		canLose: one("hoist_cluster_can_lose", "Healthy voters that may still fail before the quorum is lost."),
		lag:     each("hoist_member_lag_entries", "Committed entries the member does not have; on the leader."),
		contact: each("hoist_member_last_contact_seconds", "Time since the member answered; on the leader."),
		disk:    each("hoist_member_disk_free_bytes", "Free space on the disk of the member, where it is known."),
	}
}

// Describe implements prometheus.Collector.
func (m *memberMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.voters, m.healthy, m.canLose, m.lag, m.contact, m.disk} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *memberMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.node.Status()
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	voters, healthy := s.voters()
	send(m.voters, float64(voters))
	send(m.healthy, float64(healthy))
	send(m.canLose, float64(s.CanLose))
	named := map[string]bool{}
	for _, member := range s.Members {
		name := cmp.Or(member.Name, member.ID)
		if named[name] { // two of a name: the id tells them apart
			name = member.ID
		}
		named[name] = true
		if member.DiskSize > 0 {
			send(m.disk, float64(member.DiskFree), name)
		}
		if s.Leader == s.NodeID && member.ID != s.NodeID {
			send(m.lag, float64(member.Lag), name)
			send(m.contact, member.LastContact.Seconds(), name)
		}
	}
}
