package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// three starts three server processes and points the test's commands at the first one.
func three(t *testing.T) []*child {
	t.Helper()
	if testing.Short() {
		t.Skip("starts three processes")
	}
	alone(t)
	t.Setenv("BE_HOIST", "1")
	children, err := newChildren(t.TempDir(), demoNodes)
	require.NoError(t, err)
	for _, c := range children {
		c.guarded = true
		require.NoError(t, c.start(gossipOf(children)))
		t.Cleanup(func() { require.NoError(t, c.stop()) })
	}
	t.Setenv("HOIST_ADDR", children[0].http)
	does(t, "health", "--current", "--wait", "--timeout", "30s")
	made, err := enrollAll(t.Context(), children)
	require.NoError(t, err)
	t.Setenv("HOIST_TOKEN", made.Admin)
	require.NoError(t, awaitCurrent(t.Context(), children))
	return children
}

func TestThreeServersTakeWritesAnywhereAndLoseOne(t *testing.T) {
	children := three(t)
	require.Equal(t, "member/node-1\nmember/node-2\nmember/node-3\n", sortedLines(does(t, "cluster", "members", "-o", "name")))
	require.Contains(t, does(t, "cluster", "status"), "quorum     2 of 3 voters; can lose 1 more node")

	for _, c := range children {
		does(t, "flag", "create", "made-at-"+c.name, "--addr", c.http, "--wait")
		for _, other := range children { // --wait means: everywhere, without asking for a revision
			does(t, "flag", "get", "made-at-"+c.name, "--addr", other.http)
		}
	}

	does(t, "cluster", "transfer", "node-2")
	require.NoError(t, awaitCurrent(t.Context(), children))
	require.NoError(t, children[1].kill())
	does(t, "flag", "create", "made-without-leader")
	require.Contains(t, does(t, "eval", "made-without-leader", "--addr", children[2].http), "DISABLED")
	refuses(t, exitTimeout, "node-2", "flag", "create", "confirmed-by-two", "--wait", "--timeout", "2s")

	require.NoError(t, children[2].kill())
	// A leader that has not noticed yet would append the write, and could only say that it may still happen.
	require.Eventually(t, func() bool { return strings.Contains(does(t, "cluster", "status"), "none: writes wait") },
		10*time.Second, 50*time.Millisecond, "the survivor must notice that it is alone")
	refuses(t, exitUnavailable, "try:", "flag", "create", "no-quorum")
	require.Contains(t, does(t, "eval", "made-without-leader"), "DISABLED", "evaluations go on without a quorum")

	for _, c := range children[1:] {
		require.NoError(t, c.start(gossipOf(children)))
	}
	require.NoError(t, awaitCurrent(t.Context(), children))
	does(t, "flag", "get", "made-without-leader", "--addr", children[1].http)
}

func sortedLines(text string) string {
	lines := map[string]bool{}
	for line := range strings.Lines(text) {
		lines[line] = true
	}
	return strings.Join(sortedKeys(lines), "")
}
