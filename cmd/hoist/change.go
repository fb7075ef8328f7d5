package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) changeCommand() *cobra.Command {
	c := noun("change", "Look after writes that wait for the approval of others", "  hoist change list --open\n  hoist change approve ID", []string{"changes"},
		a.changeOpenCommand(), a.changeEditCommand(), a.changeListCommand(), a.changeGetCommand(),
		a.changeMoveCommand("approve", "Agree to a change, as the diff shows it; not for whoever opened it", "approved"),
		a.changeMoveCommand("request-changes", "Send a change back to its author; needs --comment", "sent back"),
		a.changeMoveCommand("reject", "Refuse a change; needs --comment", "rejected"),
		a.changeMoveCommand("apply", "Make an approved change happen", "applied"),
		a.changeScheduleCommand(),
		a.changeMoveCommand("cancel", "Take a change back that has not happened", "cancelled"))
	c.Long = `A protected environment (production, unless its policy says otherwise) takes no edits: they wait in a change until enough other people
have approved it, and then happen in one step. Every command that writes flags or segments opens a change with --change TITLE:

  hoist flag set query.timeout --value 60s -e production --change "shorter timeout"
  hoist change approve ID        somebody else
  hoist change apply ID

What was changed meanwhile by others is never overwritten: apply refuses, shows both values, and the change is edited.`
	return c
}

// changeOpenCommand is an apply that waits.
func (a *app) changeOpenCommand() *cobra.Command {
	var title string
	c := a.applyWaiting(&cobra.Command{
		Use: "open -f DIR|FILE --title TITLE", Short: "Open a change that holds what apply would write",
		Long:    `Open a change that holds what "hoist apply" would write. To open one with a single flag, use the flag's own command with --change TITLE.`,
		Example: "  hoist change open -f examples/shop -e production --title \"new checkout\"",
		Args:    takes(),
	}, func(w *writing, _ []string) { w.change = title })
	c.Flags().StringVar(&title, "title", "", "what changes, in a few words")
	return required(c, "title")
}

func (a *app) changeEditCommand() *cobra.Command {
	return a.applyWaiting(&cobra.Command{
		Use: "edit ID -f DIR|FILE", Short: "Give a waiting change other content; its approvals are void",
		Long: `Give a waiting change what "hoist apply" would write now, instead of what it holds. Whoever approved it approved another diff, so it
needs approvals anew. With a single flag, use the flag's own command with --edit-change ID.`,
		Example: "  hoist change edit 0192f000-0000-7000-8000-000000000001 -f examples/shop -e production",
		Args:    takes("ID"),
	}, func(w *writing, args []string) { w.editChange = args[0] })
}

// applyWaiting makes an apply of a command, whose write waits.
func (a *app) applyWaiting(c *cobra.Command, wait func(w *writing, args []string)) *cobra.Command {
	var src source
	var prune bool
	var w *writing
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, l, err := a.connectAndLoad(cmd.Context(), &src)
		if err != nil {
			return err
		}
		wait(w, args)
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
			return n.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: n.environment, Manifest: manifestOf(l.content), Prune: prune, Write: o})
		})
		if err != nil {
			return err
		}
		a.showChanges(done.GetChanges())
		return a.report(cmd.Context(), n, w, done, view{message: done}, fmt.Sprintf("%d change(s)", len(done.GetChanges())))
	}
	src.flags(c)
	pruneFlag(c, &prune)
	c, w = a.changing(c)
	return required(c, "file")
}

