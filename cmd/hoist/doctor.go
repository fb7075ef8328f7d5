package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) doctorCommand() *cobra.Command {
	var dataDir string
	c := &cobra.Command{
		Use: "doctor", Short: "Check a running cluster, or the data directory of a stopped server, and name the fix of each finding",
		Long: `Check a running cluster, or with --data-dir the data directory of a stopped server, and name the fix of each finding. The exit code is 0
when nothing is a problem (warnings may be there) and 1 when something is.`,
		Example: "  hoist doctor\n  hoist doctor --addr 10.0.0.2:7700 -o json\n  hoist doctor --data-dir /var/lib/hoist", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dataDir != "" {
				seen, err := cluster.Inspect(dataDir)
				if err != nil {
					return failed("stop the server first, or ask it: hoist doctor", "%v", err)
				}
				return a.showFindings(seen.Findings)
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			found, err := a.examine(ctx, n)
			if err != nil {
				return err
			}
			return a.showFindings(found)
		},
	}
	c.Flags().StringVar(&dataDir, "data-dir", "", "check this directory instead of a running node")
	return a.printing(a.remote(c), "table", "json", "yaml")
}

// showFindings prints them and fails when one is a problem.
func (a *app) showFindings(all []cluster.Finding) error {
	problems := 0
	type line struct {
		Severity string `json:"severity"`
		What     string `json:"what"`
		Fix      string `json:"fix,omitempty"`
	}
	lines := make([]line, 0, len(all))
	for _, f := range all {
		lines = append(lines, line(f))
		if f.Severity == cluster.SeverityProblem {
			problems++
		}
		if a.output == "table" {
			fmt.Fprintf(a.stdout, "%-8s %s\n", f.Severity, f.What)
			if f.Fix != "" {
				fmt.Fprintf(a.stdout, "         fix: %s\n", f.Fix)
			}
		}
	}
	if a.output != "table" {
		if err := a.showJSON(map[string]any{"findings": lines}); err != nil {
			return err
		}
	}
	if problems > 0 {
		return failed("the fixes above", "%d of %d findings are problems", problems, len(all))
	}
	return nil
}

// examination collects findings about a running cluster.
type examination struct{ found []cluster.Finding }

func (e *examination) add(severity, fix, format string, args ...any) {
	e.found = append(e.found, cluster.Finding{Severity: severity, What: fmt.Sprintf(format, args...), Fix: fix})
}

// examine asks the node, and every member it knows, what they see.
func (a *app) examine(ctx context.Context, n *node) ([]cluster.Finding, error) {
	s, err := n.cluster.Status(ctx, &hoistv1.ClusterStatusRequest{})
	if err != nil {
		return nil, err
	}
	e := &examination{}
	e.quorum(s)
	for _, m := range s.GetMembers() {
		e.member(m)
	}
	e.everyNode(ctx, n, s)
	if s.GetInsecure() {
		e.add(cluster.SeverityWarning, "give every node the same --gossip-key-file", "peers and gossip are not encrypted: who reaches the ports can take part")
	}
	return e.found, nil
}

func (e *examination) quorum(s *hoistv1.ClusterStatusResponse) {
	total := voters(s.GetMembers())
	switch {
	case s.GetLeader() == "":
		e.add(cluster.SeverityProblem, "start the missing voters; if a majority is lost for good: hoist cluster recover --help", "nobody leads: writes wait, evaluations keep working (%s)", s.GetMargin())
	case total > 1 && s.GetCanLose() == 0:
		e.add(cluster.SeverityWarning, "start or replace the voter that is missing", "%s", s.GetMargin())
	case total == 1:
		e.add(cluster.SeverityWarning, "add two servers with --join", "%s", s.GetMargin())
	default:
		e.add(cluster.SeverityOK, "", "%d voters: %s", total, s.GetMargin())
	}
	if total > 0 && total%2 == 0 {
		e.add(cluster.SeverityWarning, "add one server, or remove one", "%d voters tolerate no more failures than %d", total, total-1)
	}
}

