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
