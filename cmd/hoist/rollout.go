package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/rollout"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) rolloutCommand() *cobra.Command {
	return noun("rollout", "Expose a change to a growing audience, judged by metrics", "  hoist rollout start -f examples/pipeline/checkout.yaml --wait",
		[]string{"rollouts"},
		a.rolloutStartCommand(), a.rolloutStatusCommand(), a.rolloutListCommand(), a.rolloutGetCommand(), a.rolloutWatchCommand(),
		a.rolloutHistoryCommand(), a.rolloutExplainCommand(), a.rolloutReplayCommand(), a.rolloutConvertCommand(),
		a.rolloutMoveCommand("pause", "Stop a rollout where it is", "paused"),
		a.rolloutMoveCommand("resume", "Go on after a pause; what was measured before the pause does not count", "goes on"),
		a.rolloutPromoteCommand(),
		a.rolloutMoveCommand("skip", "Leave the next step out; needs --reason and is recorded as an override", "went on"),
		a.rolloutMoveCommand("approve", "Approve the step that waits for it; not for whoever started the rollout", "approved"),
		a.rolloutMoveCommand("abort", "Take the candidate away from everybody, now", "aborted"),
		a.rolloutMoveCommand("retry", "Start an aborted or rolled back rollout again at its first step", "started again"),
		a.rolloutMoveCommand("dismiss", "Take away the preview that an aborted blue-green rollout kept", "dismissed"))
}

// readPlan reads and judges a plan before anything is sent, so that its mistakes are shown without a server.
func readPlan(path string) (string, string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", "", failed("another -f FILE", "the plan cannot be read: %v", err)
	}
	plan, err := rollout.ParsePlan(data)
	if err != nil {
		return "", "", &failure{code: exitUsage, message: path + ": " + strings.ReplaceAll(err.Error(), "; /", "\n  /"),
			try: "correct the fields named above; docs/rollouts.md has them all"}
	}
	return string(data), plan.Environment, nil
}

func (a *app) rolloutStartCommand() *cobra.Command {
	var w waiting
	var file, comment string
	var supersede, dryRun bool
	c := &cobra.Command{
		Use: "start -f PLAN", Short: "Start a rollout from a plan, and with --wait stay until it has ended",
		Long: `Start a rollout from a plan in YAML or JSON (see docs/rollouts.md). With --wait the command returns when the rollout has ended, when it
needs a person, or when --timeout is over, and prints one JSON record of what happened. Exit codes: 0 completed, 6 aborted or rolled
back, 7 the time is over and the rollout goes on, 10 it is paused and needs a person, 5 the seat is taken or the environment is frozen.

A small plan; the flag must be enabled and declare one variant, which is the stable one:

  kind: RolloutPlan
  name: checkout
  flag: new-checkout
  target: {variant: "on"}
  steps: [{setWeight: 10}, {hold: 10m}, {setWeight: 50}, {hold: 30m}]     # behind the last step everybody gets it
  analysis:                         # or, to go on by time alone: analysis: none
    background:
      metrics:
        - name: error-rate
          interval: 30s
          failureCondition: result[0] > 0.05
          prometheus:
            address: http://prometheus:9090
            query: sum(rate(errors_total{variant="{{args.cohort}}"}[2m])) / sum(rate(requests_total{variant="{{args.cohort}}"}[2m]))`,
		Example: "  hoist rollout start -f plan.yaml\n  hoist rollout start -f plan.yaml --wait --timeout 2h",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w.limit(cmd, a)
			if file == "" {
				return usage(cmd, "-f PLAN is missing")
			}
			plan, environment, err := readPlan(file)
			if err != nil {
				return err
			}
			if environment != "" && !cmd.Flags().Changed("env") {
				a.where.environment = environment
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			done, err := send(cmd.Context(), a, &writing{comment: comment, dryRun: dryRun}, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.StartRolloutResponse, error) {
				return n.rollouts.Start(ctx, &hoistv1.StartRolloutRequest{Environment: n.environment, Plan: plan, Supersede: supersede, Write: o})
			})
			if err != nil {
				return err
			}
			return a.started(cmd.Context(), n, &w, done)
		},
	}
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "", "the plan")
	f.BoolVar(&supersede, "supersede", false, "replace a live rollout on the seat")
	f.BoolVar(&dryRun, "dry-run", false, "judge the plan against the flag and start nothing")
	f.StringVar(&comment, "comment", "", "why; kept in the audit log")
	w.flags(c)
	return a.printing(a.scoped(c), "table", "json", "yaml")
}

