package cloudbees_test

import (
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

// largest is a tree of 2,002 flags with two property conditions each, the size of the largest real one.
func largest() fstest.MapFS {
	tree := fstest.MapFS{}
	for i := range 2002 {
		tree[fmt.Sprintf("experiments/flag-%04d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, `flag: flag-%04d
type: experiment
name: flag %d
availableValues: [a, b, c]
conditions:
  - property: {name: plan, operator: in-array, operand: [pro, team]}
    value: a
  - property: {name: country, operator: in-array, operand: [DE, FR, ES]}
    value: b
value: c
`, i, i)}
	}
	return tree
}

func BenchmarkImportLargestTree(b *testing.B) {
	for b.Loop() {
		imported, err := cloudbees.Import(largest(), cloudbees.Options{})
		require.NoError(b, err)
		require.Zero(b, imported.Findings.Errors())
		for _, f := range imported.Content.Flags {
			_, err := evaluator.Compile(f.Settle(nil))
			require.NoError(b, err)
		}
	}
}

func BenchmarkImportLargestRealTree(b *testing.B) {
	dir := shared(b, "ekeren-cac-check", "production")
	for b.Loop() {
		imported, err := cloudbees.Import(os.DirFS(dir), cloudbees.Options{})
		require.NoError(b, err)
		require.Len(b, imported.Content.Flags, 2002)
	}
}

func BenchmarkDiffOfLargestTree(b *testing.B) {
	imported, err := cloudbees.Import(largest(), cloudbees.Options{})
	require.NoError(b, err)
	env := environmentWith(b, imported.Content)
	changed := *imported.Content.Flags[7]
	changed.Enabled = false
	imported.Content.Flags[7] = &changed
	for b.Loop() {
		require.Len(b, fsm.Diff(scope, env, imported.Content, true), 1)
	}
}

func BenchmarkExportLargestTree(b *testing.B) {
	imported, err := cloudbees.Import(largest(), cloudbees.Options{})
	require.NoError(b, err)
	for b.Loop() {
		require.Empty(b, cloudbees.Export(imported.Content, cloudbees.Options{}).Findings)
	}
}

func BenchmarkEvaluateEveryFlagOfTheLargestTree(b *testing.B) {
	imported, err := cloudbees.Import(largest(), cloudbees.Options{})
	require.NoError(b, err)
	snapshot := environmentWith(b, imported.Content).Snapshot()
	ctx := evaluator.NewContext("user-1", evaluator.Attribute{Name: "country", Value: evaluator.String("ES")})
	for b.Loop() {
		for _, f := range snapshot.Flags() {
			snapshot.EvaluateCompiled(f, ctx)
		}
	}
}
