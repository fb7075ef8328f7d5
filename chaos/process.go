package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/cluster/clustertest"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// Processes is a World of real server processes on this machine: SIGKILL, SIGSTOP, a proxy for each direction between
// two of them. It has no faults of disks and clocks; those need tools that not every machine has.
type Processes struct {
	config  ProcessConfig
	history *History
	lines   *switchboard
	http    *http.Client

	mu    sync.Mutex
	nodes []*machine
	ended bool
	final *Dump          // after Finish
	wg    sync.WaitGroup // supervisors
}

// ProcessConfig says what to run.
type ProcessConfig struct {
	Binary   string                     // the hoist binary
	Dir      string                     // data and logs go below it
	Nodes    int                        // default 3
	Args     []string                   // more flags of every server
	Run      func(node string) []string // in front of the binary, for tracers; nil: nothing
	Data     func(node string) string   // another place for a node's data directory; empty: below Dir
	Binaries func(node string) string   // another binary for a node; empty: Binary
}

// machine keeps its ports and its directory while processes come and go.
type machine struct {
	name               string
	http, peer, gossip string
	data, log          string
	proxies            []*proxy
	via                []string
	founder            bool

	process *exec.Cmd
	exited  chan struct{}
	paused  bool
	wanted  bool // a process shall run: one that ends itself is started again
	gone    bool // removed for good
	strikes int  // how often the process was started, ended, paused or resumed
}

// StartProcesses starts a cluster and waits until it takes writes.
func StartProcesses(ctx context.Context, h *History, c ProcessConfig) (*Processes, error) {
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	w := &Processes{config: c, history: h, lines: newSwitchboard(), http: &http.Client{Transport: &named{&http.Transport{MaxIdleConnsPerHost: 16}}}}
	for range c.Nodes {
		if err := w.add(true); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	if err := w.connectAll(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	for _, m := range w.nodes {
		if err := w.start(m); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	for w.Leader() == "" || !w.writes(ctx) {
		if !pause(ctx, 50*time.Millisecond) {
			return nil, errors.Join(fmt.Errorf("the cluster takes no writes: %w\n%s", ctx.Err(), w.Logs()), w.Close())
		}
	}
	return w, nil
}

func (w *Processes) writes(ctx context.Context) bool {
	op := Op{Request: "first", Input: Input{Kind: Put, Environment: Registers, Key: "alive", Value: "first"}}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	w.Client(w.nodes[0].name).Do(ctx, &op)
	return op.Outcome == OK
}

// named says on every request who asks: the checkers look for this person in the log.
type named struct{ next http.RoundTripper }

func (n *named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-User-Id", Input{}.Person().ID)
	return n.next.RoundTrip(r)
}

// add lays a machine out; its process is not started.
func (w *Processes) add(founder bool) error {
	addresses, err := freeAddresses(3)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("n%d", len(w.nodes)+1)
	m := &machine{name: name, http: addresses[0], peer: addresses[1], gossip: addresses[2], founder: founder,
		data: filepath.Join(w.config.Dir, name, "data"), log: filepath.Join(w.config.Dir, name, "log")}
	if w.config.Data != nil && w.config.Data(name) != "" {
		m.data = w.config.Data(name)
	}
	w.nodes = append(w.nodes, m)
	return os.MkdirAll(filepath.Dir(m.log), 0o700)
}

// freeAddresses finds addresses that nobody listens at. They lie below the ports that systems give to whoever asks for any:
// those are taken by other programs' connections while a process of ours is down.
func freeAddresses(count int) (addresses []string, err error) {
	var listeners []net.Listener
	for try := 0; len(listeners) < count; try++ {
		l, failed := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000)))
		if failed != nil && try < 1000 {
			continue
		}
		if failed != nil {
			return nil, errors.Join(failed, err)
		}
		listeners = append(listeners, l)
		addresses = append(addresses, l.Addr().String())
	}
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return addresses, err
}

// connectAll puts a proxy into each direction between two machines that has none.
func (w *Processes) connectAll() error {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a == b || slices.ContainsFunc(a.proxies, func(p *proxy) bool { return p.to == b.name }) {
				continue
			}
			peer, err := openProxy(w.lines, a.name, b.name, clustertest.Raft, b.peer, false)
			if err != nil {
				return err
			}
			gossip, err := openProxy(w.lines, a.name, b.name, clustertest.Gossip, b.gossip, true)
			if err != nil {
				return errors.Join(err, peer.Close())
			}
			a.proxies = append(a.proxies, peer, gossip)
			a.via = append(a.via, b.peer+"="+peer.address(), b.gossip+"="+gossip.address())
		}
	}
	return nil
}

