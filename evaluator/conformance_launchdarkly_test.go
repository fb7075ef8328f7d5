package evaluator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/evaluator"
)

// ldExclusions is a function because nothing may change it.
func ldExclusions() []exclusion {
	const (
		kinds     = "contexts of several kinds are not modelled: one context is one object"
		bucketing = "needs the suite's own hash (SHA-1) and a sum of weights other than the whole"
		malformed = "refused when it is written, so it cannot answer MALFORMED_FLAG"
		cycle     = "cycles are refused when the environment is written; evaluation only promises to end"
		types     = "which type the caller wants is known to the typed getter, not to the evaluator"
	)
	return []exclusion{
		{file: "clause-kind-matching.yml", text: "multi-kind", reason: kinds},
		{file: "segment-match.yml", text: "kind", reason: kinds},
		{file: "target-match.yml", text: "multi-kind", reason: kinds},
		{file: "target-match.yml", text: "match other", reason: kinds},
		{file: "segment-match.yml", text: "bucket into segment", reason: bucketing},
		{file: "rollout-or-experiment.yml", reason: bucketing},
		{file: "errors.yml", text: "variation too", reason: malformed, refused: true},
		{file: "errors-bad-attribute-reference.yml", reason: malformed, refused: true},
		{file: "errors-wrong-type.yml", reason: types},
		{file: "prerequisites.yml", text: "cycle", reason: cycle},
		{file: "segment-recursion.yml", text: "cycle", reason: cycle},
	}
}

// ldFile is a file of the suite after its parameters are expanded.
type ldFile struct {
	Name    string `json:"name"`
	SDKData struct {
		Flags    map[string]ldFlag    `json:"flags"`
		Segments map[string]ldSegment `json:"segments"`
	} `json:"sdkData"`
	Evaluations []struct {
		Name    string          `json:"name"`
		FlagKey string          `json:"flagKey"`
		Context map[string]any  `json:"context"`
		User    map[string]any  `json:"user"`
		Default json.RawMessage `json:"default"`
		Expect  struct {
			Value          json.RawMessage `json:"value"`
			VariationIndex *int            `json:"variationIndex"`
			Reason         struct {
				Kind      string `json:"kind"`
				RuleIndex int    `json:"ruleIndex"`
				ErrorKind string `json:"errorKind"`
			} `json:"reason"`
		} `json:"expect"`
	} `json:"evaluations"`
}

type ldFlag struct {
	On            bool              `json:"on"`
	Variations    []json.RawMessage `json:"variations"`
	OffVariation  *int              `json:"offVariation"`
	Fallthrough   ldServe           `json:"fallthrough"`
	Prerequisites []struct {
		Key       string `json:"key"`
		Variation int    `json:"variation"`
	} `json:"prerequisites"`
	Targets        []ldTarget `json:"targets"`
	ContextTargets []ldTarget `json:"contextTargets"`
	Rules          []struct {
		ldServe
		Clauses []ldClause `json:"clauses"`
	} `json:"rules"`
}

type ldServe struct {
	Variation *int            `json:"variation"`
	Rollout   json.RawMessage `json:"rollout"`
}

type ldTarget struct {
	ContextKind string   `json:"contextKind"`
	Variation   int      `json:"variation"`
	Values      []string `json:"values"`
}

type ldClause struct {
	ContextKind string `json:"contextKind"`
	Attribute   string `json:"attribute"`
	Op          string `json:"op"`
	Values      []any  `json:"values"`
	Negate      bool   `json:"negate"`
}

type ldSegment struct {
	Included []string `json:"included"`
	Excluded []string `json:"excluded"`
	Rules    []struct {
		Clauses []ldClause `json:"clauses"`
		Weight  *int       `json:"weight"`
	} `json:"rules"`
}

// ldExpand reads a file of the suite once per combination of its parameters. Replacement happens in the JSON text:
// "<X>" as a whole becomes the value, <X> inside a text its text.
func ldExpand(t *testing.T, path string) []ldFile {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var document map[string]any
	require.NoError(t, yaml.Unmarshal(data, &document))
	constants, _ := document["constants"].(map[string]any)
	var files []ldFile
	for _, parameters := range ldCombinations(document["parameters"]) {
		rest := maps.Clone(document)
		delete(rest, "constants")
		delete(rest, "parameters")
		text := string(toJSON(t, rest))
		for range 3 {
			text = ldReplace(t, text, constants)
			text = ldReplace(t, text, parameters)
		}
		var file ldFile
		require.NoError(t, json.Unmarshal([]byte(text), &file), text)
		files = append(files, file)
	}
	return files
}

func ldReplace(t *testing.T, text string, values map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := string(toJSON(t, values[name]))
		inner := value
		if _, isText := values[name].(string); isText {
			inner = value[1 : len(value)-1]
		}
		// json.Marshal writes < and > as escapes.
		text = strings.ReplaceAll(text, `"\u003c`+name+`\u003e"`, value)
		text = strings.ReplaceAll(text, `\u003c`+name+`\u003e`, inner)
	}
	return text
}

