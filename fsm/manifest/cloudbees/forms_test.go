package cloudbees_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

// parse imports small files: those that begin as target groups, and experiments.
func parse(t *testing.T, files ...string) *cloudbees.Imported {
	t.Helper()
	tree := fstest.MapFS{}
	for i, text := range files {
		name := "experiments/" + string(rune('a'+i)) + ".yml"
		switch {
		case strings.HasPrefix(text, "name:"):
			name, text = "target_groups/"+string(rune('a'+i))+".yml", "type: target-group\n"+text
		case strings.HasPrefix(text, "archived "):
			name, text = "experiments/archived/"+string(rune('a'+i))+".yml", "type: experiment\n"+strings.TrimPrefix(text, "archived ")
		default:
			text = "type: experiment\n" + text
		}
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	got, err := cloudbees.Import(tree, cloudbees.Options{})
	require.NoError(t, err)
	return got
}

// sound is an import without errors that comes back the same from its own export.
func sound(t *testing.T, files ...string) *fsm.Environment {
	t.Helper()
	got := parse(t, files...)
	require.Zero(t, got.Findings.Errors(), got.Findings.String())
	exported := cloudbees.Export(got.Content, cloudbees.Options{})
	require.Empty(t, exported.Findings)
	again, err := cloudbees.Import(asTree(exported.Files), cloudbees.Options{})
	require.NoError(t, err)
	requireSameContent(t, got.Content, again.Content)
	return environmentWith(t, got.Content)
}

// about is a context from pairs; those for targetingKey and attributes.
func about(pairs map[string]any) *evaluator.Context {
	var attributes []evaluator.Attribute
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		var v evaluator.Value
		switch x := pairs[name].(type) {
		case string:
			v = evaluator.String(x)
		case bool:
			v = evaluator.Bool(x)
		case int:
			v = evaluator.Number(float64(x))
		case float64:
			v = evaluator.Number(x)
		}
		attributes = append(attributes, evaluator.Attribute{Name: name, Value: v})
	}
	return evaluator.NewContext("user-1", attributes...)
}

func answer(env *fsm.Environment, flag string, pairs map[string]any) evaluator.Result {
	return env.Snapshot().Evaluate(flag, about(pairs))
}

const groupA, groupB = "name: A\nconditions: [{property: a, operator: is-true}]\n", "name: B B\nconditions: [{property: b, operator: is-true}]\n"

// S2-06, S2-17: inside a condition everything has to hold, or anything with the gate
func TestTestsOfAConditionAreJoined(t *testing.T) {
	const tests = `
    dependency: {flag: other, value: 'true'}
    group: {name: A}
    version: {operator: semver-gte, semver: 2.0.0}
    property: {name: plan, operator: eq, operand: pro}
    value: true
value: false
`
	other := "flag: other\nconditions:\n  - property: {name: d, operator: is-true}\n    value: true\nvalue: false\n"
	all := sound(t, other, groupA, "flag: f\nconditions:\n  - acrossTypesLogicGate: and"+tests)
	one := sound(t, other, groupA, "flag: f\nconditions:\n  - acrossTypesLogicGate: or"+tests)
	for mask := range 16 {
		pairs := map[string]any{}
		for i, pair := range []struct {
			name  string
			value any
		}{{"d", true}, {"a", true}, {"rox.app_release", "2.1.0"}, {"plan", "pro"}} {
			if mask>>i&1 == 1 {
				pairs[pair.name] = pair.value
			}
		}
		require.Equal(t, mask == 15, answer(all, "f", pairs).Value.AsBool(), "%v", pairs)
		require.Equal(t, mask != 0, answer(one, "f", pairs).Value.AsBool(), "%v", pairs)
	}
}

