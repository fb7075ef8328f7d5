package cluster

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// ServerAddr tells raft where a server is now: by gossip, else by the configuration. The id travels inside the address,
// so that the handshake can ask for it.
func (w *network) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	address := w.addressOf(string(id))
	if address == "" {
		return "", fmt.Errorf("no address of server %s is known", id)
	}
	return raft.ServerAddress(string(id) + "@" + address), nil
}

// addressOf is where a server listens, or empty.
func (w *network) addressOf(id string) string {
	if id == w.node.id() {
		return w.address
	}
	if a := w.gossip.peerAddress(id); a != "" {
		return a
	}
	r := w.node.transport.raft.Load()
	if r == nil {
		return ""
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if string(s.ID) == id {
			return string(s.Address)
		}
	}
	return ""
}

// raftStream gives raft's transport its share of the peer port.
type raftStream struct{ w *network }

func (s raftStream) Accept() (net.Conn, error) {
	select {
	case c := <-s.w.raftConns:
		return c, nil
	case <-s.w.done:
		return nil, net.ErrClosed
	}
}

// Close leaves the listener to the network, which has another protocol on it.
func (s raftStream) Close() error   { return nil }
func (s raftStream) Addr() net.Addr { return peerAddr(s.w.address) }

func (s raftStream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, at, ok := strings.Cut(string(address), "@")
	if !ok {
		id, at = "", string(address)
	}
	return s.w.connect(protocolRaft, id, at, timeout)
}

// peerAddr is an advertised address as net.Addr.
type peerAddr string

func (peerAddr) Network() string  { return "tcp" }
func (a peerAddr) String() string { return string(a) }

// pooled closes the connections raft's transport keeps, which its own Close leaves open.
type pooled struct{ *raft.NetworkTransport }

func (p pooled) Close() error {
	err := p.NetworkTransport.Close()
	p.CloseStreams()
	return err
}
