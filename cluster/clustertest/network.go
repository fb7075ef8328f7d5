package clustertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// Fault is what happens to the messages of one direction between two nodes.
type Fault struct {
	Cut       bool          // nothing passes: calls time out, streams stall
	Drop      float64       // share of single messages (raft calls, gossip packets) that are lost
	Delay     time.Duration // added to each message
	Jitter    time.Duration // up to this much more, at random, so messages overtake each other
	Duplicate float64       // share of raft calls delivered twice
	CutAfter  int64         // snapshots break off after so many bytes
	Only      Protocol      // what it happens to; empty: everything
}

// Protocol is what a message belongs to.
type Protocol string

// The protocols between nodes; Raft stands for the peer protocol too.
const (
	Raft   Protocol = "raft"
	Gossip Protocol = "gossip"
)

// of is the fault as a protocol feels it.
func (f Fault) of(p Protocol) Fault {
	if f.Only != "" && f.Only != p {
		return Fault{}
	}
	return f
}

type edge struct{ from, to string }

// Network joins the nodes of one bubble. Every direction between two nodes has its own Fault.
type Network struct {
	mu      sync.Mutex
	random  *rand.Rand
	faults  map[edge]Fault
	paused  map[string]chan struct{} // closed when the pause is over
	changed chan struct{}            // closed at every change of faults
	ports   map[string]*port         // by peer address
	gossips map[string]*Lossy        // by gossip address
	timeout time.Duration
}

// NewNetwork makes a network without faults; seed decides what is lost.
func NewNetwork(seed uint64) *Network {
	return &Network{random: rand.New(rand.NewPCG(seed, 1)), faults: map[edge]Fault{}, paused: map[string]chan struct{}{}, changed: make(chan struct{}),
		ports: map[string]*port{}, gossips: map[string]*Lossy{}, timeout: time.Second}
}

// Set puts a fault on one direction.
func (n *Network) Set(from, to string, f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[edge{from, to}] = f
	n.wake()
}

// Partition cuts every connection between nodes of different groups, both ways; a node in no group is alone.
func (n *Network) Partition(all []string, groups ...[]string) {
	group := map[string]int{}
	for i, g := range groups {
		for _, name := range g {
			group[name] = i + 1
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range all {
		for _, b := range all {
			if a != b && (group[a] != group[b] || group[a] == 0) {
				n.faults[edge{a, b}] = Fault{Cut: true}
			}
		}
	}
	n.wake()
}

// Heal removes every fault and ends every pause.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.faults)
	for _, gate := range n.paused {
		close(gate)
	}
	clear(n.paused)
	n.wake()
}

func (n *Network) wake() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Network) fault(from, to string, p Protocol) (Fault, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.faults[edge{from, to}].of(p), n.changed
}

func (n *Network) chance(share float64) bool {
	if share <= 0 {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.random.Float64() < share
}

func (n *Network) delay(f Fault) {
	d := f.Delay
	if f.Jitter > 0 {
		n.mu.Lock()
		d += time.Duration(n.random.Int64N(int64(f.Jitter)))
		n.mu.Unlock()
	}
	if d > 0 {
		time.Sleep(d)
	}
}

// pass carries one message, or says that it is lost.
func (n *Network) pass(from, to string, p Protocol) bool {
	n.standStill(from, to)
	f, _ := n.fault(from, to, p)
	if f.Cut || n.chance(f.Drop) {
		return false
	}
	n.delay(f)
	n.standStill(from, to)
	f, _ = n.fault(from, to, p) // cut while it was under way?
	return !f.Cut
}

// Pause lets a node stand still: what it sends and what is sent to it waits, and arrives late.
func (n *Network) Pause(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused[name] == nil {
		n.paused[name] = make(chan struct{})
	}
}

// Resume ends a pause.
func (n *Network) Resume(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused[name] != nil {
		close(n.paused[name])
		delete(n.paused, name)
	}
}

// Gate is closed when the pause of a node is over; nil when it is not paused.
func (n *Network) Gate(name string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused[name]
}

// stands tells whether one of the nodes is paused.
func (n *Network) stands(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused[a] != nil || n.paused[b] != nil
}

// standStill waits until none of the nodes is paused.
func (n *Network) standStill(names ...string) {
	for _, name := range names {
		if gate := n.Gate(name); gate != nil {
			<-gate
		}
	}
}

var errUnreachable = errors.New("clustertest: unreachable")

// port is one node's end of the network for as long as the process lives.
type port struct {
	network       *Network
	name, address string
	accepted      chan net.Conn
	raft          *FaultTransport
	closed        chan struct{}
	once          sync.Once

	mu    sync.Mutex
	conns map[*stream]struct{}
}

// open attaches a node under an address.
func (n *Network) open(name, address string) *port {
	p := &port{network: n, name: name, address: address, accepted: make(chan net.Conn), closed: make(chan struct{}), conns: map[*stream]struct{}{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ports[address] = p
	return p
}

func (n *Network) find(address string) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports[address]
}

// Close detaches the node: connections break, calls fail.
func (p *port) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.network.mu.Lock()
		if p.network.ports[p.address] == p {
			delete(p.network.ports, p.address)
		}
		p.network.mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.conns {
			_ = c.Conn.Close() // a pipe's Close cannot fail
		}
	})
	return nil
}

