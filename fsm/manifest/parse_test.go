package manifest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm/manifest"
)

// example is the one of the manual.
const example = `flags:
  - key: checkout
    type: string
    owner: payments
    clientVisible: true
    enabled: true
    variants: [{key: "old", value: classic}, {key: "new", value: express}, {key: "in-code"}]
    off: "old"
    prerequisites: [{flag: payments-v2, variants: ["on"]}]
    rules:
      - id: staff
        if:
          - {attribute: email, operator: ends-with, values: ["@example.com"], ignoreCase: true}
          - {attribute: app_version, operator: semver-gte, values: ["3.0.1"], coerce: true}
        then: {variant: "new"}
      - id: beta
        if: [{operator: segment, values: [beta-users]}]
        then: {split: {salt: checkout/beta, weights: [{variant: "new", weight: 25000}, {variant: "old", weight: 75000}]}}
    default: {variant: "old"}
  - {key: payments-v2, type: boolean, enabled: true, variants: [{key: "on", value: true}, {key: "off", value: false}], off: "off", default: {variant: "on"}}
  - {key: query.timeout, kind: config, type: string, value: 180s}
segments:
  - key: beta-users
    include: [user-7]
    rules: [{if: [{attribute: plan, operator: in, values: [pro, team]}]}]
`

func source(text string) manifest.Source {
	return manifest.Source{Name: "flags.yaml", Data: []byte(text)}
}

func TestExampleIsReadWithOneWarning(t *testing.T) {
	content, findings := manifest.Parse(source(example))
	require.Equal(t, `flags.yaml:7:1: warning lint.unserved: flag checkout: /variants/2: variant "in-code" is never served`, findings.String())
	require.Len(t, content.Flags, 3)
	require.Len(t, content.Segments, 1)
	require.Equal(t, 25000, content.Flags[0].Rules[1].Then.Split.Weights[0].Weight)
	require.Equal(t, "180s", content.Flags[2].Value.AsString())
}

func TestSeveralFilesAndDocumentsAreJoined(t *testing.T) {
	flag := `{key: %s, kind: config, type: number, value: %s}`
	content, findings := manifest.Parse(
		manifest.Source{Name: "a.yaml", Data: fmt.Appendf(nil, "flags: ["+flag+"]\n---\nflags:\n- "+flag+"\n---\n", "a", "0x1f", "b", "1_000")},
		manifest.Source{Name: "b.json", Data: []byte(`{"flags":[{"key":"c","kind":"config","type":"number","value":1.5e3}],"segments":null}`)},
		manifest.Source{Name: "empty.yaml"})
	require.Empty(t, findings)
	var values []float64
	for _, f := range content.Flags {
		values = append(values, f.Value.AsNumber())
	}
	require.Equal(t, []float64{31, 1000, 1500}, values)
}

// What is wrong is named with file, line and field, and the rest is read.
func TestFindingsNameTheLine(t *testing.T) {
	good := "  - {key: good, kind: config, type: string, value: x}\n"
	for name, c := range map[string]struct {
		text, code string
		line       int
	}{
		"unknown member":   {"flags:\n  - key: a\n    type: boolean\n    colour: red\n" + good, "decode.unknown", 4},
		"other case":       {"flags:\n  - key: a\n    Type: boolean\n" + good, "decode.unknown", 3},
		"duplicate member": {"flags:\n  - key: a\n    type: boolean\n    type: string\n" + good, "yaml.duplicate", 4},
		"wrong type":       {"flags:\n  - key: a\n    type: boolean\n    enabled: 3\n" + good, "decode.type", 4},
		"weights": {"flags:\n  - key: a\n    type: boolean\n    variants: [{key: \"on\", value: true}, {key: \"off\", value: false}]\n    default:\n      split:\n        weights:\n          - {variant: \"on\", weight: 1}\n" + good,
			"flag.weights.sum", 8},
		"unknown section":     {"flagz: []\nflags:\n" + good, "manifest.unknown", 1},
		"section twice":       {"flags:\n" + good + "flags: []\n", "yaml.duplicate", 3},
		"flags is a mapping":  {"segments:\n  a: b\nflags:\n" + good, "manifest.shape", 2},
		"flag twice":          {"flags:\n" + good + good, "manifest.duplicate", 3},
		"other case of a key": {"flags:\n" + good + strings.Replace(good, "good", "Good", 1), "manifest.duplicate", 3},
		"name is no text":     {"flags:\n  - key: a\n    type: boolean\n    1: x\n" + good, "yaml.key", 4},
		"infinite":            {"flags:\n  - {key: a, kind: config, type: number,\n     value: .inf}\n" + good, "yaml.number", 3},
		"binary":              {"flags:\n  - {key: a, kind: config, type: string,\n     value: !!binary aGk=}\n" + good, "yaml.tag", 3},
		"merge key":           {"flags:\n  - <<: {key: a}\n    type: boolean\n" + good, "yaml.key", 2},
		"flag is a word":      {"flags:\n  - checkout\n" + good, "decode.type", 2},
	} {
		t.Run(name, func(t *testing.T) {
			content, findings := manifest.Parse(source(c.text))
			require.NotEmpty(t, findings)
			require.True(t, findings.Failed())
			require.Equal(t, c.code, findings[0].Rule, findings.String())
			require.Equal(t, c.line, findings[0].Line, findings.String())
			require.Equal(t, "flags.yaml", findings[0].File)
			require.Len(t, content.Flags, 1, "the rest is read")
		})
	}
}

