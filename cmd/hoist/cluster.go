package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) clusterCommand() *cobra.Command {
	return noun("cluster", "Look at and change the members of a cluster", "  hoist cluster status", nil,
		a.clusterStatusCommand(), a.clusterMembersCommand(), a.clusterJoinCommand(), a.clusterRemoveCommand(),
		a.clusterTransferCommand(), a.clusterSnapshotCommand(), a.clusterBackupCommand(), a.clusterRestoreCommand(), a.clusterRecoverCommand())
}

// onCluster makes a cluster command out of one call.
func (a *app) onCluster(c *cobra.Command, call func(ctx context.Context, n *node, args []string) error) *cobra.Command {
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
		defer cancel()
		return call(ctx, n, args)
	}
	return a.remote(c)
}

func (a *app) clusterStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show leader, term, revision and how many nodes may fail",
		Example: "  hoist cluster status\n  hoist cluster status -o json",
		Args:    takes(),
	}
	return a.printing(a.onCluster(c, func(ctx context.Context, n *node, _ []string) error {
		s, err := n.cluster.Status(ctx, &hoistv1.ClusterStatusRequest{})
		if err != nil {
			return err
		}
		if a.output != "table" {
			return a.showMessage(s)
		}
		leader := "none: writes wait, evaluations keep working"
		for _, m := range s.GetMembers() {
			if m.GetId() == s.GetLeader() {
				leader = m.GetName() + " (" + m.GetApiAddr() + ")"
			}
		}
		fmt.Fprintf(a.stdout, "cluster    %s (%s)\nasked      %s, %s, hoist %s\nleader     %s\n"+
			"term       %d\nrevision   %d of epoch %s, %s old\n",
			s.GetClusterName(), s.GetClusterId(), s.GetNodeName(), s.GetRole(), s.GetVersion(), leader, s.GetTerm(),
			s.GetApplied(), s.GetPosition().GetEpoch(), ageText(s.GetPosition().GetAgeMs()))
		fmt.Fprintf(a.stdout, "quorum     %d of %d voters; %s\nhash       %s\n",
			s.GetQuorum(), voters(s.GetMembers()), s.GetMargin(), s.GetDomainHash())
		if s.GetInsecure() {
			fmt.Fprintln(a.stdout, "security   peers and gossip are not encrypted")
		}
		fmt.Fprintln(a.stdout)
		v := membersView(s.GetMembers())
		writeTable(a.stdout, v.header[:len(v.header)-v.wide], v.rows)
		return nil
	}), "table", "json", "yaml")
}

func voters(members []*hoistv1.Member) int {
	count := 0
	for _, m := range members {
		if m.GetRole() == "leader" || m.GetRole() == "voter" {
			count++
		}
	}
	return count
}

func ageText(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }

func membersView(members []*hoistv1.Member) view {
	v := view{header: []string{"NAME", "ROLE", "HEALTH", "API", "LAG", "LAST CONTACT", "VERSION", "DISK FREE", "PEER", "GOSSIP", "ID"}, wide: 3}
	for _, m := range members {
		v.names = append(v.names, "member/"+m.GetName())
		v.rows = append(v.rows, []string{m.GetName(), m.GetRole(), m.GetHealth(), m.GetApiAddr(),
			fmt.Sprint(m.GetLag()), ageText(m.GetLastContactMs()),
			m.GetVersion(), diskText(m), m.GetPeerAddr(), m.GetGossipAddr(), m.GetId()})
	}
	return v
}

// diskText is how much is free, and whether that is too little.
func diskText(m *hoistv1.Member) string {
	if m.GetDiskSize() == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d MiB (%d %%)", m.GetDiskFree()>>20, 100*m.GetDiskFree()/m.GetDiskSize())
	if m.GetDiskFull() {
		text += " FULL"
	}
	return text
}

func (a *app) clusterMembersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "members",
		Short:   "List the members",
		Example: "  hoist cluster members -o wide",
		Args:    takes(),
	}
	return a.printing(a.onCluster(c, func(ctx context.Context, n *node, _ []string) error {
		all, err := n.cluster.Members(ctx, &hoistv1.MembersRequest{})
		if err != nil {
			return err
		}
		v := membersView(all.GetMembers())
		v.message = all
		return a.show(v)
	}), listFormats...)
}

func (a *app) clusterJoinCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "join GOSSIP_ADDR...",
		Short:   "Make the asked node contact others",
		Example: "  hoist cluster join 10.0.0.2:7702 --addr 10.0.0.4:7700",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "at least one gossip address is needed")
			}
			return nil
		},
	}
	return a.onCluster(c, func(ctx context.Context, n *node, args []string) error {
		if _, err := n.cluster.Join(ctx, &hoistv1.JoinRequest{Addresses: args}); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s contacts %s\n", n.addr, strings.Join(args, ", "))
		return nil
	})
}

func (a *app) clusterRemoveCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "remove NAME|ID", Short: "Take a server out of the cluster for good",
		Long: `Take a server out of the cluster for good. A stopped server stays a member and comes back by itself; remove is for one that
never returns. Refused when fewer healthy voters than a quorum would remain.`,
		Example: "  hoist cluster remove node-3", Args: takes("NAME"),
	}
	c.Flags().BoolVar(&force, "force", false, "remove it even if the rest may lose its quorum")
	return a.onCluster(c, func(ctx context.Context, n *node, args []string) error {
		if _, err := n.cluster.Remove(ctx, &hoistv1.RemoveRequest{Id: args[0], Force: force}); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s is no longer a member\n", args[0])
		return nil
	})
}

func (a *app) clusterTransferCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "transfer [NAME|ID]", Short: "Hand leadership to another voter, by default the most current one",
		Example: "  hoist cluster transfer\n  hoist cluster transfer node-2", Args: between(0, "NAME"),
	}
	return a.onCluster(c, func(ctx context.Context, n *node, args []string) error {
		if _, err := n.cluster.Transfer(ctx, &hoistv1.TransferRequest{To: strings.Join(args, "")}); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, "leadership handed over")
		return nil
	})
}

func (a *app) clusterSnapshotCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "snapshot",
		Short:   "Make the asked node write a snapshot of its state now",
		Example: "  hoist cluster snapshot",
		Args:    takes(),
	}
	return a.onCluster(c, func(ctx context.Context, n *node, _ []string) error {
		done, err := n.cluster.Snapshot(ctx, &hoistv1.SnapshotRequest{})
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "snapshot written at revision %d\n", done.GetIndex())
		return nil
	})
}
