package conformance

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nodeClients is a running clients.mjs.
type nodeClients struct {
	t     *testing.T
	stdin io.WriteCloser
	lines chan nodeEvent
}

// nodeEvent is one line of what it prints.
type nodeEvent struct {
	Event   string
	Status  int
	Server  string
	Web     string
	Reason  string
	Variant string
	Flags   []string
}

// startNode installs the providers with npm and starts them against a server; it skips the test where either is missing.
func startNode(t *testing.T, s server) *nodeClients {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not here; the providers of npm are not tested")
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = "node"
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("npm could not install the providers: %s", out)
	}
	process := exec.Command("node", "clients.mjs", s.url, s.backend, s.client)
	process.Dir = "node"
	var stderr strings.Builder
	process.Stderr = &stderr
	stdin, err := process.StdinPipe()
	require.NoError(t, err)
	stdout, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	n := &nodeClients{t, stdin, make(chan nodeEvent, 256)}
	done := make(chan error, 1)
	go func() {
		defer close(n.lines)
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			var e nodeEvent
			if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
				done <- err
				return
			}
			n.lines <- e
		}
		done <- process.Wait()
	}()
	t.Cleanup(func() {
		n.send("end")
		select {
		case err := <-done:
			require.NoError(t, err, stderr.String())
		case <-time.After(10 * time.Second):
			require.NoError(t, process.Process.Kill())
			require.Fail(t, "the providers did not stop", stderr.String())
		}
	})
	return n
}

func (n *nodeClients) send(command string) {
	n.t.Helper()
	_, err := io.WriteString(n.stdin, command+"\n")
	require.NoError(n.t, err)
}

// until returns the first event that is the one looked for.
func (n *nodeClients) until(what string, is func(nodeEvent) bool) nodeEvent {
	n.t.Helper()
	patience := time.After(60 * time.Second)
	for {
		select {
		case e, ok := <-n.lines:
			require.True(n.t, ok, "the providers ended before: %s", what)
			if is(e) {
				return e
			}
		case <-patience:
			require.Fail(n.t, "waited too long", what)
		}
	}
}

// The server and the web provider of npm see a change live, confirm with a 304 what has not changed, find back to a server
// that was restarted, and are refused when their tokens are revoked.
func TestProvidersOfNPMFollowALiveServer(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "flags.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte(checkout), 0o600))
	data := t.TempDir()
	running, stop := startUntil(t, manifest, "--data-dir", data)
	node := startNode(t, running)
	both := func(value string) func(nodeEvent) bool {
		return func(e nodeEvent) bool { return e.Server == value && e.Web == value }
	}
	ready := node.until("both providers answer", both("express"))
	require.Equal(t, "express", ready.Variant)
	require.Equal(t, "STATIC", ready.Reason)

	running.hoist(t, "flag", "kill", "checkout", "--reason", "payment errors")
	changed := node.until("the change arrives by the event stream", func(e nodeEvent) bool { return e.Event == "changed" })
	require.Equal(t, []string{"checkout"}, changed.Flags)
	require.Equal(t, "classic", changed.Web)
	require.Equal(t, "classic", changed.Server)

	node.send("again")
	node.until("nothing has changed", func(e nodeEvent) bool { return e.Status == 304 })

	stop()
	node.until("the stream is gone", func(e nodeEvent) bool { return e.Event == "stale" })
	node.send("ask")
	node.until("the web provider serves what it knows", func(e nodeEvent) bool { return e.Event == "asked" && e.Web == "classic" && e.Server == "in-code" })

	again, _ := startUntil(t, manifest, "--data-dir", data, "--http", strings.TrimPrefix(running.url, "http://"))
	again.hoist(t, "flag", "unkill", "checkout")
	node.until("a change after the restart arrives", both("express"))

	again.hoist(t, "token", "revoke", running.backend, "--reason", "lost")
	node.send("ask")
	node.until("the server provider is refused", func(e nodeEvent) bool { return e.Event == "asked" && e.Server == "in-code" })
	again.hoist(t, "token", "revoke", running.client, "--reason", "lost")
	node.send("again")
	node.until("the web provider is refused", func(e nodeEvent) bool { return e.Status == 401 })
}