// S2-17
func TestSeveralPropertiesOfAConditionAreJoined(t *testing.T) {
	for gate, want := range map[string][4]bool{"and": {false, false, false, true}, "or": {false, true, true, true}} {
		env := sound(t, groupA, `flag: f
conditions:
  - group: {name: A}
    property:
      logicGate: `+gate+`
      propertyConditions:
        - {property: x, operator: is-true}
        - {property: y, operator: in-between, operand: [2020-01-01, 2020-12-31]}
    value: true
value: false
`)
		for mask, hold := range want {
			pairs := map[string]any{"a": true}
			if mask&1 == 1 {
				pairs["x"] = true
			}
			if mask&2 == 2 {
				pairs["y"] = "2020-06-01T00:00:00Z"
			}
			require.Equal(t, hold, answer(env, "f", pairs).Value.AsBool(), "%s %v", gate, pairs)
			pairs["a"] = false
			require.False(t, answer(env, "f", pairs).Value.AsBool())
		}
	}
}

// S2-07
func TestGroupsAnyAllAndNone(t *testing.T) {
	for operator, want := range map[string][4]bool{
		"": {false, true, true, true}, "or": {false, true, true, true}, "any": {false, true, true, true},
		"and": {false, false, false, true}, "all": {false, false, false, true},
		"not": {true, false, false, false}, "nor": {true, false, false, false}} {
		line := ""
		if operator != "" {
			line = "operator: " + operator + ", "
		}
		env := sound(t, groupA, groupB, "flag: f\nconditions:\n  - group: {"+line+"name: [A, B B]}\n    value: true\nvalue: false\n")
		for mask, hold := range want {
			require.Equal(t, hold, answer(env, "f", map[string]any{"a": mask&1 == 1, "b": mask&2 == 2}).Value.AsBool(), "%q %d", operator, mask)
		}
	}
}

// S2-17
func TestGroupsInsideGroups(t *testing.T) {
	for operator, want := range map[string][4]bool{"any-groups": {false, true, true, true}, "all-groups": {false, false, false, true}} {
		env := sound(t, groupA, groupB, "name: outer\nconditions:\n  - {property: o, operator: is-true}\n  - group: {operator: "+operator+", name: [A, B B]}\n",
			"flag: f\nconditions:\n  - group: {name: outer}\n    value: true\nvalue: false\n")
		for mask, hold := range want {
			require.Equal(t, hold, answer(env, "f", map[string]any{"o": true, "a": mask&1 == 1, "b": mask&2 == 2}).Value.AsBool(), "%s %d", operator, mask)
		}
	}
	sound(t, groupA, groupB, "name: outer\noperator: or\nconditions:\n  - {property: o, operator: is-true}\n  - group: {operator: all-groups, name: [A, B B]}\n")
}

