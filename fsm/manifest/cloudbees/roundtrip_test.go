package cloudbees_test

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

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
