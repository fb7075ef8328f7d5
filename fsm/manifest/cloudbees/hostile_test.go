package cloudbees_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm/manifest"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

// hostileCase is one entry of hostile/index.json.
type hostileCase struct {
	File, Tree, Note string
	Findings         []struct {
		Kind, Severity, Path string
		Line, LineFrom       int
	}
}

// rules maps the names of the index to ours.
var rules = map[string]string{
	"available-values-empty": "available-empty", "condition-always-true": "condition-always", "condition-empty": "condition-empty",
	"conditions-not-a-list": "shape", "date-invalid": "schedule-date", "dependency-cycle": "dependency-cycle",
	"dependency-flag-missing": "key-missing", "dependency-flag-unknown": "dependency-unknown", "file-empty": "yaml",
	"flag-missing": "key-missing", "flag-repeated": "duplicate", "group-name-missing": "key-missing", "not-a-mapping": "yaml",
	"not-utf-8": "yaml", "operand-missing": "operand-missing", "operand-not-a-number": "operand-type", "operator-unknown": "operator",
	"option-repeated": "option-repeated", "percentage-not-a-number": "percentage", "percentage-out-of-range": "percentage",
	"percentage-sum-above-100": "split-sum", "percentage-sum-below-100": "split-sum", "platform-name-missing": "platform-name",
	"property-missing": "key-missing", "regex-invalid": "regex", "schedule-mixed-with-split": "schedule-mixed",
	"schedule-not-rising": "schedule-order", "split-option-missing": "option-missing", "target-group-unknown": "group-unknown",
	"target-group-without-conditions": "group-empty", "type-does-not-fit-folder": "type", "type-unknown": "type",
	"unknown-key": "key-unknown", "value-empty-list": "value-empty", "value-not-available": "value-unlisted",
	"version-invalid": "semver-operand", "version-missing": "semver-operand", "wrong-type": "shape", "yaml-duplicate-key": "yaml",
	"yaml-more-than-one-document": "yaml", "yaml-syntax": "yaml", "yaml-tag-unknown": "yaml", "yaml-too-deep": "yaml", "yaml-too-large": "size",
}

func hostileCases(t testing.TB) []hostileCase {
	t.Helper()
	var index struct{ Cases []hostileCase }
	readJSON(t, shared(t, "hostile", "index.json"), &index)
	require.NotEmpty(t, index.Cases)
	return index.Cases
}

// read imports the case, alone or as a tree.
func (c hostileCase) read(t testing.TB) *cloudbees.Imported {
	t.Helper()
	if c.Tree != "" {
		return importTree(t, filepath.Join("hostile", c.Tree))
	}
	data, err := os.ReadFile(shared(t, "hostile", c.File))
	require.NoError(t, err)
	return cloudbees.ImportFile(inTree(c.File), data, cloudbees.Options{})
}

// inTree is the path of a hostile file as it would be in a tree.
func inTree(file string) string {
	_, name, _ := strings.Cut(file, "/")
	return name
}

// S2-18
func TestHostileFilesGiveTheExpectedFindings(t *testing.T) {
	for _, c := range hostileCases(t) {
		t.Run(c.File+c.Tree, func(t *testing.T) {
			started := time.Now()
			got := c.read(t)
			require.Less(t, time.Since(started), time.Second)
			var want, have []string
			for _, f := range c.Findings {
				require.Contains(t, rules, f.Kind)
				want = append(want, f.Severity+" "+rules[f.Kind]+" "+f.Path)
			}
			for _, f := range got.Findings {
				if f.Severity != manifest.SeverityInfo {
					have = append(have, string(f.Severity)+" "+f.Rule+" "+f.Path)
				}
			}
			slices.Sort(want)
			slices.Sort(have)
			require.Equal(t, want, have, "%v", got.Findings)
			for i, f := range c.Findings {
				if f.Line == 0 {
					continue
				}
				from := f.LineFrom
				if from == 0 {
					from = f.Line - 1
				}
				require.GreaterOrEqual(t, got.Findings[i].Line, from)
				require.LessOrEqual(t, got.Findings[i].Line, max(f.Line, from+2))
			}
		})
	}
}

// S2-18
func TestGoodFileBesideABadOneIsImported(t *testing.T) {
	for _, c := range hostileCases(t) {
		if c.File == "" || !slices.ContainsFunc(c.Findings, func(f struct {
			Kind, Severity, Path string
			Line, LineFrom       int
		}) bool {
			return f.Severity == "error"
		}) {
			continue
		}
		data, err := os.ReadFile(shared(t, "hostile", c.File))
		require.NoError(t, err)
		got, err := cloudbees.Import(fstest.MapFS{
			inTree(c.File):          {Data: data},
			"experiments/zgood.yml": {Data: []byte("type: experiment\nflag: zgood\nvalue: true\n")},
		}, cloudbees.Options{})
		require.NoError(t, err)
		require.Len(t, got.Content.Flags, 1, c.File)
		require.Equal(t, "zgood", got.Content.Flags[0].Key)
		require.Empty(t, got.Content.Segments, c.File)
		require.Equal(t, []string{inTree(c.File)}, got.Skipped)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add("experiments/a.yml", []byte("type: experiment\nflag: a\nvalue:\n  - option: true\n    percentage: 10\n"))
	f.Add("target_groups/a.yml", []byte("type: target-group\nname: a\nconditions:\n  - {property: p, operator: in-array, operand: [x]}\n"))
	if root := os.Getenv("HOIST_SHARED"); root != "" {
		for _, c := range hostileCases(f) {
			if data, err := os.ReadFile(shared(f, "hostile", c.File)); c.File != "" && err == nil {
				f.Add(inTree(c.File), data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		got := cloudbees.ImportFile(name, data, cloudbees.Options{})
		again := cloudbees.ImportFile(name, data, cloudbees.Options{})
		require.Equal(t, got.Findings, again.Findings)
		exported := cloudbees.Export(got.Content, cloudbees.Options{})
		for _, finding := range exported.Findings {
			require.Equal(t, "not-expressible", finding.Rule)
		}
	})
}
