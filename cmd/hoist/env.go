package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) envCommand() *cobra.Command {
	return noun("env", "List, create and freeze environments", "  hoist env list", []string{"envs", "environment", "environments"},
		a.envListCommand(), a.envCreateCommand(), a.envPolicyCommand(), a.envOrderCommand(), a.envFreezeCommand(), a.envUnfreezeCommand(), a.envBudgetCommand())
}

func (a *app) envListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the environments of the tenant, in order",
		Example: "  hoist env list -o wide",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			all, err := n.envs.List(ctx, &hoistv1.ListEnvironmentsRequest{})
			if err != nil {
				return err
			}
			v := view{message: all, header: []string{"KEY", "FLAGS", "SEGMENTS", "REVISION", "NAME", "HASH"}, wide: 2}
			for _, e := range all.GetEnvironments() {
				v.names = append(v.names, "env/"+e.GetKey())
				v.rows = append(v.rows, []string{e.GetKey(), fmt.Sprint(e.GetFlags()), fmt.Sprint(e.GetSegments()),
					revisionText(e.GetRevision()), e.GetName(), e.GetDeclaredHash()})
			}
			return a.show(v)
		},
	}
	return a.printing(a.remote(c), listFormats...)
}

func (a *app) envCreateCommand() *cobra.Command {
	var w *writing
	var name string
	c := &cobra.Command{
		Use:     "create KEY",
		Short:   "Create an environment after the existing ones",
		Example: `  hoist env create qa --name "Quality assurance"`,
		Args:    takes("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.CreateEnvironmentResponse, error) {
				return n.envs.Create(ctx, &hoistv1.CreateEnvironmentRequest{Key: args[0], Name: name, Write: o})
			})
			if err != nil {
				return err
			}
			return a.report(cmd.Context(), n, w, done, view{message: done}, "environment "+args[0]+" created")
		},
	}
	c.Flags().StringVar(&name, "name", "", "name for people")
	c, w = a.changing(c)
	return c
}
