package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) promotionCommand() *cobra.Command {
	c := noun("promotion", "Move what one environment declares into the next, approved by others",
		"  hoist promotion create --from dev --to staging --validate\n  hoist promotion execute ID", []string{"promotions"},
		a.promotionCreateCommand(), a.promotionDiffCommand(), a.promotionListCommand(), a.promotionGetCommand(),
		a.promotionMoveCommand("validate", "Look at what a promotion would do and remember it; changes nothing", "validated"),
		a.promotionMoveCommand("approve", "Agree to a promotion, as the diff shows it; not for whoever created it", "approved"),
		a.promotionMoveCommand("reject", "Refuse a promotion; needs --comment", "rejected"),
		a.promotionMoveCommand("execute", "Carry a promotion out, in one step", "executed"),
		a.promotionScheduleCommand(), a.promotionRollbackCommand(),
		a.promotionMoveCommand("cancel", "Take a promotion back that has not happened", "cancelled"),
		a.promotionDriftCommand())
	c.Long = `A promotion copies what an environment declares into the next one: everything, or what --flag, --config and --pattern name, with the segments
that travel along. It is created, validated, approved by as many other people as the target asks for, and executed in one step; rolling
it back writes what was there before. From dev to production in five commands, of which one is somebody else's:

  hoist promotion create --from dev --to staging --validate --execute       (where no approval is needed)
  hoist promotion create --from staging --to production --validate
  hoist promotion approve ID                                                 (somebody else, with their token)
  hoist promotion execute ID
  hoist promotion rollback ID                                                (if it was a mistake)`
	return c
}

func (a *app) promotionCreateCommand() *cobra.Command {
	var w *writing
	r := &hoistv1.CreatePromotionRequest{}
	var execute bool
	c := &cobra.Command{
		Use: "create --from ENV --to ENV", Short: "Create a promotion of everything, or of what is named",
		Long: `Create a promotion as a draft. Without more it takes everything, and archives in the target what the source does not have. With --flag,
--config or --pattern it adds and changes what these name, and leaves the rest. --validate looks at once whether it can happen, and shows the
diff; --execute goes on and carries it out, where the target asks for no approval.`,
		Example: "  hoist promotion create --from dev --to staging --validate\n  hoist promotion create --from staging --to production --flag checkout --config query.timeout\n" +
			"  hoist promotion create --from staging --to production --pattern \"query.*\" --notes \"verified in staging\"",
		Args: takes(),
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		r.PromotionType = "FULL"
		switch named := len(r.FlagIds) + len(r.ConfigIds); {
		case named > 0 && len(r.KeyPatterns) > 0:
			return usage(cmd, "--pattern and names do not go together; make two promotions")
		case named > 0:
			r.PromotionType = "SELECTIVE"
		case len(r.KeyPatterns) > 0:
			r.PromotionType = "PATTERN"
		}
		n, err := a.connect()
		if err != nil {
			return err
		}
		r.Validate = r.Validate || execute
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.CreatePromotionResponse, error) {
			r.Write = o
			return n.promotes.Create(ctx, r)
		})
		if err != nil {
			return err
		}
		id := done.GetPromotion().GetId()
		if execute && done.GetPromotion().GetStatus() == "VALIDATED" {
			a.showItemsIf(done.GetPromotion().GetItems())
			return a.movePromotion(cmd.Context(), n, w, &hoistv1.MovePromotionRequest{Id: id, Move: "execute", Comment: w.comment}, "executed")
		}
		if err := a.report(cmd.Context(), n, w, done, view{message: done}, "promotion "+id+" created: "+done.GetPromotion().GetStatus()); err != nil {
			return err
		}
		return a.verdict(done.GetPromotion())
	}
	f := c.Flags()
	f.StringVar(&r.SourceEnvironment, "from", "", "environment to read")
	f.StringVar(&r.TargetEnvironment, "to", "", "environment to change")
	f.StringSliceVar(&r.FlagIds, "flag", nil, "only this flag (repeatable)")
	f.StringSliceVar(&r.ConfigIds, "config", nil, "only this config (repeatable)")
	f.StringSliceVar(&r.KeyPatterns, "pattern", nil, "only keys that match, such as query.* (repeatable)")
	f.StringVar(&r.Notes, "notes", "", "what those who approve should know")
	f.BoolVar(&r.Validate, "validate", false, "validate at once and show the diff")
	f.BoolVar(&execute, "execute", false, "validate and execute at once, where no approval is needed")
	c, w = a.changingByID(c)
	return required(required(c, "from"), "to")
}

func (a *app) showItemsIf(items []*hoistv1.ChangedItem) {
	if a.output == "table" {
		a.showItems(items)
	}
}

