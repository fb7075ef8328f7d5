package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// suiteFlag is one flag of test-flags.json.
type suiteFlag struct {
	Disabled         bool           `json:"disabled"`
	Variants         map[string]any `json:"variants"`
	DefaultVariant   *string        `json:"defaultVariant"`
	Metadata         map[string]any `json:"flagMetadata"`
	ContextEvaluator string         `json:"contextEvaluator"`
}

// object is a piece of a manifest.
type object = map[string]any

// inCode is the variant of flags that have no default: without a value, so that the caller's own default is served.
const inCode = "in-code"

// importSuite translates test-flags.json into a manifest file and returns its path and the number of flags.
func importSuite(t *testing.T, path string) (manifest string, count int) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var flags map[string]suiteFlag
	require.NoError(t, json.Unmarshal(data, &flags))
	var list []object
	for key, flag := range flags {
		list = append(list, importFlag(t, key, flag))
	}
	// evaluation.feature asks for this flag, which the file does not hold; it is the one of the reference implementation.
	list = append(list, importFlag(t, "context-aware", suiteFlag{
		Variants:         map[string]any{"internal": "INTERNAL", "external": "EXTERNAL"},
		DefaultVariant:   new("external"),
		ContextEvaluator: "fn == 'Sulisław' && ln == 'Świętopełk' && age == 29 && !customer ? 'internal' : ''",
	}))
	out, err := json.Marshal(object{"flags": list})
	require.NoError(t, err)
	manifest = filepath.Join(t.TempDir(), "flags.json")
	require.NoError(t, os.WriteFile(manifest, out, 0o600))
	return manifest, len(flags)
}

func importFlag(t *testing.T, key string, flag suiteFlag) object {
	t.Helper()
	names := make([]string, 0, len(flag.Variants))
	for name := range flag.Variants {
		names = append(names, name)
	}
	slices.Sort(names)
	var variants []object
	for _, name := range names {
		variants = append(variants, object{"key": name, "value": flag.Variants[name]})
	}
	serve := inCode
	if flag.DefaultVariant != nil {
		serve = *flag.DefaultVariant
	} else {
		variants = append(variants, object{"key": inCode})
	}
	imported := object{"key": key, "type": typeOf(t, flag.Variants[names[0]]), "enabled": !flag.Disabled, "variants": variants,
		"default": object{"variant": serve}}
	if len(flag.Metadata) > 0 {
		imported["metadata"] = flag.Metadata
	}
	if flag.ContextEvaluator != "" {
		imported["rules"] = []object{importRule(t, flag.ContextEvaluator)}
	}
	return imported
}

func typeOf(t *testing.T, value any) string {
	t.Helper()
	switch value.(type) {
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		return "number"
	case map[string]any:
		return "object"
	}
	require.Fail(t, "a variant of unknown type", "%T", value)
	return ""
}

// The expressions have one form: terms joined by && ? 'variant' : ”. The empty text means: no rule matched.
var (
	expression = regexp.MustCompile(`^(.+) \? '([^']+)' : ''$`)
	comparison = regexp.MustCompile(`^(\w+) (==|>) (.+)$`)
)

func importRule(t *testing.T, evaluator string) object {
	t.Helper()
	parts := expression.FindStringSubmatch(evaluator)
	require.NotNil(t, parts, "an expression of another form: %s", evaluator)
	var clauses []object
	for term := range strings.SplitSeq(parts[1], " && ") {
		clause, err := importTerm(strings.TrimSpace(term))
		require.NoError(t, err)
		clauses = append(clauses, clause)
	}
	return object{"id": "context", "if": clauses, "then": object{"variant": parts[2]}}
}

func importTerm(term string) (object, error) {
	if name, negated := strings.CutPrefix(term, "!"); negated {
		// In the suite's language a missing attribute and the text "false" count as false; clauses say so themselves.
		return object{"attribute": name, "operator": "in", "values": []any{false}, "coerce": true, "ifMissing": true}, nil
	}
	parts := comparison.FindStringSubmatch(term)
	if parts == nil {
		return nil, fmt.Errorf("a term of another form: %s", term)
	}
	if parts[2] == "==" {
		if text, quoted := strings.CutPrefix(parts[3], "'"); quoted {
			return object{"attribute": parts[1], "operator": "in", "values": []any{strings.TrimSuffix(text, "'")}}, nil
		}
	}
	number, err := strconv.ParseFloat(parts[3], 64)
	if err != nil {
		return nil, fmt.Errorf("a term of another form: %s", term)
	}
	if parts[2] == "==" {
		return object{"attribute": parts[1], "operator": "in", "values": []any{number}}, nil
	}
	return object{"attribute": parts[1], "operator": "gt", "values": []any{number}}, nil
}
