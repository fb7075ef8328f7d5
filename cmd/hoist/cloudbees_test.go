package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const tree = "../../examples/cloudbees"

// copyTree is a copy of the example tree that a test may spoil.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(tree)))
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
}

func TestACloudBeesTreeServesAfterTwoCommands(t *testing.T) {
	dev(t)
	applied := does(t, "apply", "-f", tree, "--format", "cloudbees")
	require.Contains(t, applied, "+ segment Beta-testers")
	require.Contains(t, applied, "+ schedule summer: true 10% from 2026-06-01T06:00:00.000Z")
	require.Contains(t, does(t, "eval", "new-checkout", "-c", "targetingKey=user-7", "-c", "rox.app_release=2.1.0"), "TARGETING_MATCH")
	require.Contains(t, does(t, "eval", "summer", "-c", "targetingKey=user-7"), "true")

	require.Empty(t, does(t, "diff", "-f", tree, "--format", "cloudbees", "--prune"))
	dir := t.TempDir()
	does(t, "export", "-f", dir, "--format", "cloudbees")
	require.Empty(t, does(t, "diff", "-f", dir, "--format", "cloudbees", "--prune"), "export then apply is a no-op")
	require.Empty(t, does(t, "diff", "-f", file(t, "native.yaml", does(t, "export")), "--prune"))
}

func TestAnExportStaysInTheFilesThatAreThere(t *testing.T) {
	dev(t)
	dir := copyTree(t)
	does(t, "apply", "-f", dir, "--format", "cloudbees")
	does(t, "flag", "disable", "new-checkout")
	does(t, "flag", "archive", "old-search", "--undo")
	does(t, "flag", "delete", "summer")
	require.Contains(t, does(t, "export", "-f", dir, "--format", "cloudbees", "--prune"), "4 file(s) written, 2 deleted")
	text, err := os.ReadFile(filepath.Join(dir, "experiments", "new-checkout.yml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "enabled: false")
	for _, gone := range []string{"experiments/summer.yml", "experiments/archived/old-search.yml"} {
		require.NoFileExists(t, filepath.Join(dir, gone))
	}
	require.Empty(t, does(t, "diff", "-f", dir, "--format", "cloudbees", "--prune"))
}

// S2-18
func TestFilesWithErrorsStopAnApply(t *testing.T) {
	dev(t)
	dir := copyTree(t)
	write(t, dir, "experiments/bad.yml", "type: experiment\nflag: bad\nconditions:\n  - gruop: {name: QA}\n    value: true\n")
	got := refuses(t, exitFailed, "nothing was applied", "apply", "-f", dir, "--format", "cloudbees")
	require.Contains(t, got.stderr, `bad.yml:4:5: error key-unknown: conditions[0].gruop: "gruop" is not a key of this place (did you mean group?)`)
	require.Empty(t, does(t, "flag", "list", "-o", "name"))
	got = hoist(t, "apply", "-f", dir, "--format", "cloudbees", "--skip-invalid")
	require.Zero(t, got.code, got.stderr)
	require.Contains(t, got.stderr, "skipped 1: "+filepath.Join(dir, "experiments/bad.yml"))
	require.Contains(t, does(t, "flag", "list", "-o", "name"), "flag/new-checkout")

	var report struct {
		Errors   int
		Findings []struct {
			File, Path, Rule, Severity string
			Line                       int
		}
	}
	got = hoist(t, "validate", "-f", dir, "--format", "cloudbees", "-o", "json")
	require.Equal(t, exitFailed, got.code)
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &report))
	require.Equal(t, 1, report.Errors)
	require.Equal(t, "key-unknown", report.Findings[0].Rule)
	require.Equal(t, 4, report.Findings[0].Line)
}

func TestOneFileMayNameWhatTheEnvironmentHolds(t *testing.T) {
	dev(t)
	does(t, "apply", "-f", tree, "--format", "cloudbees")
	path := filepath.Join(copyTree(t), "experiments", "button.yml")
	require.Empty(t, does(t, "diff", "-f", path, "--format", "cloudbees"))
	require.Contains(t, does(t, "validate", "-f", path, "--format", "cloudbees"), "all valid")
}

func TestFoldersAndFilesThatCannotBeMeant(t *testing.T) {
	alone(t)
	validate := func(words, path string) {
		t.Helper()
		got := hoist(t, "validate", "-f", path, "--format", "cloudbees")
		require.Equal(t, exitFailed, got.code)
		require.Contains(t, got.stdout+got.stderr, words)
	}
	validate("error tree: ", t.TempDir())
	validate("no such file", filepath.Join(t.TempDir(), "none"))
	dir := copyTree(t)
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "experiments", "link.yml")))
	validate("link.yml: error file: ", dir)
	dir = copyTree(t)
	big, err := os.Create(filepath.Join(dir, "experiments", "big.yml"))
	require.NoError(t, err)
	require.NoError(t, big.Truncate(100<<20))
	require.NoError(t, big.Close())
	validate("big.yml: error size: ", dir)
	refuses(t, exitUsage, "--format xml is not known", "validate", "-f", dir, "--format", "xml")
	refuses(t, exitUsage, "is no pair", "validate", "-f", dir, "--format", "cloudbees", "--attribute", "x")

	dir = t.TempDir()
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link.yaml")))
	got := hoist(t, "validate", "-f", dir)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "link.yaml")
}

func TestWhatTheFormCannotSayIsAnError(t *testing.T) {
	dev(t, shop)
	dir := t.TempDir()
	got := refuses(t, exitFailed, "nothing was written", "export", "-f", dir, "--format", "cloudbees")
	require.Contains(t, got.stderr, "error not-expressible: /off")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	refuses(t, exitUsage, "--file", "export", "--format", "cloudbees")
}

func TestAWholeDiffHoldsTheDefinitions(t *testing.T) {
	dev(t)
	does(t, "apply", "-f", tree, "--format", "cloudbees")
	does(t, "flag", "disable", "new-checkout")
	got := refuses(t, exitDifferent, "1 difference(s)", "diff", "-f", tree, "--format", "cloudbees")
	require.Equal(t, "~ flag new-checkout: enabled false → true\n", got.stdout)
	got = refuses(t, exitDifferent, "1 difference(s)", "diff", "-f", tree, "--format", "cloudbees", "-o", "json")
	var report struct {
		Changes []struct {
			Key           string
			Before, After struct{ Enabled bool }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &report))
	require.False(t, report.Changes[0].Before.Enabled)
	require.True(t, report.Changes[0].After.Enabled)
}