func (a *app) changeListCommand() *cobra.Command {
	var open bool
	var status string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the changes of all environments, or of one with -e, the newest first",
		Example: "  hoist change list --open\n  hoist change list -e production --status APPLIED",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			only := ""
			if cmd.Flags().Changed("env") {
				only = n.environment
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			all, err := n.changes.List(ctx, &hoistv1.ListChangesRequest{Environment: only, Status: status, Open: open})
			if err != nil {
				return err
			}
			v := view{message: all, header: []string{"ID", "STATUS", "APPROVALS", "ENV", "AUTHOR", "TITLE", "KIND", "CREATED"}, wide: 2}
			for _, c := range all.GetChanges() {
				v.names = append(v.names, "change/"+c.GetId())
				v.rows = append(v.rows, []string{c.GetId(), c.GetStatus(), fmt.Sprintf("%d/%d", len(c.GetApprovals()), c.GetRequiredApprovals()),
					c.GetEnvironment(), whoText(c.GetAuthor()), c.GetTitle(), c.GetKind(), timeText(c.GetCreatedAt())})
			}
			return a.show(v)
		},
	}
	c.Flags().BoolVar(&open, "open", false, "only those that may still happen")
	c.Flags().StringVar(&status, "status", "", "only in this state, such as PENDING or APPROVED")
	return a.printing(a.scoped(c), listFormats...)
}

func whoText(by *hoistv1.Actor) string { return cmp.Or(by.GetId(), by.GetEmail(), by.GetKind()) }

func (a *app) changeGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "get ID", Short: "Show a change: what it changes, who approved it, what it waits for",
		Example: "  hoist change get 0192f000-0000-7000-8000-000000000001", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			c, err := a.waiting(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.showMessage(c)
			}
			a.showWaiting(c)
			return nil
		},
	}
	return a.printing(a.remote(c), "table", "json", "yaml")
}

func (a *app) waiting(ctx context.Context, n *node, id string) (*hoistv1.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	got, err := n.changes.Get(ctx, &hoistv1.GetChangeRequest{Id: id})
	return got.GetChange(), err
}

func (a *app) showWaiting(c *hoistv1.Change) {
	fmt.Fprintf(a.stdout, "%s  %s  %s\n", c.GetStatus(), c.GetEnvironment(), c.GetTitle())
	fmt.Fprintf(a.stdout, "opened by %s at %s, from revision %d\n", whoText(c.GetAuthor()), timeText(c.GetCreatedAt()), c.GetBaseRevision())
	if c.GetNotes() != "" {
		fmt.Fprintln(a.stdout, c.GetNotes())
	}
	a.showConsents(c.GetApprovals(), c.GetRequiredApprovals())
	if c.GetScheduledAt() != nil {
		fmt.Fprintf(a.stdout, "scheduled for %s %s\n", timeText(c.GetScheduledAt()), c.GetTimezone())
	}
	if c.GetCause() != "" {
		fmt.Fprintf(a.stdout, "because: %s\n", c.GetCause())
	}
	a.showItems(c.GetItems())
	a.showAllowed("change", c.GetId(), c.GetAllowed())
}

func (a *app) showConsents(list []*hoistv1.ChangeApproval, required int32) {
	names := make([]string, 0, len(list))
	for _, c := range list {
		names = append(names, strings.TrimSpace(whoText(c.GetBy())+" "+c.GetComment()))
	}
	fmt.Fprintf(a.stdout, "%d of %d approvals", len(list), required)
	if len(names) > 0 {
		fmt.Fprintf(a.stdout, ": %s", strings.Join(names, "; "))
	}
	fmt.Fprintln(a.stdout)
}

// maxShownItems is how many items a terminal shows; -o json has them all.
const maxShownItems = 50

// showItems prints a diff for people: one line per item, with what changes in words below it.
func (a *app) showItems(items []*hoistv1.ChangedItem) {
	signs := map[string]string{"added": "+", "modified": "~", "removed": "-"}
	for i, item := range items {
		if i == maxShownItems {
			fmt.Fprintf(a.stdout, "  … and %d more; -o json has them all\n", len(items)-maxShownItems)
			return
		}
		sign := signs[item.GetChange()]
		lines := item.GetLines()
		switch {
		case item.GetChange() == "removed":
			fmt.Fprintf(a.stdout, "  %s %s %s\n", sign, item.GetKind(), item.GetKey())
		case len(lines) == 1:
			fmt.Fprintf(a.stdout, "  %s %s %s: %s\n", sign, item.GetKind(), item.GetKey(), lines[0])
		default:
			fmt.Fprintf(a.stdout, "  %s %s %s\n", sign, item.GetKind(), item.GetKey())
			for _, line := range lines {
				fmt.Fprintf(a.stdout, "      %s\n", line)
			}
		}
	}
}

