package chaos_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is released has no defect that can be switched on: nothing of the package bug is in a binary without the tag.
func TestAReleasedBinaryHasNoTraceOfPlantedDefects(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program twice")
	}
	for tag, planted := range map[string]bool{"": false, "seededbugs": true} {
		binary := filepath.Join(t.TempDir(), "hoist")
		build := exec.Command("go", "build", "-tags", tag, "-o", binary, "../cmd/hoist")
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
		content, err := os.ReadFile(binary)
		require.NoError(t, err)
		require.Equal(t, planted, bytes.Contains(content, []byte("hoistflags/hoist/bug.On")), "built with tags %q", tag)
	}
}
