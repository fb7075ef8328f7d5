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

func (a *app) envBudgetCommand() *cobra.Command {
	var file, comment string
	var remove bool
	c := &cobra.Command{
		Use: "budget", Short: "Show, set or remove the error budget of an environment, which freezes it while nothing is left",
		Long: `Show the error budget of an environment, how fast it is spent, and every freeze. With -f set it, with --remove take it away.

The leader measures it in Prometheus. While it burns so fast that somebody would be paged, no rollout advances. When all of it is
spent, the environment is frozen as with "hoist env freeze", and again free when some of it is left. The file, in YAML:

  objective: 0.999
  period: 720h          # 30 days when left out
  interval: 1m
  address: http://prometheus:9090
  bad: sum(rate(http_requests_total{code=~"5.."}[{{window}}]))
  total: sum(rate(http_requests_total[{{window}}]))`,
		Example: "  hoist env budget -e production\n  hoist env budget -e production -f budget.yaml\n  hoist env budget -e production --remove",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" && remove {
				return usage(cmd, "-f and --remove exclude each other")
			}
			document := ""
			if file != "" {
				data, err := os.ReadFile(file)
				if err != nil {
					return failed("another -f FILE", "the budget cannot be read: %v", err)
				}
				if _, err := rollout.ParseBudget(data); err != nil {
					return &failure{code: exitUsage, message: file + ": " + strings.ReplaceAll(err.Error(), "; /", "\n  /"),
						try: "correct the fields named above; hoist env budget --help has them all"}
				}
				document = string(data)
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			if file != "" || remove {
				_, err := send(cmd.Context(), a, &writing{comment: comment}, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.SetBudgetResponse, error) {
					return n.rollouts.SetBudget(ctx, &hoistv1.SetBudgetRequest{Environment: n.environment, Budget: document, Write: o})
				})
				if err != nil {
					return err
				}
			}
			return a.showBudget(cmd.Context(), n)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the budget")
	c.Flags().BoolVar(&remove, "remove", false, "take the budget away, and the freeze it made")
	c.Flags().StringVar(&comment, "comment", "", "why; kept in the audit log")
	return a.printing(a.scoped(c), "table", "json", "yaml")
}

func (a *app) showBudget(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	got, err := n.rollouts.GetBudget(ctx, &hoistv1.GetBudgetRequest{Environment: n.environment})
	if err != nil {
		return err
	}
	if a.output != "table" {
		return a.showMessage(got)
	}
	b := got.GetBudget()
	if b == nil {
		fmt.Fprintf(a.stdout, "environment %s has no error budget\n", n.environment)
	} else {
		fmt.Fprintf(a.stdout, "objective  %g%% over %s, measured every %s at %s\n", b.GetObjective()*100, b.GetPeriod(), b.GetInterval(), b.GetAddress())
		fmt.Fprintf(a.stdout, "burning    %s\n", budgetText(b))
		if b.GetFailing() != "" {
			fmt.Fprintf(a.stdout, "failing    it cannot be measured: %s\n", b.GetFailing())
		}
	}
	for _, f := range got.GetFreezes() {
		until := "until somebody unfreezes"
		if f.GetKind() == "budget" {
			until = "until the budget recovers"
		} else if f.GetUntil() != nil {
			until = "until " + f.GetUntil().AsTime().Local().Format(time.DateTime)
		}
		what := strings.TrimSpace(f.GetOf() + " " + f.GetFlag())
		if what == "" {
			what = "environment"
		}
		fmt.Fprintf(a.stdout, "frozen     %s by %s %s: %s\n", what, who(f.GetBy()), until, f.GetReason())
	}
	return nil
}

func budgetText(b *hoistv1.Budget) string {
	switch {
	case b.GetTier() != "":
		return b.GetTier() + ": " + b.GetNumbers()
	case b.GetAt() != nil:
		return "no: " + b.GetNumbers()
	}
	return "no"
}
