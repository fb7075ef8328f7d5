package chaos

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/hoistflags/hoist/cluster/clustertest"
)

// switchboard is the state of all directions between the nodes of a process world. Proxies ask it for every piece they carry.
type switchboard struct {
	mu      sync.Mutex
	state   map[[2]string]Line
	changed chan struct{} // closed at every change
}

func newSwitchboard() *switchboard {
	return &switchboard{state: map[[2]string]Line{}, changed: make(chan struct{})}
}

func (l *switchboard) set(from, to string, line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state[[2]string{from, to}] = line
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *switchboard) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.state)
	close(l.changed)
	l.changed = make(chan struct{})
}

// of is what happens to a protocol from one node to another, and a channel that closes when that may have changed.
func (l *switchboard) of(from, to string, p clustertest.Protocol) (Line, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.state[[2]string{from, to}]
	if line.Only != "" && line.Only != p {
		line = Line{}
	}
	return line, l.changed
}

// proxy stands between two nodes: what `from` dials goes to `to`. Both directions of a connection have their own line.
type proxy struct {
	lines    *switchboard
	from, to string
	protocol clustertest.Protocol
	target   string
	listener net.Listener
	packets  net.PacketConn // nil: streams only
	done     chan struct{}
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// openProxy listens on a free port of the loopback, for packets on the same one where asked.
func openProxy(l *switchboard, from, to string, protocol clustertest.Protocol, target string, packets bool) (*proxy, error) {
	p := &proxy{lines: l, from: from, to: to, protocol: protocol, target: target, done: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	var err error
	for range 20 { // the port may be free for streams and taken for packets
		if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		if !packets {
			break
		}
		if p.packets, err = net.ListenPacket("udp", p.listener.Addr().String()); err == nil {
			break
		}
		err = errors.Join(err, p.listener.Close())
	}
	if err != nil {
		return nil, err
	}
	p.wg.Go(p.accept)
	if packets {
		p.wg.Go(p.relay)
	}
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.carry(near) })
	}
}

// carry joins one connection to the target. While the line is cut a dial succeeds and then stays silent, as with a
// firewall that drops.
func (p *proxy) carry(near net.Conn) {
	if !p.hold(near) {
		return
	}
	defer p.drop(near)
	if !p.passable(p.from, p.to) {
		return
	}
	far, err := net.DialTimeout("tcp", p.target, 2*time.Second)
	if err != nil || !p.hold(far) {
		return
	}
	defer p.drop(far)
	both := make(chan struct{}, 2)
	go func() { p.pump(far, near, p.from, p.to); both <- struct{}{} }()
	go func() { p.pump(near, far, p.to, p.from); both <- struct{}{} }()
	<-both
	p.drop(near) // one side has gone, so does the other
	p.drop(far)
	<-both
}

// passable waits until the line lets anything through.
func (p *proxy) passable(from, to string) bool {
	for {
		line, changed := p.lines.of(from, to, p.protocol)
		if !line.Cut {
			return true
		}
		select {
		case <-changed:
		case <-p.done:
			return false
		}
	}
}

// piece is something on its way, and when it arrives.
type piece struct {
	data []byte
	at   time.Time
}

// pump carries one direction: a reader that stamps, and a writer that waits, so that a delay costs no bandwidth.
func (p *proxy) pump(to io.Writer, from io.Reader, sender, receiver string) {
	way := make(chan piece, 1024)
	go func() {
		defer close(way)
		buffer := make([]byte, 32<<10)
		var carried int64
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				line, _ := p.lines.of(sender, receiver, p.protocol)
				if carried += int64(n); line.CutAfter > 0 && carried > line.CutAfter {
					return
				}
				way <- piece{append([]byte(nil), buffer[:n]...), time.Now().Add(latency(line))}
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() { // the reader may wait for room
		for range way {
		}
	}()
	for next := range way {
		if !p.wait(time.Until(next.at)) || !p.passable(sender, receiver) {
			return
		}
		if _, err := to.Write(next.data); err != nil {
			return
		}
	}
}

// retransmission is what a lost packet costs a stream.
const retransmission = 200 * time.Millisecond

// latency draws how long a piece of a stream is under way.
func latency(l Line) time.Duration {
	d := l.Delay
	if l.Jitter > 0 {
		d += rand.N(l.Jitter)
	}
	if l.Drop > 0 && rand.Float64() < l.Drop {
		d += retransmission
	}
	return d
}

func (p *proxy) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-p.done:
		return false
	}
}

// relay carries packets, one way: the other way has a proxy of its own.
func (p *proxy) relay() {
	out, err := net.Dial("udp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }() // packets need no goodbye
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := p.packets.ReadFrom(buffer)
		if err != nil {
			return // closed
		}
		line, _ := p.lines.of(p.from, p.to, p.protocol)
		if line.Cut || line.Drop > 0 && rand.Float64() < line.Drop {
			continue
		}
		times := 1
		if line.Duplicate > 0 && rand.Float64() < line.Duplicate {
			times = 2
		}
		data := append([]byte(nil), buffer[:n]...)
		for range times {
			p.wg.Go(func() {
				if p.wait(latency(Line{Delay: line.Delay, Jitter: line.Jitter})) {
					_, _ = out.Write(data) // lost, as packets are
				}
			})
		}
	}
}

func (p *proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		_ = c.Close() // nobody uses it yet
		return false
	default:
		p.conns[c] = struct{}{}
		return true
	}
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close() // closing twice is harmless
}

// Close ends every connection.
func (p *proxy) Close() error {
	p.mu.Lock()
	close(p.done)
	err := p.listener.Close()
	if p.packets != nil {
		err = errors.Join(err, p.packets.Close())
	}
	for c := range p.conns {
		_ = c.Close() // its users notice
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}
