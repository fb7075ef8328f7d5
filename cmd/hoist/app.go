package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// app is one run of the program: where it writes and what the flags that every command shares say.
type app struct {
	stdout, stderr io.Writer
	where          where
	output         string
	timeout        time.Duration
}

// run executes one command line and returns the exit code of the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	f := asFailure(err)
	if f.code == exitNotFound && f.try == "" {
		f.try = whereToLook(command)
	}
	if f.message != "" {
		fmt.Fprintf(stderr, "hoist: %s\n", f.message)
	}
	if f.try != "" {
		fmt.Fprintf(stderr, "  try: %s\n", f.try)
	}
	return f.code
}

// whereToLook names the command that lists what was not found.
func whereToLook(command *cobra.Command) string {
	list := "hoist flag list"
	if parent := command.Parent(); parent != nil {
		if found, _, err := parent.Find([]string{"list"}); err == nil && found != parent {
			list = found.CommandPath()
		}
	}
	return list + ", or another environment with -e"
}

// root builds the command tree. Commands are grouped the way a newcomer meets them.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "hoist",
		Short: "Feature flags in one binary with Raft inside",
		Long: `hoist keeps feature flags in a replicated log, answers evaluations from memory on every node and streams every change.

Start one node with "hoist dev", see a cluster survive its leader with "hoist demo --chaos", and run a real node with
"hoist server". The other commands talk to a running node: 127.0.0.1:7700 unless --addr, HOIST_ADDR or a context of
~/.config/hoist/config.yaml says otherwise.`,
		Example: `  hoist dev examples/shop
  hoist eval new-checkout -c targetingKey=user-1 --explain
  hoist flag kill new-checkout --reason "payment errors"`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(a.stdout) // cobra's completion command takes its output when it is made
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%s", err) })
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run hoist:"},
		&cobra.Group{ID: "flags", Title: "Work with flags:"},
		&cobra.Group{ID: "operate", Title: "Look after a cluster:"},
	)
	add := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add("run", a.serverCommand(), a.edgeCommand(), a.devCommand(), a.demoCommand())
	add("flags", a.evalCommand(), a.flagCommand(), a.segmentCommand(), a.envCommand(), a.rolloutCommand(), a.promotionCommand(), a.changeCommand(),
		a.applyCommand(), a.diffCommand(), a.exportCommand(), a.validateCommand())
	add("operate", a.clusterCommand(), a.tokenCommand(), a.auditCommand(), a.healthCommand(), a.doctorCommand(), a.configCommand(), a.benchCommand(), a.versionCommand())
	root.SetHelpCommandGroupID("operate")
	root.SetCompletionCommandGroupID("operate")
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		for _, shell := range completion.Commands() {
			shell.Example = "  hoist completion " + shell.Name()
		}
		completion.Example = "  source <(hoist completion bash)"
	}
	return root
}

// group is what a command without a verb does: help when nothing more is said, an error when the verb is unknown.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	message := fmt.Sprintf("there is no command %q in %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return &failure{code: exitUsage, message: message, try: cmd.CommandPath() + " " + near[0]}
	}
	return &failure{code: exitUsage, message: message, try: cmd.CommandPath() + " --help"}
}

// noun makes a command that only holds verbs.
func noun(use, short, example string, aliases []string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:     use,
		Short:   short,
		Example: example,
		Aliases: aliases,
		Args:    cobra.ArbitraryArgs, RunE: group,
	}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(verbs...)
	return c
}

// takes demands exactly these positional arguments, by name.
func takes(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

// between demands the first least of these positional arguments and allows the others.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usage(cmd, "%s is missing", strings.Join(names[len(args):least], " and "))
		}
		if len(args) > len(names) {
			return usage(cmd, "%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// remote adds the flags of commands that talk to a node.
func (a *app) remote(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&a.where.addr, "addr", "", "node to talk to, host:port or URL (HOIST_ADDR; default 127.0.0.1:7700)")
	f.StringVar(&a.where.tenant, "tenant", "", `tenant (HOIST_TENANT; default "default")`)
	f.StringVar(&a.where.token, "token", "", "credential, sent as a bearer token (HOIST_TOKEN)")
	f.StringVar(&a.where.context, "context", "", "context of ~/.config/hoist/config.yaml to take these from")
	spanFlag(f, &a.timeout, "timeout", time.Millisecond, 10*time.Second, "give up after this long")
	return c
}

// scoped adds the flags of commands that act in one environment.
func (a *app) scoped(c *cobra.Command) *cobra.Command {
	a.remote(c)
	c.Flags().StringVarP(&a.where.environment, "env", "e", "", "environment (HOIST_ENV; default dev)")
	return c
}

// printing adds -o with the formats the command knows; the first one is the default.
func (a *app) printing(c *cobra.Command, formats ...string) *cobra.Command {
	c.Flags().StringVarP(&a.output, "output", "o", formats[0], "output: "+strings.Join(formats, ", "))
	inner := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("output") {
			a.output = formats[0] // the variable is shared; each command has a default of its own
		}
		if !slices.Contains(formats, a.output) {
			return usage(cmd, "-o %s is not known here; use one of %s", a.output, strings.Join(formats, ", "))
		}
		return inner(cmd, args)
	}
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
	return c
}

// talk writes a line for people; it never mixes with data.
func (a *app) talk(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// terminal says whether w shows its text to a person at once.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// required marks an option without which the command makes no sense.
func required(c *cobra.Command, option string) *cobra.Command {
	inner := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed(option) {
			return usage(cmd, "--%s is missing", option)
		}
		return inner(cmd, args)
	}
	return c
}
