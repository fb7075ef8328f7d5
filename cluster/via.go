package cluster

import (
	"net"
	"time"

	"github.com/hashicorp/memberlist"
)

// via gives the address to dial instead of a member's own: behind address translation a member is not where it says, and
// a proxy that breaks connections on purpose wants to stand between two members.
type via map[string]string

func (v via) of(address string) string {
	if other, ok := v[address]; ok {
		return other
	}
	return address
}

// gossipVia is the gossip transport with other addresses to dial.
type gossipVia struct {
	*memberlist.NetTransport
	via via
}

// newGossipVia binds the gossip port itself, which memberlist would otherwise do.
func newGossipVia(c *memberlist.Config, v via) (*gossipVia, error) {
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	if c.BindPort == 0 {
		c.BindPort = inner.GetAutoBindPort()
		c.AdvertisePort = c.BindPort
	}
	return &gossipVia{inner, v}, nil
}

// WriteTo implements memberlist.Transport.
func (g *gossipVia) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.NetTransport.WriteTo(b, g.via.of(addr))
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (g *gossipVia) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	addr.Addr = g.via.of(addr.Addr)
	return g.NetTransport.WriteToAddress(b, addr)
}

// DialTimeout implements memberlist.Transport.
func (g *gossipVia) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.NetTransport.DialTimeout(g.via.of(addr), timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (g *gossipVia) DialAddressTimeout(addr memberlist.Address, timeout time.Duration) (net.Conn, error) {
	addr.Addr = g.via.of(addr.Addr)
	return g.NetTransport.DialAddressTimeout(addr, timeout)
}
