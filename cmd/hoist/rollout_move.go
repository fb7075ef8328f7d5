package main

import (
	"context"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// rolloutMoveCommand makes a command of one move.
func (a *app) rolloutMoveCommand(move, short, done string) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: move + " ID", Short: short, Example: "  hoist rollout " + move + ` checkout-42 --reason "asked by support"`}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the rollout and in the audit log")
	return a.moving(c, func() string { return move }, &reason, done)
}

func (a *app) rolloutPromoteCommand() *cobra.Command {
	var reason string
	var full bool
	c := &cobra.Command{
		Use: "promote ID", Short: "End the current step and go on; --full lands at once",
		Long: `End the current step by a person's will and go on with the next one. With --full everything that is still planned is left out and the
candidate becomes the declaration at once; that needs --reason and is recorded as an override.`,
		Example: "  hoist rollout promote checkout-42\n  hoist rollout promote checkout-42 --full --reason \"verified by hand\"",
	}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the rollout and in the audit log")
	c.Flags().BoolVar(&full, "full", false, "land at once, whatever is still planned")
	return a.moving(c, func() string {
		if full {
			return "promote-full"
		}
		return "promote"
	}, &reason, "promoted")
}

func (a *app) moving(c *cobra.Command, move func() string, reason *string, done string) *cobra.Command {
	var w *writing
	c.Args = takes("ID")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		moved, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.MoveRolloutResponse, error) {
			return n.rollouts.Move(ctx, &hoistv1.MoveRolloutRequest{Environment: n.environment, Id: args[0], Move: move(), Reason: *reason, Write: o})
		})
		if err != nil {
			return err
		}
		return a.report(cmd.Context(), n, w, moved, view{message: moved}, "rollout "+args[0]+" "+done)
	}
	c, w = a.changing(c)
	return c
}
