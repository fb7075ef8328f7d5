package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) envFreezeCommand() *cobra.Command {
	var w *writing
	var reason, kind string
	var window bool
	var span time.Duration
	var over reach
	c := &cobra.Command{
		Use: "freeze", Short: "Let nothing rise in an environment: no rollout starts, advances or lands",
		Long: `Stop every start, advance and landing of rollouts in an environment, on all nodes at once. Aborts, rollbacks and kills stay free, and
measuring goes on. When the freeze ends, by itself after --for or with "hoist env unfreeze", every hold ends later by the time it was frozen.`,
		Example: `  hoist env freeze -e production --reason "incident 7" --for 2h
  hoist env freeze -e production --flag new-checkout --reason "legal asks"
  hoist env freeze --whole tenant --reason "release day" --window --for 24h`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				return usage(cmd, "--reason is missing: whoever meets the freeze wants to know why")
			}
			if err := over.check(cmd); err != nil {
				return err
			}
			if window {
				kind = string(fsm.FreezeWindow)
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			text := ""
			if span > 0 {
				text = span.String()
			}
			done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.FreezeResponse, error) {
				return n.rollouts.Freeze(ctx, &hoistv1.FreezeRequest{Environment: n.environment, Reason: reason, For: text, Of: over.of(), Flag: over.flag, Kind: kind, Write: o})
			})
			if err != nil {
				return err
			}
			what := over.text(n) + " frozen"
			if until := done.GetFreeze().GetUntil(); until != nil {
				what += " until " + until.AsTime().Local().Format(time.DateTime)
			}
			return a.report(cmd.Context(), n, w, done, view{message: done}, what)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who meet the freeze")
	spanFlag(c.Flags(), &span, "for", 0, 0, "end by itself after this long (0: until somebody unfreezes)")
	c.Flags().BoolVar(&window, "window", false, "it is planned, not an incident")
	over.flags(c)
	c, w = a.changing(c)
	return c
}

// reach is how far a freeze goes.
type reach struct{ flag, whole string }

func (r *reach) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.flag, "flag", "", "only this flag")
	c.Flags().StringVar(&r.whole, "whole", "", "every environment of the tenant, or of the cluster: tenant, cluster")
}

func (r *reach) check(cmd *cobra.Command) error {
	switch {
	case r.flag != "" && r.whole != "":
		return usage(cmd, "--flag and --whole exclude each other")
	case r.whole != "" && r.whole != string(fsm.OfTenant) && r.whole != string(fsm.OfCluster):
		return usage(cmd, "--whole is tenant or cluster")
	}
	return nil
}

func (r *reach) of() string {
	if r.flag != "" {
		return string(fsm.OfFlag)
	}
	return r.whole
}

func (r *reach) text(n *node) string {
	switch {
	case r.flag != "":
		return "flag " + r.flag + " in " + n.environment
	case r.whole != "":
		return "the whole " + r.whole
	}
	return "environment " + n.environment
}

func (a *app) envUnfreezeCommand() *cobra.Command {
	var w *writing
	var over reach
	c := &cobra.Command{
		Use: "unfreeze", Short: "End the freeze of an environment",
		Example: "  hoist env unfreeze -e production",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := over.check(cmd); err != nil {
				return err
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.FreezeResponse, error) {
				return n.rollouts.Unfreeze(ctx, &hoistv1.UnfreezeRequest{Environment: n.environment, Of: over.of(), Flag: over.flag, Write: o})
			})
			if err != nil {
				return err
			}
			return a.report(cmd.Context(), n, w, done, view{message: done}, over.text(n)+" not frozen")
		},
	}
	over.flags(c)
	c, w = a.changing(c)
	return c
}

// orAllRollouts gives `flag kill` its second form, which names no flag.
func (a *app) orAllRollouts(c *cobra.Command, all *bool, reason *string) *cobra.Command {
	one, args := c.RunE, c.Args
	c.Args = func(cmd *cobra.Command, given []string) error {
		if !*all {
			return args(cmd, given)
		}
		return takes()(cmd, given)
	}
	c.RunE = func(cmd *cobra.Command, given []string) error {
		if !*all {
			return one(cmd, given)
		}
		if !cmd.Flags().Changed("output") {
			a.output = "table"
		}
		n, err := a.connect()
		if err != nil {
			return err
		}
		comment, _ := cmd.Flags().GetString("comment") // --comment is a flag of every write
		w := &writing{comment: comment}
		if w.dryRun, err = cmd.Flags().GetBool("dry-run"); err != nil {
			return err
		}
		if w.wait, err = cmd.Flags().GetBool("wait"); err != nil {
			return err
		}
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.KillRolloutsResponse, error) {
			return n.rollouts.KillAll(ctx, &hoistv1.KillRolloutsRequest{Environment: n.environment, Reason: *reason, Write: o})
		})
		if err != nil {
			return err
		}
		return a.report(cmd.Context(), n, w, done, view{message: done}, fmt.Sprintf("%d rollout(s) of %s ended", len(done.GetEnded()), n.environment))
	}
	return c
}
