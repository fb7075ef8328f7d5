package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) applyCommand() *cobra.Command {
	var w *writing
	var src source
	var prune bool
	c := &cobra.Command{
		Use: "apply", Short: "Make an environment hold the flags of a folder or file, in one step",
		Long: `Make an environment hold the flags and segments of a folder or file. All of it happens in one step, or nothing does.
What the files do not name stays, unless --prune. A file with errors stops everything, unless --skip-invalid.`,
		Example: "  hoist apply -f examples/shop\n  hoist apply -f examples/shop -e staging --prune --dry-run\n" +
			"  hoist apply -f examples/cloudbees --format cloudbees", Args: takes(),
	}
	src.flags(c)
	pruneFlag(c, &prune)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		n, l, err := a.connectAndLoad(cmd.Context(), &src)
		if err != nil {
			return err
		}
		manifest := manifestOf(l.content)
		if len(manifest.GetFlags()) >= 500 {
			a.talk("applying %s …", l.summary)
		}
		done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
			return n.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: n.environment, Manifest: manifest, Prune: prune, Write: o})
		})
		if err != nil {
			return err
		}
		if a.output == "table" {
			a.showChanges(done.GetChanges())
		}
		return a.report(cmd.Context(), n, w, done, view{message: done}, fmt.Sprintf("%d change(s) in %s", len(done.GetChanges()), n.environment))
	}
	c, w = a.changing(c)
	w.waitable(c)
	return required(c, "file")
}

func pruneFlag(c *cobra.Command, prune *bool) {
	c.Flags().BoolVar(prune, "prune", false, "delete what the files do not name")
}

// connectAndLoad reads the files; one file of a tree may refer to what the environment holds.
func (a *app) connectAndLoad(ctx context.Context, src *source) (*node, *loaded, error) {
	n, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	src.known = func() (fsm.Content, error) { return a.declared(ctx, n) }
	l, err := a.load(src)
	return n, l, err
}

// declared is everything that the environment declares.
func (a *app) declared(ctx context.Context, n *node) (fsm.Content, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	got, err := n.manifest.Export(ctx, &hoistv1.ExportRequest{Environment: n.environment})
	if err != nil {
		return fsm.Content{}, err
	}
	return contentOf(got.GetManifest())
}

func (a *app) diffCommand() *cobra.Command {
	var src source
	var prune bool
	c := &cobra.Command{
		Use: "diff", Short: "Show what apply would change; exit code 8 when there is something",
		Long: `Show what apply would change, one line per item in words. -o yaml and -o json give the whole definitions before and
after. The exit code is 8 when there is something, 0 when there is nothing.`,
		Example: "  hoist diff -f examples/shop\n  hoist diff -f examples/shop -e production --prune -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, l, err := a.connectAndLoad(cmd.Context(), &src)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.manifest.Diff(ctx, &hoistv1.DiffRequest{Environment: n.environment, Manifest: manifestOf(l.content), Prune: prune})
			if err != nil {
				return err
			}
			return a.showDiff(cmd.Context(), n, got, l.content)
		},
	}
	src.flags(c)
	pruneFlag(c, &prune)
	return required(a.printing(a.scoped(c), "table", "json", "yaml"), "file")
}

func (a *app) showDiff(ctx context.Context, n *node, got *hoistv1.DiffResponse, content fsm.Content) error {
	if a.output != "table" {
		before, err := a.declared(ctx, n)
		if err != nil {
			return err
		}
		if err := a.showJSON(wholeDiff(got, before, content)); err != nil {
			return err
		}
	} else {
		a.showChanges(got.GetChanges())
	}
	if len(got.GetChanges()) == 0 {
		a.talk("%s holds exactly this", n.environment)
		return nil
	}
	a.talk("%d difference(s); hoist apply makes them", len(got.GetChanges()))
	return &failure{code: exitDifferent}
}

// change is one difference with the definitions before and after it.
type change struct {
	Action string   `json:"action"`
	Object string   `json:"object"`
	Key    string   `json:"key"`
	Lines  []string `json:"lines,omitempty"`
	Before any      `json:"before,omitempty"`
	After  any      `json:"after,omitempty"`
}

func wholeDiff(got *hoistv1.DiffResponse, before, after fsm.Content) map[string]any {
	was, is := definitions(before), definitions(after)
	changes := []change{}
	for _, c := range got.GetChanges() {
		name := c.GetObject() + " " + c.GetKey()
		one := change{Action: c.GetAction(), Object: c.GetObject(), Key: c.GetKey(), Lines: c.GetLines(), Before: was[name]}
		if c.GetAction() != "delete" {
			one.After = is[name]
		}
		changes = append(changes, one)
	}
	return map[string]any{"changes": changes, "environmentRevision": got.GetEnvironmentRevision()}
}

func definitions(content fsm.Content) map[string]any {
	out := map[string]any{}
	for _, f := range content.Flags {
		out["flag "+f.Key] = f
	}
	for _, s := range content.Segments {
		out["segment "+s.Key] = s
	}
	for _, s := range content.Schedules {
		key := s.Flag
		if s.Rule != "" {
			key += "/" + s.Rule
		}
		out["schedule "+key] = s
	}
	return out
}

func (a *app) showChanges(changes []*hoistv1.ManifestChange) {
	sign := map[string]string{"create": "+", "update": "~", "delete": "-"}
	for _, change := range changes {
		words := ""
		if len(change.GetLines()) > 0 {
			words = ": " + strings.Join(change.GetLines(), "; ")
		}
		fmt.Fprintf(a.stdout, "%s %s %s%s\n", sign[change.GetAction()], change.GetObject(), change.GetKey(), words)
	}
}

func (a *app) validateCommand() *cobra.Command {
	var src source
	c := &cobra.Command{
		Use: "validate", Short: "Check a folder or file of flags without a server",
		Long: `Check a folder or file of flags the way a server would: shape, values, weights, expressions, references and cycles.
Nothing is sent anywhere. Every finding is one line: file:line:column: severity rule: message.`,
		Example: "  hoist validate -f examples/shop\n  hoist validate -f examples/cloudbees --format cloudbees -o json", Args: takes(),
		RunE: func(*cobra.Command, []string) error { return a.validate(&src) },
	}
	src.form(c)
	c.Flags().StringVarP(&src.path, "file", "f", "", "folder with *.yaml files, or one file")
	return required(a.printing(c, "table", "json", "yaml"), "file")
}
