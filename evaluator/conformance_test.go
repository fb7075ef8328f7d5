package evaluator_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// sharedData finds a folder of the shared data beside the project, or skips the test.
func sharedData(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "no go.mod above the test")
		dir = parent
	}
	found := filepath.Join(dir, "..", "shared", "data", path)
	if _, err := os.Stat(found); err != nil {
		t.Skipf("%s is not there", found)
	}
	return found
}

// exclusion is a reason why cases are not run: those of a file whose name contains text. Of some the test still asks
// that the flag is refused when it is written.
type exclusion struct {
	file, text, reason string
	refused            bool
}

// tally counts cases, so that none can vanish silently: run and excluded ones must be all there are, and every
// exclusion must exclude something.
type tally struct {
	exclusions []exclusion
	used       map[int]int
	cases      map[string]int // by file
}

func newTally(exclusions []exclusion) *tally {
	return &tally{exclusions: exclusions, used: map[int]int{}, cases: map[string]int{}}
}

// excluded returns the exclusion of a case, nil when it is to be run. Every case is asked exactly once.
func (y *tally) excluded(file, name string) *exclusion {
	y.cases[file]++
	for i := range y.exclusions {
		if e := &y.exclusions[i]; e.file == file && strings.Contains(name, e.text) {
			y.used[i]++
			return e
		}
	}
	return nil
}

func (y *tally) check(t *testing.T, want map[string]int) {
	t.Helper()
	require.Equal(t, want, y.cases, "cases run and excluded")
	total := 0
	for i, e := range y.exclusions {
		require.NotZero(t, y.used[i], "%s %q excludes nothing", e.file, e.text)
		require.NotEmpty(t, e.reason)
		total += y.used[i]
	}
	t.Logf("%d cases excluded by %d named reasons", total, len(y.exclusions))
}

// toJSON writes v, which is made of maps, slices and scalars.
func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// compileAll compiles definitions given as maps. What is refused is left out and named with its reason.
func compileAll(t testing.TB, flags, segments []map[string]any) (*evaluator.Snapshot, map[string]error) {
	t.Helper()
	refused := map[string]error{}
	changes := evaluator.Changes{Revision: 1}
	for _, definition := range flags {
		f, err := evaluator.DecodeFlag(toJSON(t, definition))
		require.NoError(t, err, "%s", toJSON(t, definition))
		c, err := evaluator.Compile(f)
		if err != nil {
			refused[f.Key] = err
			continue
		}
		changes.Flags = append(changes.Flags, c)
	}
	for _, definition := range segments {
		s, err := evaluator.DecodeSegment(toJSON(t, definition))
		require.NoError(t, err)
		c, err := evaluator.CompileSegment(s)
		if err != nil {
			refused["segment "+s.Key] = err
			continue
		}
		changes.Segments = append(changes.Segments, c)
	}
	return evaluator.EmptySnapshot("import").With(changes), refused
}
