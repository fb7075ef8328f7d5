package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// child is one server process of the demo. It keeps its ports and its data when it is killed and started again.
type child struct {
	name               string
	http, peer, gossip string
	dir                string
	log                string // the --log-store of a new node
	node               *node  // connection to it
	guarded            bool   // its door wants tokens; benchmarks of what lies behind the door leave it open
	evaluates          string // token for evaluations; empty at an open door

	lives   atomic.Int64  // how often it was started; tells answers of one process from those of the next
	highest atomic.Uint64 // highest revision that an evaluation answer of this process carried
	serves  atomic.Bool

	mu      sync.Mutex
	process *exec.Cmd
	leash   io.Closer     // its standard input; closing it, or our death, ends the child
	exited  chan struct{} // closed when the process has gone
}

// newChildren lays out count nodes with free ports below dir.
func newChildren(dir string, count int) ([]*child, error) {
	addresses, err := freeAddresses(3 * count)
	if err != nil {
		return nil, err
	}
	var all []*child
	for i := range count {
		c := &child{name: fmt.Sprintf("node-%d", i+1), http: addresses[3*i], peer: addresses[3*i+1], gossip: addresses[3*i+2]}
		c.dir = filepath.Join(dir, c.name)
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return nil, fmt.Errorf("making a place for %s: %w", c.name, err)
		}
		if c.node, err = dial(where{addr: c.http, tenant: defaultTenant, environment: defaultEnvironment}); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// freeAddresses asks the system for ports, all at once so that they differ.
func freeAddresses(count int) ([]string, error) {
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			_ = l.Close() // only the number was wanted
		}
	}()
	var addresses []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		listeners = append(listeners, l)
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// start runs the server process. join names the gossip addresses of all nodes.
func (c *child) start(join []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	output, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", c.name, err)
	}
	defer func() { _ = output.Close() }() // the child has its own descriptor
	process := exec.Command(self, "server", "--stop-with-stdin", "--http", c.http, "--peer", c.peer, "--gossip", c.gossip,
		"--node-name", c.name, "--cluster-name", "hoist-demo", "--data-dir", filepath.Join(c.dir, "data"), "--log-store", c.log,
		"--bootstrap-expect", fmt.Sprint(len(join)), "--join", strings.Join(join, ","))
	if !c.guarded {
		process.Args = append(process.Args, "--insecure-no-auth")
	}
	process.Env = demoEnvironment()
	process.Stdout, process.Stderr = output, output
	ownGroup(process)
	leash, err := process.StdinPipe()
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	if err := process.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = process.Wait() // how a killed child ends says nothing
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process, c.leash, c.exited = process, leash, exited
	c.highest.Store(0)
	c.lives.Add(1)
	c.serves.Store(true)
	return nil
}

// enrollAll makes the first tokens of a fresh cluster and gives them to the connections to its nodes.
func enrollAll(ctx context.Context, children []*child) (*enrolled, error) {
	made, err := enroll(ctx, children[0].node.where)
	if err != nil {
		for _, c := range children {
			err = errors.Join(err, c.alive())
		}
		return nil, err
	}
	for _, c := range children {
		w := c.node.where
		w.token = made.Admin
		if c.node, err = dial(w); err != nil {
			return nil, err
		}
		c.evaluates = made.Server
	}
	return made, nil
}

// demoEnvironment is ours without the settings of some other server.
func demoEnvironment() []string {
	var kept []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "HOIST_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// kill ends the process with SIGKILL: no goodbye, no flush.
func (c *child) kill() error {
	c.mu.Lock()
	process, exited := c.process, c.exited
	c.mu.Unlock()
	c.serves.Store(false)
	if err := process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", c.name, err)
	}
	<-exited
	return nil
}

// stop ends the process gracefully, and by force when that takes too long.
func (c *child) stop() error {
	c.mu.Lock()
	leash, exited := c.leash, c.exited
	c.mu.Unlock()
	if leash == nil {
		return nil // never started
	}
	c.serves.Store(false)
	_ = leash.Close() // a broken pipe means that it has gone already
	select {
	case <-exited:
		return nil
	case <-time.After(10 * time.Second):
		return c.kill()
	}
}

// alive says whether the process runs; with the last lines of its log when it does not.
func (c *child) alive() error {
	c.mu.Lock()
	exited := c.exited
	c.mu.Unlock()
	select {
	case <-exited:
		return failed("", "%s has ended by itself; its last words:\n%s", c.name, lastLines(filepath.Join(c.dir, "log"), 5))
	default:
		return nil
	}
}

func lastLines(path string, count int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// status asks the node what it knows; an error when it does not answer within a second.
func (c *child) status(ctx context.Context) (*hoistv1.ClusterStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return c.node.cluster.Status(ctx, &hoistv1.ClusterStatusRequest{})
}
