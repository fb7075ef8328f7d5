package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport"
	"github.com/hoistflags/hoist/transport/client"
)

// runEdge runs `hoist edge` in this process until stop is called.
func runEdge(t *testing.T, args ...string) (url string, stderr *synced, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	stderr = &synced{}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"edge", "--http", "127.0.0.1:0"}, args...), stdout, stderr)
		_ = stdout.Close() // a pipe's Close cannot fail
	}()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "hoist edge printed no address: %s", stderr)
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.Zero(t, <-done, "hoist edge: %s", stderr)
		}
	}
	t.Cleanup(stop)
	return lines.Text(), stderr, stop
}

// eventually asks again until the condition holds: the edge is another party, and nobody tells the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 20*time.Second, 20*time.Millisecond, what)
}

func TestEdgeFollowsChainsAndStartsAlone(t *testing.T) {
	upstream := dev(t)
	does(t, "flag", "create", "checkout", "--enabled")
	data := t.TempDir()
	edge, _, stopEdge := runEdge(t, "--upstream", upstream, "--data-dir", data)
	last, _, stopLast := runEdge(t, "--upstream", edge, "--data-dir", t.TempDir())

	serves := func(url, variant string) func() bool {
		return func() bool {
			got := hoist(t, "eval", "checkout", "--addr", url, "-o", "json")
			return got.code == 0 && bytes.Contains([]byte(got.stdout), []byte(variant))
		}
	}
	eventually(t, "the second edge has the flag", serves(last, `"STATIC"`))
	does(t, "flag", "disable", "checkout")
	eventually(t, "a change reaches it", serves(last, `"DISABLED"`))
	refuses(t, exitFailed, "this is an edge", "flag", "enable", "checkout", "--addr", edge)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sdk, err := client.Open(ctx, client.Config{Addr: last, Token: os.Getenv("TEST_SERVER_TOKEN")})
	require.NoError(t, err)
	require.True(t, sdk.Status().Connected)
	require.NoError(t, sdk.Close())
	stopLast()
	stopEdge()

	names, err := filepath.Glob(filepath.Join(data, "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(data, "default.dev.flags"), filepath.Join(data, "default.tokens")}, names)
	alone, stderr, stopAlone := runEdge(t, "--upstream", "127.0.0.1:1", "--data-dir", data)
	require.True(t, serves(alone, `"DISABLED"`)(), "it starts without its upstream")
	require.Contains(t, stderr.String(), "serving from the cache file")
	stopAlone()

	kept, err := os.ReadFile(names[0])
	require.NoError(t, err)
	kept[len(kept)/2] ^= 1
	require.NoError(t, os.WriteFile(names[0], kept, 0o600))
	again, stderr, _ := runEdge(t, "--upstream", "127.0.0.1:1,"+upstream, "--data-dir", data)
	require.Contains(t, stderr.String(), "damaged")
	eventually(t, "it finds the upstream that is there", serves(again, `"DISABLED"`))
}

func TestEdgeRefusesWhatIsUnsafe(t *testing.T) {
	alone(t)
	refuses(t, exitUsage, "--upstream is missing", "edge")
	data := t.TempDir()
	refuses(t, exitFailed, "--insecure-no-auth", "edge", "--upstream", "127.0.0.1:1", "--http", "0.0.0.0:0", "--insecure-no-auth", "--data-dir", data)
	refuses(t, exitFailed, "in the clear", "edge", "--upstream", "http://10.0.0.1:7700", "--token", "secret", "--data-dir", data)
	refuses(t, exitFailed, "upstream", "edge", "--upstream", "ftp://x", "--http", "127.0.0.1:0", "--data-dir", data)
}

func TestBenchFanoutReachesEverySubscriber(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server process")
	}
	alone(t)
	t.Setenv("BE_HOIST", "1")
	var answer struct{ Results []fanned }
	require.NoError(t, json.Unmarshal([]byte(does(t, "bench", "fanout", "--subscribers", "1,50", "--rounds", "3", "--flags", "5", "-o", "json")), &answer))
	require.Len(t, answer.Results, 2)
	require.Equal(t, 50, answer.Results[1].Subscribers)
	require.Positive(t, answer.Results[1].LastP99)
	refuses(t, exitUsage, "must grow", "bench", "fanout", "--subscribers", "5,1")
}

func TestBenchReconnectBringsEverybodyBack(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server process twice")
	}
	alone(t)
	t.Setenv("BE_HOIST", "1")
	for _, how := range []string{"--kill=false", "--kill"} {
		var answer struct{ Results []reconnected }
		require.NoError(t, json.Unmarshal([]byte(does(t, "bench", "reconnect", "--subscribers", "50", "--flags", "5", "--rounds", "1", "-o", "json", how)), &answer))
		require.Len(t, answer.Results, 1)
		require.Equal(t, 50, answer.Results[0].Subscribers)
		require.Positive(t, answer.Results[0].Down)
		require.Zero(t, answer.Results[0].Snapshots, "all of them had a position")
	}
	refuses(t, exitUsage, "at least 1", "bench", "reconnect", "--subscribers", "0")
}

// An edge that is stopped before it ever had anything does not wait for it.
func TestSettlingEndsWithTheEdge(t *testing.T) {
	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://127.0.0.1:1"}, Environment: "dev"})
	require.NoError(t, err)
	followed := []transport.Followed{{Environment: "dev", Replica: replica}}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	settle(ctx, followed)
	require.Empty(t, replica.Position().Epoch, "there was nothing to give back")
	require.NoError(t, leave(followed))
}