func TestTextThatIsNoYAMLIsOneFinding(t *testing.T) {
	for _, text := range []string{"flags: [", "a: b: c", "\x00", "flags:\n\t- x", "just words"} {
		content, findings := manifest.Parse(source(text))
		require.Len(t, findings, 1, "%q", text)
		require.True(t, findings.Failed())
		require.Empty(t, content.Flags)
	}
}

func TestAliasesAreRepeatedWithinReason(t *testing.T) {
	content, findings := manifest.Parse(source(`flags:
  - {key: a, type: boolean, variants: &both [{key: "on", value: true}, {key: "off", value: false}], default: {variant: "on"}}
  - {key: b, type: boolean, variants: *both, default: {variant: "off"}}
`))
	require.False(t, findings.Failed())
	require.Equal(t, content.Flags[0].Variants[0].Key, content.Flags[1].Variants[0].Key)

	bomb := "flags:\n  - key: a\n    kind: config\n    type: object\n    value:\n      a0: &a0 {x: 1}\n"
	for i := 1; i < 20; i++ {
		bomb += fmt.Sprintf("      a%d: &a%d {%s}\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("x%%d: *a%d, ", i-1), 10), ", "))
		for j := range 10 {
			bomb = strings.Replace(bomb, "x%d", fmt.Sprintf("x%d", j), 1)
		}
	}
	_, findings = manifest.Parse(source(bomb))
	require.True(t, findings.Failed())
	require.Less(t, len(findings), 20)

	_, findings = manifest.Parse(source("flags:\n  - &loop\n    key: a\n    value: *loop\n"))
	require.True(t, findings.Failed())
	_, findings = manifest.Parse(source("flags:\n  - {key: a, value: " + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "}\n"))
	require.True(t, findings.Failed())
}

func TestUnusedSegmentIsAWarning(t *testing.T) {
	content, findings := manifest.Parse(source("segments:\n  - {key: beta, include: [a]}\n"))
	require.Len(t, content.Segments, 1)
	require.Equal(t, "flags.yaml:2:1: warning segment.unused: segment beta: nothing in these files asks for this segment", findings.String())
	require.False(t, findings.Failed())
}

func TestFilesAreReadInOrder(t *testing.T) {
	tree := fstest.MapFS{"b.yml": {}, "a/x.yaml": {}, "c.json": {}, "readme.md": {}, ".git/d.yaml": {}, ".e.yaml": {}}
	sources, err := manifest.Files(tree, ".")
	require.NoError(t, err)
	var names []string
	for _, s := range sources {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"a/x.yaml", "b.yml", "c.json"}, names)
	_, err = manifest.Files(tree, ".git")
	require.NoError(t, err, "a folder that is named is read")
	one, err := manifest.Files(tree, "readme.md")
	require.NoError(t, err, "a file that is named is read whatever it is called")
	require.Len(t, one, 1)
	_, err = manifest.Files(fstest.MapFS{"x.md": {}}, ".")
	require.ErrorContains(t, err, "holds no")
	_, err = manifest.Files(tree, "nothing")
	require.Error(t, err)
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add("flags: [{key: a}]")
	f.Fuzz(func(t *testing.T, text string) {
		content, _ := manifest.Parse(source(text))
		first, err := manifest.Export(content)
		require.NoError(t, err)
		again, findings := manifest.Parse(manifest.Source{Name: "again", Data: first})
		require.False(t, findings.Failed(), "%s\n%s", findings, first)
		second, err := manifest.Export(again)
		require.NoError(t, err)
		require.Equal(t, string(first), string(second))
	})
}