func (a *app) started(ctx context.Context, n *node, w *waiting, done *hoistv1.StartRolloutResponse) error {
	for _, warning := range done.GetWarnings() {
		a.talk("note: %s", warning)
	}
	r := done.GetRollout()
	switch {
	case done.GetReceipt().GetDryRun():
		fmt.Fprintln(a.stdout, "the plan fits the flag (dry run, nothing started)")
		return nil
	case r == nil:
		fmt.Fprintln(a.stdout, "the seat serves the target already: nothing to roll out")
		return nil
	case w.wait:
		a.talk("rollout %s started at revision %d", r.GetId(), done.GetReceipt().GetRevision())
		return a.await(ctx, n, r.GetId(), w)
	case a.output != "table":
		return a.showMessage(done)
	}
	fmt.Fprintf(a.stdout, "rollout %s started at revision %d\n", r.GetId(), done.GetReceipt().GetRevision())
	a.talk("watch it: hoist rollout watch %s -e %s", r.GetId(), n.environment)
	return nil
}

func (a *app) rolloutStatusCommand() *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: "status ID", Short: "Say where a rollout stands, and with --wait stay until it has ended",
		Example: "  hoist rollout status checkout-42\n  hoist rollout status checkout-42 --wait --timeout 1h",
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			w.limit(cmd, a)
			if w.wait {
				return a.await(cmd.Context(), n, args[0], &w)
			}
			r, err := a.rollout(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.showMessage(r)
			}
			for _, line := range ladder(r, time.Now()) {
				fmt.Fprintln(a.stdout, line)
			}
			return nil
		},
	}
	w.flags(c)
	return a.printing(a.scoped(c), "table", "json", "yaml")
}

func (a *app) rollout(ctx context.Context, n *node, id string) (*hoistv1.Rollout, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	got, err := n.rollouts.Get(ctx, &hoistv1.GetRolloutRequest{Environment: n.environment, Id: id})
	return got.GetRollout(), err
}

func (a *app) rolloutListCommand() *cobra.Command {
	var flag string
	var live bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the rollouts of an environment, the newest first",
		Example: "  hoist rollout list\n  hoist rollout list --live -e production",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			all, err := n.rollouts.List(ctx, &hoistv1.ListRolloutsRequest{Environment: n.environment, Flag: flag, Live: live})
			if err != nil {
				return err
			}
			v := view{message: all, header: []string{"ID", "FLAG", "PHASE", "STEP", "WEIGHT", "TO", "CAUSE"}, wide: 1}
			for _, r := range all.GetRollouts() {
				v.names = append(v.names, "rollout/"+r.GetId())
				v.rows = append(v.rows, []string{r.GetId(), r.GetFlag(), phaseText(r), fmt.Sprintf("%d/%d", r.GetStep(), len(r.GetSteps())),
					share(r.GetWeight()), r.GetCandidate(), r.GetCause()})
			}
			return a.show(v)
		},
	}
	c.Flags().StringVar(&flag, "flag", "", "only those of this flag")
	c.Flags().BoolVar(&live, "live", false, "only those that have not ended")
	return a.printing(a.scoped(c), listFormats...)
}

func (a *app) rolloutGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "get ID", Short: "Print everything about a rollout: plan, runs, measurements, events",
		Example: "  hoist rollout get checkout-42 -o yaml", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			r, err := a.rollout(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			return a.showMessage(r)
		},
	}
	return a.printing(a.scoped(c), "json", "yaml")
}

func share(weight float64) string { return fmt.Sprintf("%g%%", weight) }

// phaseText is the phase with what it waits for.
func phaseText(r *hoistv1.Rollout) string {
	if r.GetReason() != "" {
		return r.GetPhase() + "(" + r.GetReason() + ")"
	}
	return r.GetPhase()
}