// Accept and Addr make the port a net.Listener.
func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) Addr() net.Addr { return address(p.address) }

type address string

func (address) Network() string  { return "bubble" }
func (a address) String() string { return string(a) }

// dial connects two nodes by a stream that stalls while its direction is cut, as TCP does.
func (p *port) dial(to string, timeout time.Duration) (net.Conn, error) {
	target := p.network.find(to)
	if target == nil {
		return nil, fmt.Errorf("dial %s: %w", to, errUnreachable)
	}
	return p.connect(target, target.accepted, Raft, timeout)
}

// connect makes a stream to target and hands its far end over.
func (p *port) connect(target *port, accept chan<- net.Conn, protocol Protocol, timeout time.Duration) (net.Conn, error) {
	fail := fmt.Errorf("dial %s: %w", target.address, errUnreachable)
	if !p.network.pass(p.name, target.name, protocol) || !p.network.pass(target.name, p.name, protocol) {
		select {
		case <-time.After(timeout):
		case <-p.closed:
		}
		return nil, fail
	}
	near, far := net.Pipe()
	ours, theirs := p.hold(near, target.name, protocol), target.hold(far, p.name, protocol)
	if ours == nil || theirs == nil {
		return nil, errors.Join(fail, near.Close(), far.Close())
	}
	select {
	case accept <- theirs:
		return ours, nil
	case <-target.closed:
	case <-p.closed:
	case <-time.After(timeout):
	}
	return nil, errors.Join(fail, ours.Close(), theirs.Close())
}

// hold remembers a stream, so that a crash breaks it.
func (p *port) hold(c net.Conn, peer string, protocol Protocol) *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return nil
	default:
	}
	s := &stream{Conn: c, port: p, peer: peer, protocol: protocol}
	p.conns[s] = struct{}{}
	return s
}

// stream is one end of a connection.
type stream struct {
	net.Conn
	port     *port
	peer     string
	protocol Protocol
}

// stallTime is how long a stream waits for a cut to heal before it breaks.
const stallTime = 10 * time.Second

func (s *stream) Write(b []byte) (int, error) {
	s.port.network.standStill(s.port.name, s.peer)
	for {
		f, changed := s.port.network.fault(s.port.name, s.peer, s.protocol)
		if !f.Cut {
			s.port.network.delay(Fault{Delay: f.Delay}) // no jitter: a stream keeps its order
			return s.Conn.Write(b)
		}
		select {
		case <-changed:
		case <-s.port.closed:
			return 0, net.ErrClosed
		case <-time.After(stallTime):
			return 0, errors.Join(errUnreachable, s.Close())
		}
	}
}

func (s *stream) Close() error {
	s.port.mu.Lock()
	delete(s.port.conns, s)
	s.port.mu.Unlock()
	return s.Conn.Close()
}

// bare takes the server id off an address.
func bare(address string) string {
	if _, after, ok := strings.Cut(address, "@"); ok {
		return after
	}
	return address
}
