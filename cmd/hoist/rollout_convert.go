package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/rollout/argo"
)

func (a *app) rolloutConvertCommand() *cobra.Command {
	var in argo.Input
	providers := map[string]string{}
	c := &cobra.Command{
		Use: "convert -f ROLLOUT", Short: "Turn an Argo Rollout with its AnalysisTemplates into a plan",
		Long: `Turn an Argo Rollout and the AnalysisTemplates of the same file into a plan on standard output. What has no meaning for flags is refused
with file, line, field and reason; what is about pods is left out with a note under --lenient. A metric whose provider is not known here gets
one with --provider METRIC=FILE, where FILE holds prometheus or web and conditions as in a plan; --arg NAME=VALUE gives an argument that
comes from a field or a secret.`,
		Example: "  hoist rollout convert -f rollout.yaml --flag new-checkout --variant on --lenient > plan.yaml",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.File == "" || in.Flag == "" || in.Variant == "" {
				return usage(cmd, "-f, --flag and --variant are needed: Argo's form names no flag")
			}
			return a.convert(in, providers)
		},
	}
	f := c.Flags()
	f.StringVarP(&in.File, "file", "f", "", "the Rollout, with its AnalysisTemplates in the same file")
	f.StringVar(&in.Rollout, "rollout", "", "which Rollout, when the file has several")
	f.StringVar(&in.Flag, "flag", "", "the flag that is rolled out")
	f.StringVar(&in.Variant, "variant", "", "the variant it shall serve in the end")
	f.StringVar(&in.Seat, "seat", "", "what of the flag is driven: default, or rule:ID")
	f.StringSliceVar(&in.Preview, "preview", nil, "segments that see a blue-green candidate first")
	f.BoolVar(&in.Lenient, "lenient", false, "leave out what is about pods, with a note")
	f.StringToStringVar(&in.Args, "arg", nil, "NAME=VALUE of an argument, repeatable")
	f.StringToStringVar(&providers, "provider", nil, "METRIC=FILE with a provider of ours, repeatable")
	return c
}

func (a *app) convert(in argo.Input, providers map[string]string) error {
	var err error
	if in.Data, err = os.ReadFile(in.File); err != nil {
		return failed("another -f FILE", "the Rollout cannot be read: %v", err)
	}
	in.Providers = map[string][]byte{}
	for metric, path := range providers {
		if in.Providers[metric], err = os.ReadFile(path); err != nil {
			return failed("--provider "+metric+"=FILE", "the provider of %s cannot be read: %v", metric, err)
		}
	}
	plan, notes, err := argo.Convert(in)
	for _, note := range notes {
		a.talk("note: %s", note)
	}
	if err != nil {
		try := "correct the Rollout, or see docs/rollouts.md for what converts"
		if refused := (argo.Refusals)(nil); errors.As(err, &refused) {
			try = "hoist rollout convert --help says how to give what is missing"
		}
		return &failure{code: exitUsage, message: err.Error(), try: try}
	}
	data, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("printing the plan: %w", err)
	}
	return writeYAML(a.stdout, data)
}
