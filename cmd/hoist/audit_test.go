package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// S0-21, S1-14
func TestTheChangeLogIsListedExportedAndVerified(t *testing.T) {
	data := t.TempDir()
	dev(t, "--data-dir", data)
	does(t, "flag", "create", "checkout")
	does(t, "flag", "enable", "checkout", "--comment", "launch day")
	does(t, "flag", "create", "search")
	does(t, "flag", "kill", "checkout", "--reason", "errors")

	listed := does(t, "audit", "list", "--flag", "checkout")
	require.Less(t, strings.Index(listed, "flag.kill"), strings.Index(listed, "flag.enable"), "newest first")
	require.Contains(t, listed, "launch day")
	require.NotContains(t, listed, "search")
	require.NotContains(t, does(t, "audit", "list", "--verb", "flag.kill"), "flag.put")
	require.Contains(t, does(t, "audit", "list", "--key", "sea*"), "flag/search")
	require.NotContains(t, does(t, "audit", "list", "--until", "1h"), "flag/")
	refuses(t, exitUsage, "--since soon", "audit", "list", "--since", "soon")

	require.Contains(t, does(t, "audit", "verify"), "follow each other")
	exported := does(t, "audit", "export")
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(exported), 0o600))
	require.Contains(t, does(t, "audit", "verify", "--file", path), "follow each other")

	lines := strings.SplitAfter(exported, "\n")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(append(append([]string{}, lines[:2]...), lines[3:]...), "")), 0o600))
	got := refuses(t, exitFailed, "not sound", "audit", "verify", "--file", path)
	require.Contains(t, got.stdout, "row 4 in "+path)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(exported, "launch day", "launch dog", 1)), 0o600))
	refuses(t, exitFailed, "not sound", "audit", "verify", "--file", path)
}

func TestFilesOfANodeAreVerifiedWithoutItsServer(t *testing.T) {
	data := t.TempDir()
	t.Run("server", func(t *testing.T) {
		dev(t, "--data-dir", data)
		does(t, "flag", "create", "checkout")
		does(t, "flag", "enable", "checkout", "--comment", "launch day")
	})
	require.Contains(t, does(t, "audit", "verify", "--dir", data), "follow each other")
	files, err := filepath.Glob(filepath.Join(data, "audit", "*.rows"))
	require.NoError(t, err)
	rows, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], bytes.Replace(rows, []byte("launch day"), []byte("launch dog"), 1), 0o600))
	got := refuses(t, exitFailed, "not sound", "audit", "verify", "--dir", data)
	require.Contains(t, got.stdout, files[0])
}

// S1-15
func TestTwoVersionsOfAFlagAreCompared(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "timeout", "--kind", "config", "--type", "string", "--value", "10s")
	does(t, "flag", "set", "timeout", "--value", "60s")
	require.Contains(t, does(t, "flag", "history", "timeout", "--diff"), `"10s" → "60s"`)
	refuses(t, exitNotFound, "no version of revision 1", "flag", "history", "timeout", "--diff", "1", "2")
	refuses(t, exitUsage, "--diff, both", "flag", "history", "timeout", "1")
}

// S1-16
func TestSchedulesOnTheCommandLine(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "checkout")
	made := does(t, "flag", "schedule", "create", "checkout", "--enable", "--at", "2190-12-24T18:00", "--timezone", "Europe/Berlin", "--name", "launch")
	require.Contains(t, made, "due 2190-12-24T17:00:00Z")
	id := strings.Fields(made)[1]
	require.Contains(t, does(t, "flag", "schedule", "list"), "waiting")
	does(t, "flag", "schedule", "pause", id)
	require.Contains(t, does(t, "flag", "schedule", "get", id), "paused")
	does(t, "flag", "schedule", "resume", id)
	does(t, "flag", "enable", "checkout")
	does(t, "flag", "kill", "checkout")
	require.Contains(t, does(t, "flag", "schedule", "list", "--status", "suspended"), id)
	does(t, "flag", "schedule", "delete", id)
	require.NotContains(t, does(t, "flag", "schedule", "list"), id)
	does(t, "flag", "schedule", "create", "checkout", "--percentage", "12.5%", "--cron", "0 9 * * 1-5", "--timezone", "America/New_York")
	refuses(t, exitUsage, "what happens", "flag", "schedule", "create", "checkout", "--at", "2190-12-24T18:00:00Z")
	refuses(t, exitUsage, "does not say where", "flag", "schedule", "create", "checkout", "--enable", "--at", "2190-12-24T18:00")
	refuses(t, exitFailed, "five", "flag", "schedule", "create", "checkout", "--enable", "--cron", "soon")
	refuses(t, exitFailed, "past", "flag", "schedule", "create", "checkout", "--enable", "--at", "2001-01-01T00:00:00Z")
}
