package cloudbees_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm/manifest"
	"github.com/hoistflags/hoist/fsm/manifest/cloudbees"
)

// tree is one line of trees.json.
type tree struct {
	Dir                           string
	Flags, TargetGroups           int
	ArchivedFlags                 int
	UnparsableFiles               int
	DuplicateNames                int
	FlagsDisabled                 int
	SplitValues, ScheduledValues  int
	UnknownTargetGroupsReferenced []string
	UnknownFlagsReferenced        []string
}

func trees(t testing.TB) []tree {
	t.Helper()
	var list []tree
	readJSON(t, shared(t, "trees.json"), &list)
	require.NotEmpty(t, list)
	return list
}

func importTree(t testing.TB, dir string) *cloudbees.Imported {
	t.Helper()
	imported, err := cloudbees.Import(os.DirFS(shared(t, dir)), cloudbees.Options{})
	require.NoError(t, err)
	return imported
}

// S2-01, S2-02
func TestRealTreesImportWithTheirCounts(t *testing.T) {
	for _, want := range trees(t) {
		t.Run(want.Dir, func(t *testing.T) {
			got := importTree(t, want.Dir)
			for _, f := range got.Findings {
				require.NotEqual(t, manifest.SeverityError, f.Severity, f.String())
			}
			s := got.Summary
			require.Equal(t, want.Flags, s.Flags, "flags")
			require.Equal(t, want.TargetGroups, s.Groups, "target groups")
			require.Equal(t, want.ArchivedFlags, s.Archived, "archived flags")
			require.Equal(t, want.UnparsableFiles, s.Unparsable, "files that do not parse")
			require.Equal(t, want.DuplicateNames, s.Duplicates, "repeated names")
			require.Equal(t, want.FlagsDisabled, s.Disabled, "disabled flags")
			require.Equal(t, want.SplitValues, s.Splits, "splits")
			require.Equal(t, want.ScheduledValues, s.Schedules, "schedules")
			require.Equal(t, want.UnknownTargetGroupsReferenced, s.UnknownGroups)
			require.Equal(t, want.UnknownFlagsReferenced, s.UnknownFlags)
			require.Len(t, got.Content.Flags, want.Flags+want.ArchivedFlags)
			require.Len(t, got.Content.Segments, want.TargetGroups)
		})
	}
}