// showAllowed says what can be done next, as commands.
func (a *app) showAllowed(noun, id string, moves []string) {
	var names []string
	for _, move := range moves {
		if move == "apply" && noun == "promotion" {
			move = "execute"
		}
		names = append(names, move)
	}
	if len(names) > 0 {
		a.talk("possible now: %s (hoist %s VERB %s)", strings.Join(names, ", "), noun, id)
	}
}

// changeMoveCommand makes a command of one move. An approval is for the diff as this command shows it.
func (a *app) changeMoveCommand(move, short, done string) *cobra.Command {
	var w *writing
	c := &cobra.Command{Use: move + " ID", Short: short, Args: takes("ID"),
		Example: "  hoist change " + move + ` 0192f000-0000-7000-8000-000000000001 --comment "checked in staging"`}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		hash := ""
		if move == "approve" {
			seen, err := a.waiting(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			if hash = seen.GetDiffHash(); a.output == "table" {
				a.showItems(seen.GetItems())
			}
		}
		return a.moveChange(cmd.Context(), n, w, &hoistv1.MoveChangeRequest{Id: args[0], Move: move, Comment: w.comment, DiffHash: hash}, done)
	}
	c, w = a.changingByID(c)
	return c
}

func (a *app) moveChange(ctx context.Context, n *node, w *writing, r *hoistv1.MoveChangeRequest, done string) error {
	moved, err := send(ctx, a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.MoveChangeResponse, error) {
		r.Write = o
		return n.changes.Move(ctx, r)
	})
	if err != nil {
		return err
	}
	if err := a.report(ctx, n, w, moved, view{message: moved}, fmt.Sprintf("change %s %s: %s", r.GetId(), done, moved.GetChange().GetStatus())); err != nil {
		return err
	}
	if a.output == "table" {
		a.showAllowed("change", r.GetId(), moved.GetChange().GetAllowed())
	}
	return nil
}

func (a *app) changeScheduleCommand() *cobra.Command {
	var w *writing
	var at, zone string
	c := &cobra.Command{Use: "schedule ID --at TIME", Short: "Let an approved change happen at a time", Args: takes("ID"),
		Example: "  hoist change schedule 0192f000-0000-7000-8000-000000000001 --at 2030-12-01T06:00:00 --zone Europe/Berlin"}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		when, err := instantOf(cmd, at, zone)
		if err != nil {
			return err
		}
		n, err := a.connect()
		if err != nil {
			return err
		}
		return a.moveChange(cmd.Context(), n, w, &hoistv1.MoveChangeRequest{Id: args[0], Move: "schedule", Comment: w.comment, ScheduledAt: when, Timezone: zone}, "scheduled")
	}
	timeFlags(c, &at, &zone)
	c, w = a.changingByID(c)
	return required(c, "at")
}

func timeFlags(c *cobra.Command, at, zone *string) {
	c.Flags().StringVar(at, "at", "", "when: 2030-12-01T06:00:00Z, or a local time with --zone")
	c.Flags().StringVar(zone, "zone", "", "time zone of a local time, such as Europe/Berlin")
}

// instantOf reads a time, with its offset or beside a zone.
func instantOf(cmd *cobra.Command, text, zone string) (*timestamppb.Timestamp, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return timestamppb.New(at), nil
	}
	if zone == "" {
		return nil, usage(cmd, "--at %s is no time; write 2030-12-01T06:00:00Z, or a local time with --zone", text)
	}
	place, err := time.LoadLocation(zone)
	if err != nil {
		return nil, usage(cmd, "there is no time zone %s; name one such as Europe/Berlin", zone)
	}
	at, err := time.ParseInLocation("2006-01-02T15:04:05", text, place)
	if err != nil {
		return nil, usage(cmd, "--at %s is no local time; write 2030-12-01T06:00:00", text)
	}
	return timestamppb.New(at), nil
}
