package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// definition is what `flag create` and `flag set` can say about a flag on the command line.
type definition struct {
	file                     string
	kind, valueType          string
	name, description, owner string
	tags, variants           []string
	off, serve, split, value string
	enabled, clientVisible   bool
}

func (d *definition) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&d.file, "file", "f", "", "whole definition, YAML or JSON; - reads standard input")
	f.StringVar(&d.name, "name", "", "name for people")
	f.StringVar(&d.description, "description", "", "what it does")
	f.StringVar(&d.owner, "owner", "", "team that answers for it")
	f.StringArrayVar(&d.tags, "tag", nil, "tag; repeat for more")
	f.StringArrayVar(&d.variants, "variant", nil, "variant KEY=VALUE; repeat for more. Objects are JSON; KEY alone means the caller's default")
	f.StringVar(&d.off, "off", "", "variant served when the flag is off")
	f.StringVar(&d.serve, "default", "", "variant served when no rule matches")
	f.StringVar(&d.split, "split", "", "shares served when no rule matches: on=10%,off=90%")
	f.StringVar(&d.value, "value", "", "value of a config")
	f.BoolVar(&d.enabled, "enabled", false, "serve it by its rules at once (a new flag is dark)")
	f.BoolVar(&d.clientVisible, "client-visible", false, "let client-side applications see it")
}

// apply writes what was said on the command line into flag; what was not said stays.
func (d *definition) apply(cmd *cobra.Command, flag *hoistv1.Flag) error {
	said := cmd.Flags().Changed
	for _, text := range []struct {
		option string
		from   string
		to     *string
	}{
		{"name", d.name, &flag.Name}, {"description", d.description, &flag.Description},
		{"owner", d.owner, &flag.Owner}, {"off", d.off, &flag.Off},
	} {
		if said(text.option) {
			*text.to = text.from
		}
	}
	if said("tag") {
		flag.Tags = d.tags
	}
	if said("enabled") {
		flag.Enabled = d.enabled
	}
	if said("client-visible") {
		flag.ClientVisible = d.clientVisible
	}
	if said("value") {
		value, err := typedValue(flag.GetType(), d.value)
		if err != nil {
			return usage(cmd, "--value: %s", err)
		}
		flag.Value = value
	}
	if err := d.applyVariants(cmd, flag); err != nil {
		return err
	}
	return d.applyServe(cmd, flag)
}

func (d *definition) applyVariants(cmd *cobra.Command, flag *hoistv1.Flag) error {
	for _, pair := range d.variants {
		key, text, hasValue := strings.Cut(pair, "=")
		variant := &hoistv1.Variant{Key: key}
		if hasValue {
			value, err := typedValue(flag.GetType(), text)
			if err != nil {
				return usage(cmd, "--variant %s: %s", pair, err)
			}
			variant.Value = value
		}
		replaced := false
		for i, old := range flag.GetVariants() {
			if old.GetKey() == key {
				flag.Variants[i], replaced = variant, true
			}
		}
		if !replaced {
			flag.Variants = append(flag.Variants, variant)
		}
	}
	return nil
}

func (d *definition) applyServe(cmd *cobra.Command, flag *hoistv1.Flag) error {
	said := cmd.Flags().Changed
	switch {
	case said("default") && said("split"):
		return usage(cmd, "--default and --split exclude each other")
	case said("default"):
		flag.Default = &hoistv1.Serve{Variant: d.serve}
	case said("split"):
		weights, err := parseWeights(d.split)
		if err != nil {
			return usage(cmd, "--split: %s", err)
		}
		split := flag.GetDefault().GetSplit()
		if split == nil {
			split = &hoistv1.Split{}
		}
		// The salt stays; without ranges the server moves as few keys as the new weights allow.
		split.Weights, split.Ranges = weights, nil
		flag.Default = &hoistv1.Serve{Split: split}
	}
	return nil
}

// parseWeights reads on=10%,off=90% (or shares of one, on=0.1) into thousandths of a percent.
func parseWeights(text string) ([]*hoistv1.Weight, error) {
	var weights []*hoistv1.Weight
	for part := range strings.SplitSeq(text, ",") {
		variant, share, ok := strings.Cut(strings.TrimSpace(part), "=")
		number, percent := strings.CutSuffix(share, "%")
		value, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || value < 0 {
			return nil, fmt.Errorf("%q is not VARIANT=SHARE%%", part)
		}
		units := value * 100_000
		if percent {
			units = value * 1000
		}
		if math.Abs(units-math.Round(units)) > 1e-6 || units > 100_000 {
			return nil, fmt.Errorf("%q is finer than 0.001 %% or more than everything", part)
		}
		weights = append(weights, &hoistv1.Weight{Variant: variant, Weight: int32(math.Round(units))})
	}
	return weights, nil
}

// typedValue reads text as a value of the flag's type.
func typedValue(flagType, text string) (*structpb.Value, error) {
	if flagType == "string" {
		return structpb.NewStringValue(text), nil
	}
	value := &structpb.Value{}
	if err := protojson.Unmarshal([]byte(text), value); err != nil {
		return nil, fmt.Errorf("%q is not a %s", text, flagType)
	}
	ok := false
	switch value.GetKind().(type) {
	case *structpb.Value_BoolValue:
		ok = flagType == "boolean"
	case *structpb.Value_NumberValue:
		ok = flagType == "number"
	case *structpb.Value_StructValue:
		ok = flagType == "object"
	}
	if !ok {
		return nil, fmt.Errorf("%q is not a %s", text, flagType)
	}
	return value, nil
}

// readDefinition reads one object from YAML or JSON, strictly: a member that does not exist is an error.
func readDefinition(cmd *cobra.Command, path string, into proto.Message) error {
	data, err := readInput(cmd, path)
	if err != nil {
		return err
	}
	var document any
	if err := yaml.Load(data, &document); err != nil {
		return failed("correct the file", "%s: %v", path, err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		return failed("correct the file", "%s: %v", path, err)
	}
	if err := protojson.Unmarshal(asJSON, into); err != nil {
		return failed("hoist export shows the shape", "%s: %v", path, strings.TrimPrefix(err.Error(), "proto: "))
	}
	return nil
}

func readInput(cmd *cobra.Command, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, failed("another -f", "%v", err)
	}
	return data, nil
}