// verdict shows the diff and the findings of a promotion for people; an invalid one is a failure.
func (a *app) verdict(p *hoistv1.Promotion) error {
	if p == nil {
		return nil
	}
	if a.output == "table" {
		a.showItems(p.GetItems())
		a.showFound(p)
		a.showAllowed("promotion", p.GetId(), p.GetAllowed())
	}
	if p.GetStatus() == "INVALID" {
		return &failure{code: exitConflict, message: "the promotion is not valid; the findings say why", try: "correct that, then hoist promotion validate " + p.GetId()}
	}
	return nil
}

func (a *app) showFound(p *hoistv1.Promotion) {
	for _, f := range p.GetValidation().GetFindings() {
		fmt.Fprintf(a.stdout, "  %s %s: %s\n", f.GetSeverity(), f.GetCode(), f.GetMessage())
	}
}

func (a *app) promotionDiffCommand() *cobra.Command {
	r := &hoistv1.ComparePromotionRequest{}
	c := &cobra.Command{
		Use: "diff --from ENV --to ENV", Short: "Show what a promotion of everything would change; exit code 8 when there is something",
		Example: "  hoist promotion diff --from staging --to production --pattern \"query.*\"", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.promotes.Compare(ctx, r)
			if err != nil {
				return err
			}
			if a.output != "table" {
				if err := a.showMessage(got); err != nil {
					return err
				}
			} else {
				a.showItems(got.GetItems())
			}
			a.talk("%d difference(s), %d unchanged", len(got.GetItems()), got.GetUnchanged())
			if len(got.GetItems()) > 0 {
				return &failure{code: exitDifferent}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&r.SourceEnvironment, "from", "", "environment that would be read")
	f.StringVar(&r.TargetEnvironment, "to", "", "environment that would change")
	f.StringVar(&r.Kind, "kind", "", "only flag, config or segment")
	f.StringVar(&r.KeyPattern, "pattern", "", "only keys that match")
	return required(required(a.printing(a.remote(c), "table", "json", "yaml"), "from"), "to")
}

func (a *app) promotionListCommand() *cobra.Command {
	r := &hoistv1.ListPromotionsRequest{PageSize: 100}
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List promotions, the newest first",
		Example: "  hoist promotion list --to production --status VALIDATED", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			all, err := n.promotes.List(ctx, r)
			if err != nil {
				return err
			}
			v := view{message: all, header: []string{"ID", "STATUS", "APPROVALS", "FROM", "TO", "TYPE", "BY", "NOTES", "CREATED"}, wide: 2}
			for _, p := range all.GetPromotions() {
				v.names = append(v.names, "promotion/"+p.GetId())
				v.rows = append(v.rows, []string{p.GetId(), p.GetStatus(), fmt.Sprintf("%d/%d", len(p.GetApprovals()), p.GetRequiredApprovals()),
					p.GetSourceEnvironment(), p.GetTargetEnvironment(), p.GetPromotionType(), whoText(p.GetCreatedBy()), p.GetNotes(), timeText(p.GetCreatedAt())})
			}
			return a.show(v)
		},
	}
	f := c.Flags()
	f.StringVar(&r.Status, "status", "", "only in this state, such as VALIDATED or COMPLETED")
	f.StringVar(&r.SourceEnvironment, "from", "", "only from this environment")
	f.StringVar(&r.TargetEnvironment, "to", "", "only into this environment")
	f.StringVar(&r.CreatedBy, "by", "", "only of this user")
	f.StringVar(&r.Flag, "flag", "", "only those that name or change this flag or config")
	return a.printing(a.remote(c), listFormats...)
}

func (a *app) promotionGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "get ID", Short: "Show a promotion: its diff, what validation found, who approved it, what happened",
		Example: "  hoist promotion get 0192f000-0000-7000-8000-000000000001", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			p, err := a.promotion(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.showMessage(p)
			}
			a.showPromotion(p)
			return nil
		},
	}
	return a.printing(a.remote(c), "table", "json", "yaml")
}

func (a *app) promotion(ctx context.Context, n *node, id string) (*hoistv1.Promotion, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	got, err := n.promotes.Get(ctx, &hoistv1.GetPromotionRequest{Id: id})
	return got.GetPromotion(), err
}

func (a *app) showPromotion(p *hoistv1.Promotion) {
	stale := ""
	if p.GetStale() {
		stale = "  (stale: source or target moved, validate again)"
	}
	fmt.Fprintf(a.stdout, "%s  %s -> %s  %s%s\n", p.GetStatus(), p.GetSourceEnvironment(), p.GetTargetEnvironment(), p.GetPromotionType(), stale)
	if p.GetNotes() != "" {
		fmt.Fprintln(a.stdout, p.GetNotes())
	}
	a.showConsents(p.GetApprovals(), p.GetRequiredApprovals())
	if p.GetScheduledAt() != nil {
		fmt.Fprintf(a.stdout, "scheduled for %s %s\n", timeText(p.GetScheduledAt()), p.GetTimezone())
	}
	if p.GetCause() != "" {
		fmt.Fprintf(a.stdout, "because: %s\n", p.GetCause())
	}
	a.showItems(p.GetItems())
	a.showFound(p)
	for _, e := range p.GetEvents() {
		fmt.Fprintf(a.stdout, "%s  %s by %s -> %s\n", timeText(e.GetAt()), e.GetMove(), whoText(e.GetActor()), e.GetTo())
	}
	a.showAllowed("promotion", p.GetId(), p.GetAllowed())
}