// maxDoctorLag is how many entries a healthy member may be behind.
const maxDoctorLag = 1000

func (e *examination) member(m *hoistv1.Member) {
	name := m.GetName()
	switch {
	case m.GetRole() == "gossip-only":
		e.add(cluster.SeverityWarning, "wait until it is let in, or stop it", "%s is seen but is no member", name)
	case m.GetHealth() == "dead":
		e.add(cluster.SeverityProblem, "start it; if it never returns: hoist cluster remove "+m.GetId(), "%s (%s) is dead", name, m.GetRole())
	case m.GetHealth() == "suspect":
		e.add(cluster.SeverityProblem, "look at its log and at the network to "+m.GetPeerAddr(), "gossip reaches %s, but its peer port does not answer", name)
	case m.GetRole() == "non-voter":
		e.add(cluster.SeverityWarning, "wait: it votes once it has caught up", "%s does not vote yet", name)
	}
	if m.GetLag() > maxDoctorLag {
		e.add(cluster.SeverityWarning, "look at its disk and its network; it catches up by itself", "%s is %d entries behind", name, m.GetLag())
	}
	free, size := m.GetDiskFree(), m.GetDiskSize()
	switch {
	case m.GetDiskFull():
		e.add(cluster.SeverityProblem, "free space there or make the disk larger; no restart is needed", "the disk of %s is full (%d MiB free): it takes no writes", name, free>>20)
	case size > 0 && free < size/10:
		e.add(cluster.SeverityWarning, "free space there or make the disk larger", "the disk of %s has %d MiB free of %d MiB", name, free>>20, size>>20)
	}
}

// staleAfter is how old a node's state may be before it counts.
const staleAfter = 5 * time.Second

// everyNode asks the members themselves: who does not answer, who is stale, whose state differs at the same revision.
func (e *examination) everyNode(ctx context.Context, n *node, s *hoistv1.ClusterStatusResponse) {
	hashes := map[uint64]map[string]string{} // by revision: hash and who showed it
	versions := map[string]string{}
	answered := 0
	for _, m := range s.GetMembers() {
		if m.GetHealth() == "dead" || m.GetApiAddr() == "" {
			continue
		}
		w := n.where
		w.addr = m.GetApiAddr()
		its, err := askStatus(ctx, w)
		if err != nil {
			e.add(cluster.SeverityWarning, "check --http-advertise of that node, and the network from here", "the door of %s at %s does not answer", m.GetName(), m.GetApiAddr())
			continue
		}
		answered++
		versions[its.GetVersion()] = m.GetName()
		if age := time.Duration(its.GetPosition().GetAgeMs()) * time.Millisecond; age > staleAfter {
			e.add(cluster.SeverityProblem, "look at its log and the network to the leader; it serves what it has meanwhile", "%s is stale: it last knew %s ago that it was current", m.GetName(), age.Round(time.Second))
		}
		at := its.GetApplied()
		if hashes[at] == nil {
			hashes[at] = map[string]string{}
		}
		hashes[at][its.GetDomainHash()] = m.GetName()
	}
	for at, seen := range hashes {
		if len(seen) > 1 {
			e.add(cluster.SeverityProblem, "stop the odd one, empty its data directory and start it with --join", "the states differ at revision %d: %v", at, seen)
		}
	}
	if len(versions) > 1 {
		e.add(cluster.SeverityWarning, "finish the upgrade: new commands are used once all nodes know them", "%d releases are running: %v", len(versions), sortedKeys(versions))
	}
	if answered > 0 {
		e.add(cluster.SeverityOK, "", "%d doors answered and show no difference at equal revisions", answered)
	}
}

func askStatus(ctx context.Context, w where) (*hoistv1.ClusterStatusResponse, error) {
	peer, err := dial(w)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return peer.cluster.Status(ctx, &hoistv1.ClusterStatusRequest{})
}
