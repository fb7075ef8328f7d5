package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// flagWrite is one kind of change to a flag: the call, and how to say that it happened.
type flagWrite struct {
	done string // "killed"
	call func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error)
}

// flagWriteCommand makes a command of the form VERB KEY out of a write.
func (a *app) flagWriteCommand(c *cobra.Command, write flagWrite) *cobra.Command {
	var w *writing
	c.Args = takes("KEY")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		return a.writeFlag(cmd.Context(), n, w, args[0], write)
	}
	c, w = a.changing(a.completesFlags(c))
	w.waitable(c)
	return c
}

func (a *app) writeFlag(ctx context.Context, n *node, w *writing, key string, write flagWrite) error {
	done, err := send(ctx, a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return write.call(ctx, n, key, o)
	})
	if err != nil {
		return err
	}
	for _, finding := range done.GetState().GetFindings() {
		a.talk("worth a look: %s: %s", finding.GetField(), finding.GetMessage())
	}
	return a.report(ctx, n, w, done, view{message: done}, fmt.Sprintf("flag %s in %s %s", key, n.environment, write.done))
}

func (a *app) flagCreateCommand() *cobra.Command {
	d := &definition{}
	var w *writing
	c := &cobra.Command{
		Use: "create [KEY]", Short: "Create a flag; it is dark until it is enabled",
		Long: `Create a flag. Without more it is a boolean with the variants on and off, which serves off until it is enabled and on afterwards.
A remote config is a flag with one value: --kind config --type string --value 180s.`,
		Example: `  hoist flag create new-checkout --owner payments --tag checkout
  hoist flag create theme --type string --variant light=bright --variant dark=dusk --off light --default dark --enabled
  hoist flag create search-v2 --split on=10%,off=90%
  hoist flag create query.timeout --kind config --type string --value 180s`,
		Args: between(0, "KEY"),
	}
	d.flags(c)
	c.Flags().StringVar(&d.kind, "kind", "flag", "flag or config")
	c.Flags().StringVar(&d.valueType, "type", "boolean", "boolean, string, number or object")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		flag, err := d.newFlag(cmd, args)
		if err != nil {
			return err
		}
		n, err := a.connect()
		if err != nil {
			return err
		}
		if !w.conditional {
			w.conditional, w.ifRevision = true, 0 // create must not replace what is there
		}
		return a.writeFlag(cmd.Context(), n, w, flag.GetKey(), put(flag, "created"))
	}
	c, w = a.changing(c)
	w.waitable(c)
	return c
}

// newFlag builds the flag that create was asked for.
func (d *definition) newFlag(cmd *cobra.Command, args []string) (*hoistv1.Flag, error) {
	flag := &hoistv1.Flag{Type: d.valueType}
	if d.file != "" {
		flag = &hoistv1.Flag{}
		if err := readDefinition(cmd, d.file, flag); err != nil {
			return nil, err
		}
	}
	if len(args) == 1 {
		flag.Key = args[0]
	}
	if flag.GetKey() == "" {
		return nil, usage(cmd, "KEY is missing")
	}
	if cmd.Flags().Changed("kind") {
		flag.Kind = d.kind
	}
	if cmd.Flags().Changed("type") {
		flag.Type = d.valueType
	}
	if d.file == "" && flag.GetKind() != "config" && flag.GetType() == "boolean" && len(d.variants) == 0 {
		on, _ := typedValue("boolean", "true") // both are constant and valid
		off, _ := typedValue("boolean", "false")
		flag.Variants = []*hoistv1.Variant{{Key: "on", Value: on}, {Key: "off", Value: off}}
		flag.Off = "off"
		flag.Default = &hoistv1.Serve{Variant: "on"}
	}
	return flag, d.apply(cmd, flag)
}

// put writes a whole flag.
func put(flag *hoistv1.Flag, done string) flagWrite {
	return flagWrite{done: done, call: func(ctx context.Context, n *node, _ string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.Put(ctx, &hoistv1.PutFlagRequest{Environment: n.environment, Flag: flag, Write: o})
	}}
}

func (a *app) flagSetCommand() *cobra.Command {
	d := &definition{}
	var w *writing
	c := &cobra.Command{
		Use: "set KEY", Short: "Change parts of a flag, or replace it with -f",
		Long: `Change what is named and leave the rest. The write only succeeds if nobody changed the flag in between; with -f the file replaces the
whole definition (then --if-revision guards it, if given).`,
		Example: `  hoist flag set search-v2 --split on=25%,off=75% --comment "quarter"
  hoist flag set query.timeout --value 60s
  hoist flag get theme -o json | jq .state.flag | hoist flag set theme -f -`,
		Args: takes("KEY"),
	}
	d.flags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := a.connect()
		if err != nil {
			return err
		}
		flag, err := a.flagToChange(cmd, n, d, w, args[0])
		if err != nil {
			return err
		}
		if err := d.apply(cmd, flag); err != nil {
			return err
		}
		return a.writeFlag(cmd.Context(), n, w, args[0], put(flag, "changed"))
	}
	c, w = a.changing(a.completesFlags(c))
	w.waitable(c)
	return c
}

