package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// listFormats are what a command that shows things can print.
var listFormats = []string{"table", "wide", "json", "yaml", "name"}

// view is one answer in the forms it can be printed in. JSON and YAML are the API's own message.
type view struct {
	message proto.Message
	names   []string   // for -o name, for example flag/checkout
	header  []string   // columns of the table
	wide    int        // how many of the last columns only -o wide shows
	rows    [][]string // cells
}

// show prints v to stdout in the format that -o asks for.
func (a *app) show(v view) error {
	switch a.output {
	case "json", "yaml":
		return a.showMessage(v.message)
	case "name":
		for _, name := range v.names {
			fmt.Fprintln(a.stdout, name)
		}
		return nil
	}
	columns := len(v.header)
	if a.output != "wide" {
		columns -= v.wide
	}
	writeTable(a.stdout, v.header[:columns], v.rows)
	return nil
}

func writeTable(w io.Writer, header []string, rows [][]string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t ")) }
	line(header)
	for _, row := range rows {
		line(row[:min(len(row), len(header))])
	}
	table.Flush()
}

// showMessage prints an API message as JSON or YAML.
func (a *app) showMessage(m proto.Message) error {
	data, err := messageJSON(m)
	if err != nil {
		return err
	}
	if a.output == "yaml" {
		return writeYAML(a.stdout, data)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return fmt.Errorf("printing an answer: %w", err)
	}
	fmt.Fprintln(a.stdout, indented.String())
	return nil
}

// messageJSON is protojson with stable bytes: protojson itself varies its spaces on purpose.
func messageJSON(m proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{EmitUnpopulated: false}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("printing an answer: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return nil, fmt.Errorf("printing an answer: %w", err)
	}
	return compact.Bytes(), nil
}

// writeYAML prints JSON as YAML in block style; JSON is YAML, so members keep their order.
func writeYAML(w io.Writer, data []byte) error {
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		return fmt.Errorf("printing an answer: %w", err)
	}
	blockStyle(&document)
	out, err := yaml.Dump(&document, yaml.WithIndent(2))
	if err != nil {
		return fmt.Errorf("printing an answer: %w", err)
	}
	_, err = w.Write(out)
	return err
}

func blockStyle(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && plainText.MatchString(n.Value) && !oldBoolean.MatchString(n.Value) {
		n.Style &^= yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		blockStyle(child)
	}
}

// Text that every YAML reader takes for text needs no quotes; readers of YAML 1.1 take words like on and off for booleans.
var (
	plainText  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)
	oldBoolean = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null)$`)
)

// valueText is a value as one cell: text as it is, everything else as JSON; a missing value is the caller's default.
func valueText(v *structpb.Value) string {
	if v == nil {
		return "(caller's default)"
	}
	if text, ok := v.GetKind().(*structpb.Value_StringValue); ok {
		return text.StringValue
	}
	data, err := messageJSON(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Local().Format(time.DateTime)
}

func revisionText(r uint64) string { return fmt.Sprintf("%d", r) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// showJSON prints a Go value as JSON or YAML, for answers that have no message of their own.
func (a *app) showJSON(value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("printing an answer: %w", err)
	}
	if a.output == "yaml" {
		return writeYAML(a.stdout, data)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return fmt.Errorf("printing an answer: %w", err)
	}
	fmt.Fprintln(a.stdout, indented.String())
	return nil
}

// sortedKeys lists the keys of m in order.
func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
