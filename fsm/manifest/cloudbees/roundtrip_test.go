package cloudbees_test

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

func asTree(files map[string][]byte) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: data}
	}
	return out
}

func requireSameContent(t *testing.T, want, got fsm.Content) {
	t.Helper()
	require.Len(t, got.Flags, len(want.Flags))
	for i, f := range want.Flags {
		require.Equal(t, string(f.Canonical()), string(got.Flags[i].Canonical()))
	}
	require.Len(t, got.Segments, len(want.Segments))
	for i, s := range want.Segments {
		require.Equal(t, string(s.Canonical()), string(got.Segments[i].Canonical()))
	}
	require.Equal(t, want.Schedules, got.Schedules)
}

// S2-19
func TestRealTreesComeBackTheSame(t *testing.T) {
	for _, tree := range trees(t) {
		t.Run(tree.Dir, func(t *testing.T) {
			first := importTree(t, tree.Dir)
			exported := cloudbees.Export(first.Content, cloudbees.Options{})
			require.Empty(t, exported.Findings)
			require.Len(t, exported.Files, len(first.Content.Flags)+len(first.Content.Segments))

			second, err := cloudbees.Import(asTree(exported.Files), cloudbees.Options{})
			require.NoError(t, err)
			requireSameContent(t, first.Content, second.Content)

			again := cloudbees.Export(second.Content, cloudbees.Options{})
			require.Equal(t, slices.Sorted(maps.Keys(exported.Files)), slices.Sorted(maps.Keys(again.Files)))
			for name, data := range exported.Files {
				require.Equal(t, string(data), string(again.Files[name]))
			}
		})
	}
}

// S2-19: what an environment exports is what it holds, with the salts and ranges of its splits
func TestExportThenApplyIsANoOp(t *testing.T) {
	for _, tree := range trees(t) {
		t.Run(tree.Dir, func(t *testing.T) {
			env := environmentWith(t, importTree(t, tree.Dir).Content)
			exported := cloudbees.Export(env.Content(), cloudbees.Options{})
			require.Empty(t, exported.Findings)
			back, err := cloudbees.Import(asTree(exported.Files), cloudbees.Options{})
			require.NoError(t, err)
			require.Empty(t, fsm.Diff(scope, env, back.Content, true))
		})
	}
}

func TestWhatTheFormCannotSayIsNamed(t *testing.T) {
	const head = `{"key":"f","type":"boolean","enabled":true,"variants":[{"key":"true","value":true},{"key":"false","value":false}],`
	for field, definition := range map[string]string{
		"/kind":                     `{"key":"f","kind":"config","type":"string","value":"x"}`,
		"/off":                      head + `"off":"false","default":{"variant":"true"}}`,
		"/owner":                    head + `"owner":"team","default":{"variant":"true"}}`,
		"/rules/mine":               head + `"rules":[{"id":"mine","then":{"variant":"true"}}],"default":{"variant":"true"}}`,
		"/rules/c1/if/0/operator":   head + `"rules":[{"id":"c1","if":[{"attribute":"ip","operator":"cidr","values":["10.0.0.0/8"]}],"then":{"variant":"true"}}],"default":{"variant":"true"}}`,
		"/rules/c1/if/0/ignoreCase": head + `"rules":[{"id":"c1","if":[{"attribute":"a","operator":"in","values":["x"],"ignoreCase":true}],"then":{"variant":"true"}}],"default":{"variant":"true"}}`,
		"/rules/c1/if/0/attribute":  head + `"rules":[{"id":"c1","if":[{"attribute":"/a/b","operator":"in","values":["x"]}],"then":{"variant":"true"}}],"default":{"variant":"true"}}`,
		"/default/split":            head + `"rules":[{"id":"c1","then":{"split":{"salt":"a","weights":[{"variant":"true","weight":1000},{"variant":"false","weight":99000}]}}}],"default":{"split":{"salt":"b","weights":[{"variant":"true","weight":1000},{"variant":"false","weight":99000}]}}}`,
		"/rules/0":                  head + `"rules":[{"id":"c7","then":{"variant":"true"}}],"default":{"variant":"true"}}`,
	} {
		f, err := evaluator.DecodeFlag([]byte(definition))
		require.NoError(t, err)
		out := cloudbees.Export(fsm.Content{Flags: []*evaluator.Flag{f}}, cloudbees.Options{})
		require.Empty(t, out.Files, field)
		require.Len(t, out.Findings, 1, field)
		require.Equal(t, "not-expressible", out.Findings[0].Rule)
		require.Contains(t, out.Findings[0].Path, field)
	}
}
