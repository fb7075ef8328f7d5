package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) envPolicyCommand() *cobra.Command {
	var w *writing
	p := &hoistv1.EnvironmentPolicy{}
	var defaults bool
	var approvals int32
	c := &cobra.Command{
		Use: "policy", Short: "Show what an environment asks of those who change it, or change that",
		Long: `Show the policy of an environment, or change what the options name. The first environment asks for no approval, every other for one; each
takes promotions from the one before it; production is protected: its declarations change through a change or a promotion only.
Kill switches and aborts work everywhere, always.`,
		Example: "  hoist env policy -e production\n  hoist env policy -e production --approvals 2 --approvers release-managers\n" +
			"  hoist env policy -e production --protected=false\n  hoist env policy -e production --max-step 25",
		Args: takes(),
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		r := &hoistv1.SetPolicyRequest{Environment: n.environment, Policy: p, Defaults: defaults}
		p.RequiredApprovals = approvals
		for option, field := range map[string]string{"approvals": "requiredApprovals", "approvers": "approvers", "allow-from": "allowFrom",
			"protected": "protected", "max-step": "maxStep", "temporary-owner": "temporaryOwner"} {
			if cmd.Flags().Changed(option) {
				r.Fields = append(r.Fields, field)
			}
		}
		if len(r.Fields) == 0 && !defaults {
			return a.showPolicy(cmd.Context(), n)
		}
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.SetPolicyResponse, error) {
			r.Write = o
			return n.envs.SetPolicy(ctx, r)
		})
		if err != nil {
			return err
		}
		return a.report(cmd.Context(), n, w, done, view{message: done}, "policy of "+n.environment+" set")
	}
	f := c.Flags()
	f.Int32Var(&approvals, "approvals", 0, "how many other people approve a change or a promotion")
	f.StringSliceVar(&p.Approvers, "approvers", nil, "groups of tokens that may approve; empty: everybody with the role approver")
	f.StringSliceVar(&p.AllowFrom, "allow-from", nil, "environments that may be promoted here")
	f.BoolVar(&p.Protected, "protected", false, "declarations change through a change or a promotion only")
	f.Float64Var(&p.MaxStep, "max-step", 0, "most that the share of a variant may rise in one move, in percent; below 100 nothing goes from 0 to 100 at once")
	f.BoolVar(&p.TemporaryOwner, "temporary-owner", false, "temporary flags need an owner besides their expiry")
	f.BoolVar(&defaults, "defaults", false, "everything that is not named goes back to its default")
	c, w = a.changing(c)
	return c
}

func (a *app) showPolicy(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	all, err := n.envs.List(ctx, &hoistv1.ListEnvironmentsRequest{})
	if err != nil {
		return err
	}
	for _, e := range all.GetEnvironments() {
		if e.GetKey() != n.environment {
			continue
		}
		if a.output != "table" {
			return a.showMessage(e.GetPolicy())
		}
		p := e.GetPolicy()
		for _, row := range [][2]string{
			{"protected", yesNo(p.GetProtected())}, {"approvals", fmt.Sprint(p.GetRequiredApprovals())},
			{"approvers", cmp.Or(strings.Join(p.GetApprovers(), ", "), "everybody with the role approver")},
			{"allow from", cmp.Or(strings.Join(p.GetAllowFrom(), ", "), "nowhere")}, {"max step", share(p.GetMaxStep())},
			{"temporary flags need an owner", yesNo(p.GetTemporaryOwner())},
		} {
			fmt.Fprintf(a.stdout, "%-30s %s\n", row[0], row[1])
		}
		return nil
	}
	return &failure{code: exitNotFound, message: "there is no environment " + n.environment, try: "hoist env list"}
}

func (a *app) envOrderCommand() *cobra.Command {
	var w *writing
	c := &cobra.Command{
		Use: "order ENV...", Short: "Put the environments into the order in which changes are promoted through them",
		Example: "  hoist env order dev qa staging production",
		Args:    cobra.MinimumNArgs(1),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.OrderEnvironmentsResponse, error) {
			return n.envs.Order(ctx, &hoistv1.OrderEnvironmentsRequest{Environments: args, Write: o})
		})
		if err != nil {
			return err
		}
		return a.report(cmd.Context(), n, w, done, view{message: done}, "order of environments set")
	}
	c, w = a.changingByID(c)
	return c
}
