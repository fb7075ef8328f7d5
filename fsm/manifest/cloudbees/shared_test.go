package cloudbees_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared is a path below the folder of real trees; the test is skipped where that folder does not exist. HOIST_SHARED
// names the shared folder; by default it lies beside the module.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	root := os.Getenv("HOIST_SHARED")
	if root == "" {
		dir, err := os.Getwd()
		require.NoError(t, err)
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			require.NotEqual(t, dir, filepath.Dir(dir), "no module root above the test")
			dir = filepath.Dir(dir)
		}
		root = filepath.Join(dir, "..", "shared")
	}
	path := filepath.Join(append([]string{root, "data", "cloudbees"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real trees are not here (%s); HOIST_SHARED names their folder", path)
	}
	return path
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, into))
}