// S2-12: every operator, against what holds, what does not, nothing and the wrong type
func TestEveryOperator(t *testing.T) {
	const undefined = "(nothing)"
	cases := map[string]struct{ yes, no []any }{
		"operator: in-array, operand: [x, 5]":                    {[]any{"x", 5}, []any{"y", "5", undefined}},
		"operator: eq, operand: x":                               {[]any{"x"}, []any{"X", 1, undefined}},
		"operator: eq, operand: '123'":                           {[]any{"123"}, []any{123, undefined}},
		"operator: eq, operand: false":                           {[]any{false, undefined}, []any{true}},
		"operator: eq, operand: true":                            {[]any{true}, []any{false, undefined}},
		"operator: ne, operand: x":                               {[]any{"y", 1, undefined}, []any{"x"}},
		"operator: is-undefined":                                 {[]any{undefined}, []any{"x", false}},
		"operator: is-true":                                      {[]any{true}, []any{false, "true", undefined}},
		"operator: is-false":                                     {[]any{false, undefined}, []any{true}},
		"operator: gt, operand: 5":                               {[]any{6, "6"}, []any{5, 4, "a", undefined}},
		"operator: gte, operand: '5'":                            {[]any{6, 5}, []any{4, undefined}},
		"operator: lt, operand: 5":                               {[]any{4.5}, []any{5, undefined, true}},
		"operator: lte, operand: 5":                              {[]any{5}, []any{6, undefined}},
		"operator: regex, operand: '@example\\.com$'":            {[]any{"a@example.com"}, []any{"a@example.community", undefined}},
		"operator: regex, operand: ['^A', i]":                    {[]any{"abc", "ABC"}, []any{"bA"}},
		"operator: regex, operand: '*broken'":                    {nil, []any{"*broken", "", undefined}},
		"operator: semver-gt, operand: 1.0":                      {[]any{"1.0.1", "v2"}, []any{"1.0", "x", undefined}},
		"operator: semver-gte, operand: 1.0.0":                   {[]any{"1.0"}, []any{"1.0.0-rc.1", undefined}},
		"operator: semver-lt, operand: 1.10.0":                   {[]any{"1.9.0"}, []any{"1.10.0", undefined}},
		"operator: semver-lte, operand: 1.10.0":                  {[]any{"1.10"}, []any{"1.10.1", undefined}},
		"operator: semver-eq, operand: 1.1":                      {[]any{"1.1.0"}, []any{"1.1.1", undefined}},
		"operator: semver-ne, operand: 1.1":                      {[]any{"1.1.1"}, []any{"1.1.0", "x", undefined}},
		"operator: before, operand: 2020-06-01T00:00:00Z":        {[]any{"2020-05-31", "2020-05-31T23:59:59Z"}, []any{"2020-06-01T00:00:00Z", undefined, "x"}},
		"operator: after, operand: 2020-06-01":                   {[]any{"2020-06-01T00:00:01Z"}, []any{"2020-06-01", undefined}},
		"operator: in-between, operand: [2020-01-01,2020-02-01]": {[]any{"2020-01-15"}, []any{"2020-01-01", "2020-02-01", undefined}},
	}
	for test, c := range cases {
		env := sound(t, "flag: f\nconditions:\n  - property: {name: p, "+test+"}\n    value: true\nvalue: false\n")
		check := func(v any, want bool) {
			pairs := map[string]any{}
			if v != undefined {
				pairs["p"] = v
			}
			require.Equal(t, want, answer(env, "f", pairs).Value.AsBool(), "%s with %#v", test, v)
		}
		for _, v := range c.yes {
			check(v, true)
		}
		for _, v := range c.no {
			check(v, false)
		}
	}
}

// S2-09, S2-17: names of nothing
func TestReferencesToNothing(t *testing.T) {
	env := sound(t, groupA, `flag: f
conditions:
  - group: {name: [A, Gone]}
    value: true
  - group: {operator: and, name: [A, Gone]}
    property: {name: all, operator: is-true}
    value: true
  - group: {operator: not, name: [Gone]}
    property: {name: none, operator: is-true}
    value: true
  - dependency: {flag: gone, value: 'false'}
    property: {name: f, operator: is-true}
    value: true
  - dependency: {flag: old, value: 'true'}
    value: true
value: false
`, "archived flag: old\nvalue: true\n")
	for name, want := range map[string]bool{"a": true, "all": false, "none": true, "f": true, "x": false} {
		require.Equal(t, want, answer(env, "f", map[string]any{name: true}).Value.AsBool(), name)
	}
	got := parse(t, "flag: f\nconditions:\n  - group: {name: Gone}\n    value: true\nvalue: false\n")
	require.Equal(t, []string{"Gone"}, got.Summary.UnknownGroups)
	sound(t, "name: outer\nconditions:\n  - group: {operator: not, name: [Gone]}\n  - {property: o, operator: is-true}\n  - group: {operator: any-groups, name: [Gone]}\n")
}

