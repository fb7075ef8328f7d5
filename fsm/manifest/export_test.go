package manifest_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestExportReadsWell(t *testing.T) {
	content, _ := manifest.Parse(source(example))
	got, err := manifest.Export(content)
	require.NoError(t, err)
	path := filepath.Join("testdata", "example.yaml")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// Text of every kind, also what YAML would take for something else, survives export and import to the byte.
func TestExportImportExportGivesTheSameBytes(t *testing.T) {
	nasty := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"on", "no", "null", "~", "1", "0x1f", "1e3", "2026-11-21", "a: b",
		" lead", "trail ", "- x", "#", "'", "\"", "multi\nline\n", "\ttab", "{}", "[]", "&a", "*a", "!x", "%", "@", "`", "é", "日本", "<<", "=", "|", ">"}))
	rapid.Check(t, func(rt *rapid.T) {
		value := evaluator.String(nasty.Draw(rt, "value"))
		object := evaluator.Object([]evaluator.Attribute{{Name: nasty.Draw(rt, "name"), Value: value},
			{Name: "number", Value: evaluator.Number(rapid.Float64Range(-1e300, 1e300).Draw(rt, "number"))},
			{Name: "list", Value: evaluator.List([]evaluator.Value{value, evaluator.Bool(true), {}})}})
		content := fsm.Content{Flags: []*evaluator.Flag{
			{Key: "text", Type: evaluator.TypeString, Kind: evaluator.KindConfig, Value: &value},
			{Key: "object", Type: evaluator.TypeObject, Kind: evaluator.KindConfig, Value: &object},
			{Key: "1", Type: evaluator.TypeBoolean, Kind: evaluator.KindConfig, Value: pointer(evaluator.Bool(true))},
		}, Segments: []*evaluator.Segment{{Key: "no", Include: []string{nasty.Draw(rt, "member") + "x"}}}}
		first, err := manifest.Export(content)
		require.NoError(rt, err)
		again, findings := manifest.Parse(manifest.Source{Name: "x", Data: first})
		if findings.Failed() {
			for _, f := range content.Flags {
				if len(f.Check()) > 0 {
					rt.Skip("the law refuses the value itself")
				}
			}
			if len(content.Segments[0].Check()) > 0 {
				rt.Skip("the law refuses the member itself")
			}
			rt.Fatalf("%s\n%s", findings, first)
		}
		second, err := manifest.Export(again)
		require.NoError(rt, err)
		require.Equal(rt, string(first), string(second))
		require.Equal(rt, string(byKey(again.Flags, "text").Canonical()), string(content.Flags[0].Canonical()))
	})
}

func pointer(v evaluator.Value) *evaluator.Value { return &v }

func byKey(list []*evaluator.Flag, key string) *evaluator.Flag {
	for _, f := range list {
		if f.Key == key {
			return f
		}
	}
	return nil
}

func split(on int) *evaluator.Flag {
	return &evaluator.Flag{Key: "checkout", Type: evaluator.TypeBoolean, Enabled: true,
		Variants: []evaluator.Variant{{Key: "on", Value: pointer(evaluator.Bool(true))}, {Key: "off", Value: pointer(evaluator.Bool(false))}, {Key: "third"}},
		Default: &evaluator.Serve{Split: &evaluator.Split{Weights: []evaluator.Weight{
			{Variant: "on", Weight: on}, {Variant: "off", Weight: 60_000 - on}, {Variant: "third", Weight: 40_000}}}}}
}

// A fresh layout is left open, so that people edit weights only; ranges with a past are kept.
func TestExportKeepsRangesThatCannotBeMadeAgain(t *testing.T) {
	fresh := split(20_000).Settle(nil)
	out, err := manifest.Export(fsm.Content{Flags: []*evaluator.Flag{fresh}})
	require.NoError(t, err)
	require.NotContains(t, string(out), "ranges")
	require.NotContains(t, string(out), "salt")

	moved := split(30_000).Settle(fresh)
	out, err = manifest.Export(fsm.Content{Flags: []*evaluator.Flag{moved}})
	require.NoError(t, err)
	require.Contains(t, string(out), "ranges")
	content, findings := manifest.Parse(source(string(out)))
	require.Empty(t, findings)
	require.Equal(t, moved.Default.Split.Ranges, content.Flags[0].Default.Split.Ranges)
}

func TestExportOfNothingIsAValidManifest(t *testing.T) {
	out, err := manifest.Export(fsm.Content{})
	require.NoError(t, err)
	content, findings := manifest.Parse(source(string(out)))
	require.Empty(t, findings)
	require.Empty(t, content)
}

func TestSchedulesAreReadAndWritten(t *testing.T) {
	text := `flags:
- key: a
  type: boolean
  variants:
  - {key: "true", value: true}
  - {key: "false", value: false}
  default: {variant: "false"}
schedules:
- flag: a
  variant: "true"
  base: "false"
  salt: a
  levels:
  - {at: "2026-12-01T00:00:00.000Z", weight: 10000}
  - {at: "2026-12-02T00:00:00.000Z", weight: 100000}
`
	content, findings := manifest.Parse(manifest.Source{Name: "flags.yaml", Data: []byte(text)})
	require.False(t, findings.Failed(), findings.String())
	require.True(t, content.StatesSchedules)
	require.Len(t, content.Schedules, 1)
	out, err := manifest.Export(content)
	require.NoError(t, err)
	again, findings := manifest.Parse(manifest.Source{Name: "flags.yaml", Data: out})
	require.False(t, findings.Failed(), findings.String())
	require.Equal(t, content.Schedules, again.Schedules)

	_, findings = manifest.Parse(manifest.Source{Name: "flags.yaml", Data: []byte(strings.Replace(text, "2026-12-02", "2026-11-02", 1))})
	require.True(t, findings.Failed())
	last := findings[len(findings)-1]
	require.Equal(t, "schedule.order", last.Rule)
	require.Equal(t, 15, last.Line)
}
