package clustertest

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Lossy carries memberlist over a Network. A send never blocks: memberlist's own mock blocks on a stopped node, and a
// blocked send keeps a bubble's time from passing.
type Lossy struct {
	port    *port
	ip      net.IP
	number  int
	packets chan *memberlist.Packet
	streams chan net.Conn
	once    sync.Once
}

var _ memberlist.Transport = (*Lossy)(nil)

// gossip attaches the port to gossip under an IP of its own.
func (p *port) gossip(ip net.IP, number int) *Lossy {
	l := &Lossy{port: p, ip: ip, number: number, packets: make(chan *memberlist.Packet, 256), streams: make(chan net.Conn)}
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	p.network.gossips[l.address()] = l
	return l
}

func (l *Lossy) address() string { return net.JoinHostPort(l.ip.String(), strconv.Itoa(l.number)) }

// FinalAdvertiseAddr implements memberlist.Transport.
func (l *Lossy) FinalAdvertiseAddr(string, int) (net.IP, int, error) { return l.ip, l.number, nil }

func (n *Network) findGossip(address string) *Lossy {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gossips[address]
}

// WriteTo sends a packet, which may be lost.
func (l *Lossy) WriteTo(b []byte, to string) (time.Time, error) {
	now := time.Now()
	target := l.port.network.findGossip(to)
	if target == nil {
		return now, nil
	}
	f, _ := l.port.network.fault(l.port.name, target.port.name, Gossip)
	if l.port.network.stands(l.port.name, target.port.name) || f.Cut || l.port.network.chance(f.Drop) {
		return now, nil
	}
	packet := &memberlist.Packet{Buf: append([]byte(nil), b...), From: address(l.address()), Timestamp: now}
	select {
	case target.packets <- packet:
	default:
	}
	return now, nil
}

// PacketCh implements memberlist.Transport.
func (l *Lossy) PacketCh() <-chan *memberlist.Packet { return l.packets }

// StreamCh implements memberlist.Transport.
func (l *Lossy) StreamCh() <-chan net.Conn { return l.streams }

// DialTimeout opens a stream to another member.
func (l *Lossy) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	target := l.port.network.findGossip(to)
	if target == nil {
		return nil, fmt.Errorf("dial %s: %w", to, errUnreachable)
	}
	return l.port.connect(target.port, target.streams, Gossip, timeout)
}

// Shutdown implements memberlist.Transport.
func (l *Lossy) Shutdown() error {
	l.once.Do(l.detach)
	return nil
}

func (l *Lossy) detach() {
	l.port.network.mu.Lock()
	defer l.port.network.mu.Unlock()
	if l.port.network.gossips[l.address()] == l {
		delete(l.port.network.gossips, l.address())
	}
}