// ldCombinations is one set of parameters per copy of the file.
func ldCombinations(parameters any) []map[string]any {
	list, _ := parameters.([]any)
	if len(list) == 0 {
		return []map[string]any{nil}
	}
	if one, ok := list[0].(map[string]any); ok && one != nil {
		var all []map[string]any
		for _, p := range list {
			all = append(all, p.(map[string]any))
		}
		return all
	}
	all := []map[string]any{{}}
	for _, dimension := range list {
		var next []map[string]any
		for _, base := range all {
			for _, p := range ldCombinations(dimension) {
				joined := maps.Clone(base)
				maps.Copy(joined, p)
				next = append(next, joined)
			}
		}
		all = next
	}
	return all
}

func ldVariant(i int) string { return fmt.Sprintf("v%d", i) }

// ldType is the type of all variations, or "" when they have none in common that a flag of ours can have.
func ldType(variations []json.RawMessage) string {
	kinds := map[string]bool{}
	texts := map[string]int{}
	for _, v := range variations {
		var value any
		_ = json.Unmarshal(v, &value)
		kinds[fmt.Sprintf("%T", value)] = true
		texts[string(v)]++
	}
	if len(kinds) != 1 {
		return ""
	}
	switch {
	case kinds["bool"] && texts["true"] == 1 && texts["false"] == 1 && len(variations) == 2:
		return "boolean"
	case kinds["string"]:
		return "string"
	case kinds["float64"]:
		return "number"
	case kinds["map[string]interface {}"]:
		return "object"
	}
	return ""
}

// ldTranslate turns a flag of the suite into ours: variations become variants v0, v1, …; targets become rules.
func ldTranslate(key string, f ldFlag) map[string]any {
	kind := ldType(f.Variations)
	var variants []any
	for i, v := range f.Variations {
		one := map[string]any{"key": ldVariant(i), "value": v}
		if kind == "" { // judged by the index alone
			one["value"] = ldVariant(i)
		}
		variants = append(variants, one)
	}
	flag := map[string]any{"key": key, "type": kind, "enabled": f.On, "variants": variants, "default": ldServeOf(f.Fallthrough)}
	if kind == "" {
		flag["type"] = "string"
	}
	if f.OffVariation != nil {
		flag["off"] = ldVariant(*f.OffVariation)
	}
	if !f.On && f.Fallthrough.Variation == nil && f.Fallthrough.Rollout == nil {
		flag["default"] = map[string]any{"variant": ldVariant(0)} // never served
	}
	var prerequisites, rules []any
	for _, p := range f.Prerequisites {
		prerequisites = append(prerequisites, map[string]any{"flag": p.Key, "variants": []string{ldVariant(p.Variation)}})
	}
	for i, target := range ldTargets(f) {
		rules = append(rules, map[string]any{"id": fmt.Sprintf("target-%d", i), "then": map[string]any{"variant": ldVariant(target.Variation)},
			"if": []any{map[string]any{"attribute": "targetingKey", "operator": "in", "values": target.Values}}})
	}
	for i, r := range f.Rules {
		rules = append(rules, map[string]any{"id": fmt.Sprintf("rule-%d", i), "if": ldClauses(r.Clauses), "then": ldServeOf(r.ldServe)})
	}
	if prerequisites != nil {
		flag["prerequisites"] = prerequisites
	}
	if rules != nil {
		flag["rules"] = rules
	}
	return flag
}

// ldTargets lists the targets of users. Where contextTargets are given they are the order, and an empty one of
// kind user stands for the targets of that variation.
func ldTargets(f ldFlag) []ldTarget {
	if len(f.ContextTargets) == 0 {
		return f.Targets
	}
	var targets []ldTarget
	for _, c := range f.ContextTargets {
		if c.ContextKind != "" && c.ContextKind != "user" {
			continue
		}
		for _, old := range f.Targets {
			if old.Variation == c.Variation {
				targets = append(targets, old)
			}
		}
	}
	return targets
}

func ldServeOf(s ldServe) map[string]any {
	if s.Variation == nil {
		return map[string]any{}
	}
	return map[string]any{"variant": ldVariant(*s.Variation)}
}

var ldOperators = map[string]string{"in": "in", "startsWith": "starts-with", "endsWith": "ends-with", "contains": "contains", "matches": "matches",
	"lessThan": "lt", "lessThanOrEqual": "lte", "greaterThan": "gt", "greaterThanOrEqual": "gte", "before": "before", "after": "after",
	"semVerEqual": "semver-eq", "semVerLessThan": "semver-lt", "semVerGreaterThan": "semver-gt", "segmentMatch": "segment"}

func ldClauses(clauses []ldClause) []any {
	list := []any{}
	for _, c := range clauses {
		list = append(list, ldClauseOf(c))
	}
	return list
}

