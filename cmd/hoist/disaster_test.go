package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABackupOfAFollowerIsRestoredThroughAnyNode(t *testing.T) {
	children := three(t)
	does(t, "flag", "create", "kept", "--wait")
	path := filepath.Join(t.TempDir(), "backup.bin")
	require.Contains(t, does(t, "cluster", "backup", path, "--addr", children[2].http), "sha256")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077, "it holds hashes of tokens")
	does(t, "flag", "create", "lost", "--wait")

	refuses(t, exitFailed, "nothing was changed", "cluster", "restore", path)
	does(t, "flag", "get", "lost")
	require.Contains(t, does(t, "cluster", "restore", path, "--yes", "--addr", children[1].http), "verified on node-")
	for _, c := range children {
		does(t, "flag", "get", "kept", "--addr", c.http)
		refuses(t, exitNotFound, "lost", "flag", "get", "lost", "--addr", c.http)
	}
	does(t, "flag", "create", "after", "--wait")
	require.Contains(t, does(t, "doctor"), "3 voters: can lose 1 more node")

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)-1] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
	refuses(t, exitFailed, "SHA-256", "cluster", "restore", path, "--yes")
}

func TestOneSurvivorOfThreeIsRecovered(t *testing.T) {
	children := three(t)
	does(t, "flag", "create", "kept", "--wait")
	for _, c := range children {
		require.NoError(t, c.kill())
	}
	survivor := children[1]
	data := filepath.Join(survivor.dir, "data")
	require.Contains(t, does(t, "doctor", "--data-dir", data), "every entry reads")
	require.Contains(t, does(t, "cluster", "recover", "--data-dir", data), "LAST TERM")
	refuses(t, exitFailed, "nothing was changed", "cluster", "recover", "--data-dir", data, "--force-new-cluster")
	require.Contains(t, does(t, "cluster", "recover", "--data-dir", data, "--force-new-cluster", "--yes"), "is the only voter")
	require.NoError(t, survivor.start(nil))
	does(t, "health", "--addr", survivor.http, "--current", "--wait", "--timeout", "20s")
	does(t, "flag", "get", "kept", "--addr", survivor.http)
	does(t, "flag", "create", "after", "--addr", survivor.http)
	require.Contains(t, does(t, "cluster", "status", "--addr", survivor.http), "a single voter")
}

func TestDoctorNamesTheFix(t *testing.T) {
	children := three(t)
	require.NoError(t, children[2].kill())
	require.Eventually(t, func() bool {
		got := hoist(t, "doctor", "-o", "json")
		var report struct {
			Findings []struct{ Severity, What, Fix string }
		}
		if json.Unmarshal([]byte(got.stdout), &report) != nil {
			return false // the machine is busy and the node did not answer in time
		}
		for _, f := range report.Findings {
			if f.Severity == "problem" && f.Fix != "" && got.code == exitFailed {
				return true
			}
		}
		return false
	}, 20*time.Second, 100*time.Millisecond, "a dead member is a problem")
	data := filepath.Join(children[2].dir, "data")
	require.NoError(t, os.Truncate(filepath.Join(data, "raft.db"), 3*int64(os.Getpagesize())))
	got := refuses(t, exitFailed, "problems", "doctor", "--data-dir", data)
	require.Contains(t, got.stdout, "raft.db is corrupt")
	require.Contains(t, got.stdout, "fix: start the server")
	refuses(t, exitFailed, "no data directory", "doctor", "--data-dir", t.TempDir())
}
