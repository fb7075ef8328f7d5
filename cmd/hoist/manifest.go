package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) applyCommand() *cobra.Command {
	var w *writing
	var path string
	var prune bool
	c := &cobra.Command{
		Use: "apply", Short: "Make an environment hold the flags of a folder or file, in one step",
		Long: `Make an environment hold the flags and segments of a folder or file. All of it happens in one step, or nothing does.
What the files do not name stays, unless --prune.`,
		Example: "  hoist apply -f examples/shop\n  hoist apply -f examples/shop -e staging --prune --dry-run", Args: takes(),
	}
	manifestFlags(c, &path, &prune)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		manifest, err := a.readManifest(path)
		if err != nil {
			return err
		}
		n, err := a.connect()
		if err != nil {
			return err
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
	return required(c, "file")
}

func manifestFlags(c *cobra.Command, path *string, prune *bool) {
	c.Flags().StringVarP(path, "file", "f", "", "folder with *.yaml files, or one file")
	c.Flags().BoolVar(prune, "prune", false, "delete what the files do not name")
}

func (a *app) diffCommand() *cobra.Command {
	var path string
	var prune bool
	c := &cobra.Command{
		Use: "diff", Short: "Show what apply would change; exit code 8 when there is something",
		Example: "  hoist diff -f examples/shop\n  hoist diff -f examples/shop -e production --prune -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			manifest, err := a.readManifest(path)
			if err != nil {
				return err
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.manifest.Diff(ctx, &hoistv1.DiffRequest{Environment: n.environment, Manifest: manifest, Prune: prune})
			if err != nil {
				return err
			}
			return a.showDiff(got, n.environment)
		},
	}
	manifestFlags(c, &path, &prune)
	return required(a.printing(a.scoped(c), "table", "json", "yaml"), "file")
}

func (a *app) showDiff(got *hoistv1.DiffResponse, environment string) error {
	if a.output != "table" {
		if err := a.showMessage(got); err != nil {
			return err
		}
	} else {
		a.showChanges(got.GetChanges())
	}
	if len(got.GetChanges()) == 0 {
		a.talk("%s holds exactly this", environment)
		return nil
	}
	a.talk("%d difference(s); hoist apply makes them", len(got.GetChanges()))
	return &failure{code: exitDifferent}
}

func (a *app) showChanges(changes []*hoistv1.ManifestChange) {
	sign := map[string]string{"create": "+", "update": "~", "delete": "-"}
	for _, change := range changes {
		fmt.Fprintf(a.stdout, "%s %s %s\n", sign[change.GetAction()], change.GetObject(), change.GetKey())
		for _, line := range change.GetLines() {
			fmt.Fprintf(a.stdout, "    %s\n", line)
		}
	}
}

func (a *app) exportCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Short: "Print everything an environment declares, ready for apply",
		Example: "  hoist export > flags.yaml\n  hoist export -e production -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.manifest.Export(ctx, &hoistv1.ExportRequest{Environment: n.environment})
			if err != nil {
				return err
			}
			return a.showManifest(got.GetManifest())
		},
	}
	return a.printing(a.scoped(c), "yaml", "json")
}

func (a *app) validateCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "validate", Short: "Check a folder or file of flags without a server",
		Long: `Check a folder or file of flags the way a server would: shape, values, weights, expressions, references and cycles.
Nothing is sent anywhere.`,
		Example: "  hoist validate -f examples/shop", Args: takes(),
		RunE: func(*cobra.Command, []string) error { return a.validate(path) },
	}
	c.Flags().StringVarP(&path, "file", "f", "", "folder with *.yaml files, or one file")
	return required(c, "file")
}
