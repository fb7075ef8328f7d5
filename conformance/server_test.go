package conformance

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// suite returns the path of a file of the OpenFeature suite, and skips the test where the data is absent.
func suite(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "shared", "data", "conformance", "openfeature", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the OpenFeature conformance data is not here: %v", err)
	}
	return path
}

// binary builds hoist once for all tests of the process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hoist-conformance-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hoist")
	build := exec.Command("go", "build", "-o", path, "./cmd/hoist")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", &buildError{string(out)}
	}
	return path, nil
})

type buildError struct{ output string }

func (e *buildError) Error() string { return "hoist does not build:\n" + e.output }

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // a temporary folder that stays harms nobody
	}
	os.Exit(code)
}

// server is a running `hoist dev`.
type server struct {
	url                    string
	pid                    int
	admin, backend, client string // its tokens
}

// start runs `hoist dev` with the flags of a manifest file until the test ends.
func start(t *testing.T, manifest string) server {
	t.Helper()
	running, _ := startUntil(t, manifest)
	return running
}

// startUntil runs `hoist dev` until stop is called, or the test ends.
func startUntil(t *testing.T, manifest string, options ...string) (running server, stop func()) {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	process := exec.Command(path, append(append([]string{"dev", "--http", "127.0.0.1:0", "--stop-with-stdin"}, options...), manifest)...)
	stdin, err := process.StdinPipe()
	require.NoError(t, err)
	stdout, err := process.StdoutPipe()
	require.NoError(t, err)
	var stderr strings.Builder
	process.Stderr = &stderr
	require.NoError(t, process.Start())
	var once sync.Once
	stop = func() {
		once.Do(func() {
			require.NoError(t, stdin.Close())
			_, err := io.Copy(io.Discard, stdout)
			require.NoError(t, err)
			require.NoError(t, process.Wait(), "hoist dev: %s", &stderr)
		})
	}
	t.Cleanup(stop)
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "hoist dev printed no address")
	running = server{url: lines.Text(), pid: process.Process.Pid}
	for _, token := range []*string{&running.admin, &running.backend, &running.client} {
		require.True(t, lines.Scan(), "hoist dev printed no token")
		*token = lines.Text()
	}
	return running, stop
}

// hoist runs a command against the server and returns what it printed.
func (s server) hoist(t *testing.T, args ...string) string {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	command := exec.Command(path, append(args, "--addr", s.url)...)
	command.Env = append(os.Environ(), "HOIST_TOKEN="+s.admin)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, "hoist %s: %s", strings.Join(args, " "), &stderr)
	return strings.TrimSpace(string(out))
}
