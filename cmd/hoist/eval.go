package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// evaluation is what `hoist eval` was asked.
type evaluation struct {
	pairs          []string
	file           string
	explain, watch bool
	at             uint64
}

func (a *app) evalCommand() *cobra.Command {
	e := &evaluation{}
	c := &cobra.Command{
		Use: "eval [KEY]", Short: "Evaluate a flag, or all flags, for a context",
		Long: `Evaluate a flag for a context and say why. Without KEY all flags are evaluated.

An attribute is name=value. The value is read as JSON where it is JSON (true, 5, null, ["a"], {"b":1}) and as text otherwise;
name:string=5 forces text, and number, boolean and json can be forced the same way.`,
		Example: `  hoist eval new-checkout -c targetingKey=user-1
  hoist eval new-checkout -c targetingKey=user-1 -c country=DE -c build:string=42 --explain
  hoist eval --context-file context.json -o json
  hoist eval new-checkout -c targetingKey=user-1 --at 4711
  hoist eval new-checkout -c targetingKey=user-1 --watch`,
		Args: between(0, "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			about, err := e.context(cmd)
			if err != nil {
				return err
			}
			if e.at != 0 && (len(args) == 0 || e.watch) {
				return usage(cmd, "--at needs a KEY, and does not go with --watch")
			}
			if e.watch {
				return a.watchEvaluations(cmd.Context(), n, about, args)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			switch {
			case len(args) == 0 && e.explain:
				return usage(cmd, "--explain needs a KEY")
			case len(args) == 0:
				return a.evaluateAll(ctx, n, about)
			case e.explain || e.at != 0:
				return a.explain(ctx, n, about, args[0], e)
			}
			return a.evaluate(ctx, n, about, args[0])
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&e.pairs, "attribute", "c", nil, "attribute of the context, name=value; repeat for more")
	f.StringVar(&e.file, "context-file", "", "context as a JSON or YAML object; - reads standard input")
	f.BoolVar(&e.explain, "explain", false, "show every step: why, and why not")
	f.Uint64Var(&e.at, "at", 0, "answer as of this older revision, as far as the versions it depends on are held")
	f.BoolVarP(&e.watch, "watch", "w", false, "keep going: print what changes for this context")
	return a.printing(a.scoped(a.completesFlags(c)), listFormats...)
}

// context joins the file and the pairs; pairs win.
func (e *evaluation) context(cmd *cobra.Command) (*structpb.Struct, error) {
	about := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	if e.file != "" {
		if err := readDefinition(cmd, e.file, about); err != nil {
			return nil, err
		}
	}
	if about.Fields == nil {
		about.Fields = map[string]*structpb.Value{}
	}
	for _, pair := range e.pairs {
		name, value, err := parsePair(pair)
		if err != nil {
			return nil, usage(cmd, "-c %s: %s", pair, err)
		}
		about.Fields[name] = value
	}
	return about, nil
}

// parsePair reads name=value or name:type=value.
func parsePair(pair string) (string, *structpb.Value, error) {
	name, text, ok := strings.Cut(pair, "=")
	if !ok || name == "" {
		return "", nil, fmt.Errorf("it must be name=value")
	}
	kind := ""
	if i := strings.LastIndexByte(name, ':'); i > 0 {
		switch name[i+1:] {
		case "string", "number", "boolean", "json":
			name, kind = name[:i], name[i+1:]
		}
	}
	if kind == "string" || kind == "" && (!json.Valid([]byte(text)) || name == "targetingKey") {
		return name, structpb.NewStringValue(text), nil // a targeting key is always text: 42 means "42"
	}
	value := &structpb.Value{}
	if err := protojson.Unmarshal([]byte(text), value); err != nil {
		return "", nil, fmt.Errorf("%q is not a %s", text, kind)
	}
	_, isNumber := value.GetKind().(*structpb.Value_NumberValue)
	_, isBool := value.GetKind().(*structpb.Value_BoolValue)
	if kind == "number" && !isNumber || kind == "boolean" && !isBool {
		return "", nil, fmt.Errorf("%q is not a %s", text, kind)
	}
	return name, value, nil
}

func (a *app) evaluate(ctx context.Context, n *node, about *structpb.Struct, key string) error {
	got, err := n.eval.Evaluate(ctx, &hoistv1.EvaluateRequest{Environment: n.environment, Key: key, Context: about})
	if err != nil {
		return err
	}
	v := evaluationsView([]*hoistv1.Evaluation{got.GetEvaluation()})
	v.message = got
	return a.show(v)
}

func (a *app) evaluateAll(ctx context.Context, n *node, about *structpb.Struct) error {
	got, err := n.eval.EvaluateAll(ctx, &hoistv1.EvaluateAllRequest{Environment: n.environment, Context: about})
	if err != nil {
		return err
	}
	v := evaluationsView(got.GetEvaluations())
	v.message = got
	return a.show(v)
}

func evaluationsView(all []*hoistv1.Evaluation) view {
	v := view{header: []string{"KEY", "VALUE", "VARIANT", "REASON", "RULE", "METADATA"}, wide: 1}
	for _, e := range all {
		reason := e.GetReason()
		if e.GetErrorCode() != "" {
			reason += " " + e.GetErrorCode()
		}
		metadata := ""
		if len(e.GetMetadata()) > 0 {
			metadata = valueText(structpb.NewStructValue(&structpb.Struct{Fields: e.GetMetadata()}))
		}
		v.names = append(v.names, "flag/"+e.GetKey())
		v.rows = append(v.rows, []string{e.GetKey(), valueText(e.GetValue()), e.GetVariant(), reason, e.GetRuleId(), metadata})
	}
	return v
}

// explain prints the answer and, below it if asked for, every step that led there.
func (a *app) explain(ctx context.Context, n *node, about *structpb.Struct, key string, e *evaluation) error {
	got, err := n.eval.Explain(ctx, &hoistv1.ExplainRequest{Environment: n.environment, Key: key, Context: about, At: e.at})
	if err != nil {
		return err
	}
	v := evaluationsView([]*hoistv1.Evaluation{got.GetEvaluation()})
	v.message = got
	if err := a.show(v); err != nil || !e.explain || a.output == "json" || a.output == "yaml" || a.output == "name" {
		return err
	}
	fmt.Fprintln(a.stdout)
	for _, step := range got.GetSteps() {
		a.showStep(step)
	}
	return nil
}

func (a *app) showStep(step *hoistv1.ExplainStep) {
	line := strings.TrimSpace(step.GetKind() + " " + step.GetId())
	fmt.Fprintf(a.stdout, "%-12s %s", step.GetOutcome(), line)
	if step.GetWhy() != "" {
		fmt.Fprintf(a.stdout, ": %s", step.GetWhy())
	}
	fmt.Fprintln(a.stdout)
	for _, clause := range step.GetClauses() {
		fmt.Fprintf(a.stdout, "             if %s: %s%s\n", clauseText(clause), clause.GetState(), seenText(clause))
	}
	if b := step.GetBucket(); b != nil {
		fmt.Fprintf(a.stdout, "             bucket: %s %q with salt %q is unit %d of 100000 -> %s\n",
			b.GetBy(), b.GetKey(), b.GetSalt(), b.GetUnit(), b.GetVariant())
	}
}

func clauseText(c *hoistv1.ExplainClause) string {
	words := []string{c.GetAttribute(), c.GetOperator(), c.GetAsked()}
	if c.GetNegate() {
		words = append([]string{"not"}, words...)
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

// seenText is what the clause looked at. A segment looks at the whole context.
func seenText(c *hoistv1.ExplainClause) string {
	switch {
	case c.GetSeen() != "":
		return " (saw " + c.GetSeen() + ")"
	case c.GetAttribute() != "":
		return " (saw nothing)"
	}
	return ""
}
