package chaos_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
)

// fromEnvironment reads a number that the Makefile hands on.
func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "%s must be a number", name)
	return n
}

// artefacts is where failed runs are stored.
func artefacts() string {
	return cmp.Or(os.Getenv("HOIST_SIM_ARTEFACTS"), filepath.Join("..", "chaos-artifacts"))
}

// Whatever breaks: the recorded history is lawful, and afterwards everything works.
func TestHistoriesAreLawfulWhateverBreaks(t *testing.T) {
	first, count := uint64(1), fromEnvironment(t, "HOIST_SIM_SEEDS", 2)
	if seed := fromEnvironment(t, "HOIST_SIM_SEED", 0); seed > 0 {
		first, count = seed, 1
	}
	rounds := int(fromEnvironment(t, "HOIST_SIM_ROUNDS", 6))
	var nemeses []string
	if names := os.Getenv("HOIST_SIM_NEMESIS"); names != "" {
		nemeses = strings.Split(names, "+")
		_, err := chaos.Find(nemeses)
		require.NoError(t, err)
	}
	for seed := first; seed < first+count; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			trial := chaos.Trial{Seed: seed, Rounds: rounds, On: 5 * time.Second, Off: 5 * time.Second, Nemesis: nemeses}
			var report *chaos.Report
			synctest.Test(t, func(t *testing.T) { report = trial.Run(t) })
			report.Judge()
			t.Log(report)
			if len(report.Violations) == 0 {
				return
			}
			dir := filepath.Join(artefacts(), strconv.FormatUint(seed, 10))
			require.NoError(t, report.Store(dir))
			for _, v := range report.Violations[:min(10, len(report.Violations))] {
				t.Error(v)
			}
			t.Errorf("everything about it is in %s, beginning with report.txt; repeat it with: %s", dir, trial.Command())
		})
	}
}