// S2-14, S2-15, S2-16
func TestDisabledAbsentAndArchived(t *testing.T) {
	env := sound(t, "flag: off\nenabled: false\nvalue: true\n", "flag: none\n", "flag: text\navailableValues: [a, b]\n", "archived flag: old\nvalue: true\n",
		"flag: platform\nplatforms:\n  - name: Mac OS\n    conditions:\n      - property: {name: p, operator: is-true}\n        value: true\n  - name: Mac-OS\nvalue: true\n",
		"flag: needs\nconditions:\n  - dependency: {flag: 'off', value: 'false'}\n    value: true\nvalue: false\n")
	got := answer(env, "off", nil)
	require.Equal(t, evaluator.ReasonDisabled, got.Reason)
	require.False(t, got.HasValue)
	require.False(t, answer(env, "none", nil).Value.AsBool())
	require.True(t, answer(env, "none", nil).HasValue)
	require.False(t, answer(env, "text", nil).HasValue)
	require.Equal(t, evaluator.ErrorFlagNotFound, answer(env, "old", nil).ErrorCode)
	require.True(t, answer(env, "platform", nil).Value.AsBool())
	require.False(t, answer(env, "platform", map[string]any{"rox.platform": "Mac OS"}).Value.AsBool())
	require.True(t, answer(env, "platform", map[string]any{"rox.platform": "Mac OS", "p": true}).Value.AsBool())
	require.False(t, answer(env, "platform", map[string]any{"rox.platform": "Mac-OS"}).Value.AsBool())
	require.True(t, answer(env, "needs", nil).Value.AsBool(), "a disabled flag counts as false")
}

func TestNamesBecomeKeys(t *testing.T) {
	got := parse(t, "flag: a b\nvalue: true\n", "flag: a-b\nvalue: true\n", "flag: a/b\nvalue: true\n", "flag: '///'\nvalue: true\n",
		"flag: '_x (y)'\nvalue: true\n")
	keys := map[string]string{}
	for _, f := range got.Content.Flags {
		keys[f.Key] = f.Annotations["cloudbees.name"]
	}
	require.Equal(t, map[string]string{"a-b": "", "a-b-2": "a b", "a-b-3": "a/b", "x": "///", "x-y": "_x (y)"}, keys)
	clash := parse(t, "flag: Same\nvalue: true\n", "flag: same\nvalue: true\n")
	require.Equal(t, 1, clash.Findings.Errors())
	require.Equal(t, "case-clash", clash.Findings[0].Rule)
}

func TestAttributesAreRenamedAndComeBack(t *testing.T) {
	tree := fstest.MapFS{"experiments/a.yml": {Data: []byte("type: experiment\nflag: f\nseed: s1\nstickinessProperty: account\nplatforms:\n  - name: iOS\n    value: true\nvalue:\n  - {percentage: 10, option: true}\n")}}
	o := cloudbees.Options{Attributes: map[string]string{"rox.platform": "platform", "account": "org"}, Hash: evaluator.HashRoxMD5}
	got, err := cloudbees.Import(tree, o)
	require.NoError(t, err)
	f := got.Content.Flags[0]
	require.Equal(t, "platform", f.Rules[0].If[0].Attribute)
	require.Equal(t, "org", f.Default.Split.By)
	require.Equal(t, "s1", f.Default.Split.Salt)
	require.Equal(t, evaluator.HashRoxMD5, f.Default.Split.Hash)
	exported := cloudbees.Export(got.Content, o)
	require.Empty(t, exported.Findings)
	text := string(exported.Files["experiments/f.yaml"])
	require.Contains(t, text, "stickinessProperty: account")
	require.Contains(t, text, "seed: s1")
	again, err := cloudbees.Import(asTree(exported.Files), o)
	require.NoError(t, err)
	requireSameContent(t, got.Content, again.Content)
}

func TestFilesThatReferToFilesWithErrorsAreLeftOut(t *testing.T) {
	got := parse(t, "flag: bad\nvalue: {}\n", "flag: needs\nconditions:\n  - dependency: {flag: bad, value: 'true'}\n    value: true\n",
		"flag: above\nconditions:\n  - dependency: {flag: needs, value: 'true'}\n    value: true\n", "flag: good\nvalue: true\n")
	require.Len(t, got.Content.Flags, 1)
	require.Equal(t, "good", got.Content.Flags[0].Key)
	require.Len(t, got.Skipped, 3)
}
