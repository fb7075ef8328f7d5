package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be hoist: demo and bench start themselves as children.
func TestMain(m *testing.M) {
	if os.Getenv("BE_HOIST") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// said is what one command did.
type said struct {
	code           int
	stdout, stderr string
}

// hoist runs one command line in this process.
func hoist(t *testing.T, args ...string) said {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, &stdout, &stderr)
	return said{code, stdout.String(), stderr.String()}
}

// does runs a command that must succeed and returns what it printed.
func does(t *testing.T, args ...string) string {
	t.Helper()
	got := hoist(t, args...)
	require.Zero(t, got.code, "hoist %s: %s", strings.Join(args, " "), got.stderr)
	return got.stdout
}

// refuses runs a command that must fail with this exit code and these words.
func refuses(t *testing.T, code int, words string, args ...string) said {
	t.Helper()
	got := hoist(t, args...)
	require.Equal(t, code, got.code, "hoist %s: %s", strings.Join(args, " "), got.stderr)
	require.Contains(t, got.stderr, words)
	return got
}

// alone keeps the machine's own settings out of a test.
func alone(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, name := range []string{"HOIST_ADDR", "HOIST_ENV", "HOIST_TENANT", "HOIST_TOKEN"} {
		t.Setenv(name, "")
	}
}

// dev runs `hoist dev` in this process until the test ends; every later command of the test talks to it.
func dev(t *testing.T, args ...string) (url string) {
	t.Helper()
	alone(t)
	ctx, stop := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	var stderr synced
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"dev", "--http", "127.0.0.1:0"}, args...), stdout, &stderr)
		_ = stdout.Close() // a pipe's Close cannot fail
	}()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "hoist dev printed no address: %s", &stderr)
	t.Cleanup(func() {
		stop()
		require.Zero(t, <-done, "hoist dev: %s", &stderr)
	})
	url = lines.Text()
	t.Setenv("HOIST_ADDR", url)
	if !slices.Contains(args, "--insecure-no-auth") {
		for _, name := range []string{"HOIST_TOKEN", "TEST_SERVER_TOKEN", "TEST_CLIENT_TOKEN"} {
			require.True(t, lines.Scan(), "hoist dev printed no token: %s", &stderr)
			t.Setenv(name, lines.Text())
		}
	}
	return url
}

// synced is a buffer that one goroutine may read while another writes.
type synced struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer.String()
}

// file writes text into a fresh file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