// flagToChange reads the definition to start from: the file, or the stored flag guarded by its revision.
func (a *app) flagToChange(cmd *cobra.Command, n *node, d *definition, w *writing, key string) (*hoistv1.Flag, error) {
	if d.file != "" {
		flag := &hoistv1.Flag{}
		if err := readDefinition(cmd, d.file, flag); err != nil {
			return nil, err
		}
		if flag.GetKey() == "" {
			flag.Key = key
		}
		if flag.GetKey() != key {
			return nil, usage(cmd, "the file defines %q, not %q", flag.GetKey(), key)
		}
		return flag, nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
	defer cancel()
	got, err := n.flags.Get(ctx, &hoistv1.GetFlagRequest{Environment: n.environment, Key: key})
	if err != nil {
		return nil, err
	}
	if !w.conditional {
		w.conditional, w.ifRevision = true, got.GetState().GetRevision()
	}
	return got.GetState().GetFlag(), nil
}

func (a *app) flagSwitchCommand(verb, short string, enabled bool) *cobra.Command {
	c := &cobra.Command{Use: verb + " KEY", Short: short, Example: "  hoist flag " + verb + " new-checkout --wait"}
	call := func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Environment: n.environment, Key: key, Enabled: enabled, Write: o})
	}
	return a.flagWriteCommand(c, flagWrite{done: verb + "d", call: call})
}

func (a *app) flagKillCommand() *cobra.Command {
	var reason string
	var rollouts bool
	c := &cobra.Command{
		Use: "kill KEY", Short: "Serve the off variant to everybody, now",
		Long: `Serve the off variant to everybody, whatever rules, rollouts or schedules the flag has; a rollout on it is aborted and its
schedules are suspended until somebody resumes them. The declaration is not touched: "hoist flag unkill" gives it back as it was. Killing twice is the same as once, and a freeze does not stop it.

With --all-rollouts and no KEY no flag is switched off: every rollout of the environment is taken away and every schedule suspended in one
entry, so that each flag serves its declaration again.`,
		Example: "  hoist flag kill new-checkout --reason \"payment errors since 14:02\" --wait\n  hoist flag kill --all-rollouts -e production --reason \"incident 7\"",
	}
	c.Flags().StringVar(&reason, "reason", "", "shown beside the flag as long as it is killed")
	c.Flags().BoolVar(&rollouts, "all-rollouts", false, "instead of one flag: take every rollout of the environment away")
	call := func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.Kill(ctx, &hoistv1.KillRequest{
			Environment: n.environment, Key: key, Reason: reason, Write: o})
	}
	c = a.flagWriteCommand(c, flagWrite{done: "killed", call: call})
	return a.orAllRollouts(c, &rollouts, &reason)
}

func (a *app) flagUnkillCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "unkill KEY",
		Short:   "Take the kill switch off a flag",
		Example: "  hoist flag unkill new-checkout",
	}
	call := func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.Unkill(ctx, &hoistv1.UnkillRequest{Environment: n.environment, Key: key, Write: o})
	}
	return a.flagWriteCommand(c, flagWrite{done: "served by its rules again", call: call})
}

func (a *app) flagArchiveCommand() *cobra.Command {
	var undo bool
	c := &cobra.Command{
		Use: "archive KEY", Short: "Keep a flag, but serve it to nobody",
		Example: "  hoist flag archive old-banner\n  hoist flag archive old-banner --undo",
	}
	c.Flags().BoolVar(&undo, "undo", false, "take it out of the archive")
	call := func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.SetArchived(ctx, &hoistv1.SetArchivedRequest{
			Environment: n.environment, Key: key, Archived: !undo, Write: o})
	}
	return a.flagWriteCommand(c, flagWrite{done: "moved", call: call})
}

func (a *app) flagDeleteCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "delete KEY", Aliases: []string{"rm"}, Short: "Delete a flag; its last versions stay restorable",
		Example: "  hoist flag delete old-banner --if-revision 42",
	}
	call := func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.Delete(ctx, &hoistv1.DeleteFlagRequest{Environment: n.environment, Key: key, Write: o})
	}
	return a.flagWriteCommand(c, flagWrite{done: "deleted", call: call})
}

func (a *app) flagRestoreCommand() *cobra.Command {
	var revision uint64
	c := &cobra.Command{
		Use: "restore KEY", Short: "Write an older version of a flag again, as a new version",
		Example: "  hoist flag history new-checkout\n  hoist flag restore new-checkout --revision 42",
	}
	c.Flags().Uint64Var(&revision, "revision", 0, "revision of the version, as history shows it")
	call := func(ctx context.Context, n *node, key string, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
		return n.flags.Restore(ctx, &hoistv1.RestoreRequest{
			Environment: n.environment, Key: key, Revision: revision, Write: o})
	}
	c = a.flagWriteCommand(c, flagWrite{done: "restored", call: call})
	return required(c, "revision")
}