func (w *Processes) machine(node string) *machine {
	i := slices.IndexFunc(w.nodes, func(m *machine) bool { return m.name == node })
	if i < 0 {
		return nil
	}
	return w.nodes[i]
}

// Nodes implements World.
func (w *Processes) Nodes() (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.nodes {
		if !m.gone {
			names = append(names, m.name)
		}
	}
	return names
}

// Up implements World.
func (w *Processes) Up(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machine(node)
	return m != nil && m.wanted && !m.gone
}

// Address implements World.
func (w *Processes) Address(node string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "http://" + w.machine(node).http
}

// HTTP implements World.
func (w *Processes) HTTP(int) connect.HTTPClient { return w.http }

// status asks one node; nil when it does not answer within half a second.
func (w *Processes) status(node string) *hoistv1.ClusterStatusResponse {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	s, err := hoistv1connect.NewClusterServiceClient(w.http, w.Address(node)).Status(ctx, &hoistv1.ClusterStatusRequest{})
	if err != nil {
		return nil
	}
	return s
}

// Leader implements World.
func (w *Processes) Leader() string {
	leader, term := "", uint64(0)
	for _, node := range w.Nodes() {
		if !w.Up(node) || w.isPaused(node) {
			continue
		}
		if s := w.status(node); s.GetRole() == "leader" && s.GetTerm() > term {
			leader, term = node, s.GetTerm()
		}
	}
	return leader
}

func (w *Processes) isPaused(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.machine(node).paused
}

// strikes counts what was done to a node; while nothing can be expected of it, it is -1.
func (w *Processes) strikes(node string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.machine(node)
	if !m.wanted || m.paused {
		return -1
	}
	return m.strikes
}

// Line implements World.
func (w *Processes) Line(from, to string, l Line) error {
	w.lines.set(from, to, l)
	return nil
}

// Disk implements World; faults of disks need a tracer or a small file system and have tests of their own.
func (w *Processes) Disk(string, Disk) error { return errors.ErrUnsupported }

// Clock implements World; processes share the machine's clock.
func (w *Processes) Clock(string, time.Duration, float64) error { return errors.ErrUnsupported }

// Metrics implements World.
func (w *Processes) Metrics(Metric) error { return errors.ErrUnsupported }

// Join implements World. The others do not dial the newcomer through proxies: they were started without them.
func (w *Processes) Join(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.add(false); err != nil {
		return "", err
	}
	m := w.nodes[len(w.nodes)-1]
	if err := w.connectAll(); err != nil {
		return "", err
	}
	return m.name, w.start(m)
}

// Remove implements World.
func (w *Processes) Remove(ctx context.Context, node string) error {
	for _, other := range w.Nodes() {
		if other == node || !w.Up(other) {
			continue
		}
		c := hoistv1connect.NewClusterServiceClient(w.http, w.Address(other))
		if _, err := c.Remove(ctx, &hoistv1.RemoveRequest{Id: node}); err != nil {
			return fmt.Errorf("remove %s: %w", node, err)
		}
		w.mu.Lock()
		w.machine(node).gone = true
		w.mu.Unlock()
		return nil
	}
	return errors.New("nobody is there to ask")
}

// Heal implements World.
func (w *Processes) Heal() {
	w.lines.heal()
	for _, node := range w.Nodes() {
		if err := errors.Join(w.Resume(node), w.Restart(node)); err != nil {
			w.history.Mark("failed", node, err.Error())
		}
	}
}

// Client implements World.
func (w *Processes) Client(node string) Client { return processClient{w, node} }

// Logs are the last lines of every node's log.
func (w *Processes) Logs() string {
	var b strings.Builder
	for _, m := range w.nodes {
		data, err := os.ReadFile(m.log)
		if err != nil {
			continue
		}
		rows := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		fmt.Fprintf(&b, "%s:\n%s\n", m.name, bytes.Join(rows[max(0, len(rows)-10):], []byte("\n")))
	}
	return b.String()
}

// Close ends all processes and proxies.
func (w *Processes) Close() error {
	w.mu.Lock()
	w.ended = true
	var errs []error
	for _, m := range w.nodes {
		if m.process != nil && m.wanted {
			m.wanted = false
			errs = append(errs, signal(m.process, syscall.SIGKILL))
		}
	}
	w.mu.Unlock()
	w.wg.Wait()
	for _, m := range w.nodes {
		for _, p := range m.proxies {
			errs = append(errs, p.Close())
		}
	}
	w.http.CloseIdleConnections()
	return errors.Join(errs...)
}