// ldClauseOf translates a clause; a value that our operator does not take can never match there either, so it is
// left out.
func ldClauseOf(c ldClause) map[string]any {
	operator, known := ldOperators[c.Op]
	if !known || (c.ContextKind != "" && c.ContextKind != "user" && c.Attribute != "kind") {
		return map[string]any{"attribute": "key", "operator": "in", "values": []any{}} // never matches
	}
	clause := map[string]any{"operator": operator}
	if operator != "segment" {
		clause["attribute"] = ldAttribute(c)
	}
	if c.Negate {
		clause["negate"] = true
	}
	values := []any{}
	for _, v := range c.Values {
		probe := map[string]any{"operator": operator, "values": []any{v}}
		if operator != "segment" {
			probe["attribute"] = "a"
		}
		text, err := json.Marshal(map[string]any{"key": "s", "rules": []any{map[string]any{"if": []any{probe}}}})
		if err != nil {
			continue
		}
		if s, err := evaluator.DecodeSegment(text); err == nil && len(s.Check()) == 0 {
			values = append(values, v)
		}
	}
	clause["values"] = values
	return clause
}

// ldAttribute translates a reference: without a context kind it is a plain name whatever it contains.
func ldAttribute(c ldClause) string {
	switch {
	case c.Attribute == "key" || c.Attribute == "/key":
		return "targetingKey"
	case c.ContextKind == "" && strings.HasPrefix(c.Attribute, "/"):
		return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(c.Attribute)
	}
	return c.Attribute
}

func ldTranslateSegment(key string, s ldSegment) map[string]any {
	segment := map[string]any{"key": key}
	if s.Included != nil {
		segment["include"] = s.Included
	}
	excluded := slices.DeleteFunc(slices.Clone(s.Excluded), func(k string) bool { return slices.Contains(s.Included, k) })
	if excluded != nil {
		segment["exclude"] = excluded
	}
	var rules []any
	for _, r := range s.Rules {
		rules = append(rules, map[string]any{"if": ldClauses(r.Clauses)})
	}
	if rules != nil {
		segment["rules"] = rules
	}
	return segment
}

// ldContext translates a context of kind user, in the older form with custom attributes or in the newer one.
func ldContext(t *testing.T, context map[string]any) *evaluator.Context {
	attributes := map[string]any{"kind": "user", "anonymous": false}
	for name, v := range context {
		switch name {
		case "key":
			attributes["targetingKey"] = v
		case "custom":
			custom, _ := v.(map[string]any)
			maps.Copy(attributes, custom)
		case "_meta":
		default:
			attributes[name] = v
		}
	}
	return parseContext(t, string(toJSON(t, attributes)))
}

func TestLaunchDarklySuite(t *testing.T) {
	dir := sharedData(t, "conformance/launchdarkly-eval")
	var counts struct{ Files map[string]int }
	data, err := os.ReadFile(filepath.Join(dir, "counts.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &counts))
	y := newTally(ldExclusions())
	for _, name := range slices.Sorted(maps.Keys(counts.Files)) {
		for _, file := range ldExpand(t, filepath.Join(dir, name)) {
			ldRun(t, y, name, file)
		}
	}
	y.check(t, counts.Files)
}

func ldRun(t *testing.T, y *tally, name string, file ldFile) {
	var flags, segments []map[string]any
	for key, f := range file.SDKData.Flags {
		flags = append(flags, ldTranslate(key, f))
	}
	for key, s := range file.SDKData.Segments {
		segments = append(segments, ldTranslateSegment(key, s))
	}
	snapshot, refused := compileAll(t, flags, segments)
	for _, e := range file.Evaluations {
		if x := y.excluded(name, file.Name+"/"+e.Name); x != nil {
			require.Equal(t, x.refused, refused[e.FlagKey] != nil && x.refused, "%s is refused", e.FlagKey)
			continue
		}
		t.Run(name+"/"+file.Name+"/"+e.Name, func(t *testing.T) {
			require.NoError(t, refused[e.FlagKey])
			context := e.Context
			if context == nil {
				context = e.User
			}
			r := snapshot.Evaluate(e.FlagKey, ldContext(t, context))
			flag := file.SDKData.Flags[e.FlagKey]
			reason := map[string]evaluator.Reason{"OFF": "DISABLED", "FALLTHROUGH": "DEFAULT", "TARGET_MATCH": "TARGETING_MATCH", "RULE_MATCH": "TARGETING_MATCH",
				"PREREQUISITE_FAILED": "PREREQUISITE_FAILED", "ERROR": "ERROR"}[e.Expect.Reason.Kind]
			if reason == "DEFAULT" && len(flag.Rules)+len(ldTargets(flag))+len(flag.Prerequisites) == 0 {
				reason = "STATIC"
			}
			require.Equal(t, reason, r.Reason)
			require.Equal(t, e.Expect.Reason.ErrorKind, string(r.ErrorCode))
			if e.Expect.Reason.Kind == "RULE_MATCH" {
				require.Equal(t, fmt.Sprintf("rule-%d", e.Expect.Reason.RuleIndex), r.RuleID)
			}
			if e.Expect.VariationIndex == nil {
				require.False(t, r.HasValue)
				return
			}
			require.Equal(t, ldVariant(*e.Expect.VariationIndex), r.Variant)
			if ldType(flag.Variations) != "" {
				require.JSONEq(t, string(e.Expect.Value), string(r.Value.AppendJSON(nil)))
			}
		})
	}
}
