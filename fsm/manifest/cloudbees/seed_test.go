package cloudbees_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

type expectation struct {
	Context   map[string]any
	Groups    []string
	Version   *string
	Platform  *string
	Value     *bool
	Member    *bool
	Share     map[string]float64
	Tolerance float64
	RaiseTo   int
}

// S2-03, S2-08, S2-10, S2-13: the examples of the form's own introduction
func TestSeedExamplesAnswerAsExpected(t *testing.T) {
	var expected struct {
		Examples []struct {
			Dir, Title string
			Expect     []expectation
		}
	}
	readJSON(t, shared(t, "seed-examples", "expected.json"), &expected)
	require.Len(t, expected.Examples, 6)
	for _, example := range expected.Examples {
		t.Run(example.Title, func(t *testing.T) {
			content := importWithGroups(t, filepath.Join("seed-examples", example.Dir)).Content
			for i, want := range example.Expect {
				env := environmentWith(t, content)
				switch {
				case want.Value != nil:
					got := evaluate(env.Snapshot(), content.Flags[0].Key, want)
					require.Equal(t, *want.Value, got.Value.AsBool(), "expectation %d", i)
				case want.Member != nil:
					content.Flags = []*evaluator.Flag{memberFlag(map[bool]string{true: "QA", false: "DJ"}[example.Dir == "05-group-by-user-id"])}
					got := evaluate(environmentWith(t, content).Snapshot(), "member", want)
					require.Equal(t, *want.Member, got.Value.AsBool(), "expectation %d", i)
				case want.Share != nil:
					require.InDelta(t, want.Share["true"], float64(len(served(env, content.Flags[0].Key)))/100_000, want.Tolerance)
				case want.RaiseTo > 0:
					before := served(env, content.Flags[0].Key)
					raised := *content.Flags[0]
					serve := *raised.Default
					split := *serve.Split
					split.Weights = []evaluator.Weight{{Variant: "true", Weight: want.RaiseTo * 1000}, {Variant: "false", Weight: 100_000 - want.RaiseTo*1000}}
					serve.Split, raised.Default = &split, &serve
					content.Flags[0] = &raised
					after := served(environmentWith(t, content), raised.Key)
					for key := range before {
						require.True(t, after[key], "%s fell out when the share was raised", key)
					}
				}
			}
		})
	}
}

// importWithGroups adds the groups that the examples only name: whoever has the attribute is in them.
func importWithGroups(t *testing.T, dir string) *cloudbees.Imported {
	t.Helper()
	tree := fstest.MapFS{
		"target_groups/q.yml": {Data: []byte("type: target-group\nname: QA\nconditions: [{property: in.QA, operator: is-true}]\n")},
		"target_groups/b.yml": {Data: []byte("type: target-group\nname: Beta Users\nconditions: [{property: in.Beta-Users, operator: is-true}]\n")},
	}
	root := os.DirFS(shared(t, dir))
	require.NoError(t, fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if filepath.Base(name) == "QA.yml" {
			delete(tree, "target_groups/q.yml")
		}
		data, err := fs.ReadFile(root, name)
		tree[name] = &fstest.MapFile{Data: data}
		return err
	}))
	imported, err := cloudbees.Import(tree, cloudbees.Options{})
	require.NoError(t, err)
	require.Zero(t, imported.Findings.Errors(), "%v", imported.Findings)
	return imported
}

func memberFlag(segment string) *evaluator.Flag {
	yes, no := evaluator.Bool(true), evaluator.Bool(false)
	return &evaluator.Flag{Key: "member", Type: evaluator.TypeBoolean, Enabled: true,
		Variants: []evaluator.Variant{{Key: "true", Value: &yes}, {Key: "false", Value: &no}},
		Rules: []evaluator.Rule{{ID: "c1", If: []evaluator.Clause{{Operator: evaluator.OpSegment, Values: []evaluator.Value{evaluator.String(segment)}}},
			Then: evaluator.Serve{Variant: "true"}}},
		Default: &evaluator.Serve{Variant: "false"}}
}

func evaluate(s *evaluator.Snapshot, flag string, want expectation) evaluator.Result {
	var attributes []evaluator.Attribute
	add := func(name string, v any) {
		switch v := v.(type) {
		case string:
			attributes = append(attributes, evaluator.Attribute{Name: name, Value: evaluator.String(v)})
		case float64:
			attributes = append(attributes, evaluator.Attribute{Name: name, Value: evaluator.Number(v)})
		case bool:
			attributes = append(attributes, evaluator.Attribute{Name: name, Value: evaluator.Bool(v)})
		}
	}
	for name, v := range want.Context {
		add(name, v)
	}
	for _, group := range want.Groups {
		add("in."+map[string]string{"QA": "QA", "Beta Users": "Beta-Users"}[group], true)
	}
	if want.Version != nil {
		add("rox.app_release", *want.Version)
	}
	if want.Platform != nil {
		add("rox.platform", *want.Platform)
	}
	return s.Evaluate(flag, evaluator.NewContext("u-1", attributes...))
}

// served is who of 100,000 people gets true.
func served(env *fsm.Environment, flag string) map[string]bool {
	out := map[string]bool{}
	for i := range 100_000 {
		key := fmt.Sprintf("user-%d", i)
		if env.Snapshot().Evaluate(flag, evaluator.NewContext(key)).Value.AsBool() {
			out[key] = true
		}
	}
	return out
}
