package conformance

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport/client"
)

// process is a running hoist that ends with the test, or when told to.
type process struct {
	t      *testing.T
	args   []string
	cmd    *exec.Cmd
	leash  io.Closer
	stderr *os.File
}

// launch starts hoist with these arguments.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	require.NoError(t, err)
	p := &process{t: t, args: args, stderr: log}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name()) // nothing depends on it
			t.Logf("%s:\n%s", strings.Join(args, " "), text[max(0, len(text)-4000):])
		}
		_ = log.Close() // written by others
	})
	return p
}

func (p *process) start() {
	p.t.Helper()
	path, err := binary()
	require.NoError(p.t, err)
	p.cmd = exec.Command(path, append(p.args, "--stop-with-stdin")...)
	p.cmd.Stdout, p.cmd.Stderr = p.stderr, p.stderr
	p.leash, err = p.cmd.StdinPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Start())
}

// kill ends it as a power cut does.
func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // it may be dead already
		_ = p.cmd.Wait()         // how it ends is known
		p.cmd = nil
	}
}

// ports asks the system for free ones.
func ports(t *testing.T, count int) []string {
	t.Helper()
	var all []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// eventually asks again and again: other processes do not tell the test when they are done.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 60*time.Second, 100*time.Millisecond, what)
}

// try runs a command against the server and returns what it printed, if it succeeded.
func (s server) try(args ...string) (string, bool) {
	path, err := binary()
	if err != nil {
		return "", false
	}
	command := exec.Command(path, append(args, "--addr", s.url)...)
	command.Env = append(os.Environ(), "HOIST_TOKEN="+s.admin)
	out, err := command.Output()
	return strings.TrimSpace(string(out)), err == nil
}

// cluster starts three servers with the flags of a manifest. Every one of them is returned with the tokens of all.
func cluster(t *testing.T, manifest string) (nodes []server, processes []*process) {
	t.Helper()
	free := ports(t, 9)
	for i := range 3 {
		nodes = append(nodes, server{url: "http://" + free[i]})
		processes = append(processes, launch(t, "server", "--http", free[i], "--peer", free[3+i], "--gossip", free[6+i], "--node-name", fmt.Sprint("node-", i+1),
			"--data-dir", filepath.Join(t.TempDir(), "data"), "--bootstrap-expect", "3", "--join", strings.Join(free[6:], ",")))
	}
	var all server
	eventually(t, "the first token of the cluster", func() bool {
		token, ok := nodes[0].try("token", "bootstrap")
		all.admin = token
		return ok
	})
	for i := range nodes {
		nodes[i].admin = all.admin
	}
	all.backend = nodes[0].hoist(t, "token", "create", "--kind", "srv", "-e", "dev", "--name", "backend", "--wait")
	all.client = nodes[0].hoist(t, "token", "create", "--kind", "cli", "-e", "dev", "--name", "page", "--origin", "http://localhost", "--wait")
	nodes[0].hoist(t, "apply", "-f", manifest, "--wait")
	for i := range nodes {
		nodes[i].backend, nodes[i].client = all.backend, all.client
	}
	return nodes, processes
}

// tokenID is the id of a token by its name.
func (s server) tokenID(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(s.hoist(t, "token", "list")) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.Contains(line, " "+name) {
			return fields[0]
		}
	}
	require.Fail(t, "no such token", name)
	return ""
}

// The clients of others against three servers: a change on one node reaches clients of another, a 304 confirms what has not
// changed, a node that dies and comes back is found again, an edge goes on without its upstream, and a token that is revoked
// ends what it opened.
// S0-13 (a change on one node is seen through the others), S4-15 (no client of ours)
func TestStockClientsAgainstACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers, an edge and npm's providers")
	}
	manifest := filepath.Join(t.TempDir(), "flags.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte(checkout), 0o600))
	nodes, processes := cluster(t, manifest)
	far := nodes[2] // what the clients talk to; changes are made elsewhere

	edgeToken := nodes[0].hoist(t, "token", "create", "--kind", "edg", "-e", "dev", "--name", "outpost", "--wait")
	door := ports(t, 1)[0]
	launch(t, "edge", "--upstream", far.url, "--http", door, "--token", edgeToken, "--data-dir", filepath.Join(t.TempDir(), "edge"))
	outpost := far
	outpost.url = "http://" + door

	js := startNode(t, far)
	stock := clientOf(t, far, t.Name())
	beyond := clientOf(t, outpost, t.Name()+"-edge")
	ask := func(c *openfeature.Client) string {
		got, _ := c.StringValue(context.Background(), "checkout", "in-code", openfeature.NewEvaluationContext("user-1", nil)) // the default says it all
		return got
	}
	reach := func(value string) {
		t.Helper()
		eventually(t, "the Go client has "+value, func() bool { return ask(stock) == value })
		eventually(t, "the edge has "+value, func() bool { return ask(beyond) == value })
	}
	both := func(value string) func(nodeEvent) bool {
		return func(e nodeEvent) bool { return e.Server == value && e.Web == value }
	}
	js.until("both providers answer", both("express"))
	reach("express")

	nodes[0].hoist(t, "flag", "kill", "checkout", "--reason", "payment errors")
	changed := js.until("the change arrives by the event stream of another node", func(e nodeEvent) bool { return e.Event == "changed" })
	require.Equal(t, []string{"checkout"}, changed.Flags)
	reach("classic")
	js.send("again")
	js.until("nothing has changed", func(e nodeEvent) bool { return e.Status == 304 })

	processes[2].kill()
	js.until("the stream is gone", func(e nodeEvent) bool { return e.Event == "stale" })
	require.Equal(t, "in-code", ask(stock), "its node is dead")
	require.Equal(t, "classic", ask(beyond), "an edge answers without its upstream")
	nodes[0].hoist(t, "flag", "unkill", "checkout")
	require.Equal(t, "classic", ask(beyond))
	processes[2].start()
	js.until("what was missed arrives after the restart", both("express"))
	reach("express")

	nodes[0].hoist(t, "token", "revoke", nodes[0].tokenID(t, "backend"), "--wait")
	eventually(t, "the revoked token evaluates nothing", func() bool { return ask(stock) == "in-code" && ask(beyond) == "in-code" })
	js.send("ask")
	js.until("nor does it for npm's provider", func(e nodeEvent) bool {
		return e.Event == "asked" && e.Server == "in-code" && e.Web == "express"
	})

	// Ours evaluates in its own process, so it takes a node's death for less.
	fresh := nodes[0].hoist(t, "token", "create", "--kind", "srv", "-e", "dev", "--name", "service", "--wait")
	ours := follow(t, client.Config{Addr: far.url, Token: fresh}, t.Name()+"-ours")
	processes[2].kill()
	require.Equal(t, "express", ask(ours))
}