func (a *app) promotionMoveCommand(move, short, done string) *cobra.Command {
	var w *writing
	c := &cobra.Command{Use: move + " ID", Short: short, Args: takes("ID"),
		Example: "  hoist promotion " + move + ` 0192f000-0000-7000-8000-000000000001 --comment "checked in staging"`}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		r := &hoistv1.MovePromotionRequest{Id: args[0], Move: move, Comment: w.comment}
		if move == "approve" {
			seen, err := a.promotion(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			r.DiffHash = seen.GetValidation().GetDiffHash()
			a.showItemsIf(seen.GetItems())
		}
		return a.movePromotion(cmd.Context(), n, w, r, done)
	}
	c, w = a.changingByID(c)
	return c
}

func (a *app) movePromotion(ctx context.Context, n *node, w *writing, r *hoistv1.MovePromotionRequest, done string) error {
	moved, err := send(ctx, a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.MovePromotionResponse, error) {
		r.Write = o
		return n.promotes.Move(ctx, r)
	})
	if err != nil {
		return err
	}
	p := moved.GetPromotion()
	what := fmt.Sprintf("promotion %s %s: %s", r.GetId(), done, p.GetStatus())
	if err := a.report(ctx, n, w, moved, view{message: moved}, what); err != nil {
		return err
	}
	if r.GetMove() == "validate" {
		return a.verdict(p)
	}
	if a.output == "table" {
		a.showAllowed("promotion", r.GetId(), p.GetAllowed())
	}
	if r.GetMove() == "rollback" && p.GetStatus() == "COMPLETED" {
		return &failure{code: exitPaused, message: "the rollback was asked for; others have to ask for it too before it happens", try: "hoist promotion rollback " + r.GetId() + ", by somebody else"}
	}
	return nil
}

func (a *app) promotionScheduleCommand() *cobra.Command {
	var w *writing
	var at, zone string
	c := &cobra.Command{Use: "schedule ID --at TIME", Short: "Execute an approved promotion at a time, once", Args: takes("ID"),
		Example: "  hoist promotion schedule 0192f000-0000-7000-8000-000000000001 --at 2030-12-01T06:00:00 --zone Europe/Berlin"}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		when, err := instantOf(cmd, at, zone)
		if err != nil {
			return err
		}
		n, err := a.connect()
		if err != nil {
			return err
		}
		return a.movePromotion(cmd.Context(), n, w, &hoistv1.MovePromotionRequest{Id: args[0], Move: "schedule", Comment: w.comment, ScheduledAt: when, Timezone: zone}, "scheduled")
	}
	timeFlags(c, &at, &zone)
	c, w = a.changingByID(c)
	return required(c, "at")
}

func (a *app) promotionRollbackCommand() *cobra.Command {
	var w *writing
	var force bool
	c := &cobra.Command{Use: "rollback ID", Short: "Write what was there before a promotion", Args: takes("ID"),
		Long: `Write what was there before a promotion, byte for byte, in one step; splits too, so that people return to their places. Whoever has the
role operator rolls back alone; otherwise as many others as approve promotions there have to ask for it too. Items that somebody edited
since are named and nothing happens, unless --force. Twice is the same as once.`,
		Example: "  hoist promotion rollback 0192f000-0000-7000-8000-000000000001 --comment \"errors since 14:02\""}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		return a.movePromotion(cmd.Context(), n, w, &hoistv1.MovePromotionRequest{Id: args[0], Move: "rollback", Comment: w.comment, Force: force}, "rolled back")
	}
	c.Flags().BoolVar(&force, "force", false, "also when its items were edited since; those edits are lost")
	c, w = a.changingByID(c)
	return c
}

func (a *app) promotionDriftCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "drift [ID]", Short: "Show what the last promotion, or the one named, wrote and somebody edited since",
		Example: "  hoist promotion drift -e production", Args: between(0, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			r := &hoistv1.DriftPromotionRequest{TargetEnvironment: n.environment}
			if len(args) == 1 {
				r.Id = args[0]
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.promotes.Drift(ctx, r)
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.showMessage(got)
			}
			a.showItems(got.GetItems())
			a.talk("%d item(s) of promotion %s were edited since", len(got.GetItems()), got.GetId())
			return nil
		},
	}
	return a.printing(a.scoped(c), "table", "json", "yaml")
}
