package cluster

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// network is a node's peer port: one listener whose connections are split by their first byte, the sessions towards
// other members, and gossip.
type network struct {
	node     *Node
	listener net.Listener
	dial     func(address string, timeout time.Duration) (net.Conn, error)
	address  string // what others dial
	gossip   *gossip

	raftConns chan net.Conn

	mu       sync.Mutex
	sessions map[string]*dialing   // by server id and address
	open     map[net.Conn]struct{} // accepted and still in use
	refused  map[string]time.Time  // when a refusal was last logged, by peer
	done     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

// maxHandshakes bounds connections that have not said who they are.
const maxHandshakes = 256

func (n *Node) openNetwork() error {
	if n.cfg.lone() {
		_, inner := raft.NewInmemTransport(raft.ServerAddress(n.id()))
		n.transport = newTransport(inner, n.onLeaderMessage)
		return nil
	}
	w := &network{node: n, raftConns: make(chan net.Conn), sessions: map[string]*dialing{},
		open: map[net.Conn]struct{}{}, refused: map[string]time.Time{}, done: make(chan struct{})}
	if err := w.listen(); err != nil {
		return err
	}
	n.network = w
	var inner RaftTransport
	if h := n.cfg.Hooks.Network; h != nil && h.Raft != nil {
		inner = h.Raft(w)
	} else {
		inner = pooled{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			ServerAddressProvider: w, Stream: raftStream{w}, Logger: n.raftLog,
			MaxPool: 3, MaxRPCsInFlight: 1, Timeout: 10 * time.Second, MsgpackUseNewTimeFormat: true,
		})}
	}
	n.transport = newTransport(inner, n.onLeaderMessage)
	n.transport.behind, n.transport.longestPause = n.announcer.again, n.timings.heartbeat/2
	return w.openGossip()
}

func (w *network) listen() (err error) {
	cfg := &w.node.cfg
	if h := cfg.Hooks.Network; h != nil {
		w.listener, w.dial = h.Listener, h.Dial
	} else {
		if w.listener, err = net.Listen("tcp", cfg.PeerAddr); err != nil {
			return fmt.Errorf("listen for peers: %w", err)
		}
		w.dial = func(address string, timeout time.Duration) (net.Conn, error) {
			return net.DialTimeout("tcp", via(cfg.DialVia).of(address), timeout)
		}
	}
	w.address = cfg.PeerAdvertise
	if w.address == "" {
		w.address = w.listener.Addr().String()
	}
	return nil
}

// onLeaderMessage sees every message of a leader before raft does.
func (n *Node) onLeaderMessage(a *raft.AppendEntriesRequest) {
	if a.LeaderCommitIndex > 0 {
		n.fresh.hear(a.LeaderCommitIndex, n.cfg.Store.State().Index(), time.Now())
	}
}

// serve lets peers in, once raft is there to answer them.
func (w *network) serve() {
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		w.accept()
	}()
}

func (w *network) accept() {
	waiting := make(chan struct{}, maxHandshakes)
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			select {
			case <-w.done:
				return
			case <-time.After(100 * time.Millisecond): // out of descriptors, most likely
				w.node.log.Warn("peers cannot connect", "error", err)
				continue
			}
		}
		select {
		case waiting <- struct{}{}:
		default:
			_ = conn.Close() // too many strangers at once; a member tries again
			continue
		}
		if !w.keep(conn) {
			return
		}
		w.wg.Add(1)
		go func() {
			defer w.wg.Done()
			protocol, err := w.greet(conn)
			<-waiting
			if err != nil {
				w.drop(conn)
				return
			}
			w.use(conn, protocol)
		}()
	}
}

// keep remembers an accepted connection, so that Close can end it.
func (w *network) keep(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.done:
		_ = conn.Close()
		return false
	default:
		w.open[conn] = struct{}{}
		return true
	}
}

func (w *network) drop(conn net.Conn) {
	w.mu.Lock()
	delete(w.open, conn)
	w.mu.Unlock()
	_ = conn.Close() // closing twice is harmless
}

// greet is the answering side of the handshake.
func (w *network) greet(conn net.Conn) (byte, error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTime)); err != nil {
		return 0, err
	}
	var protocol [1]byte
	if _, err := conn.Read(protocol[:]); err != nil {
		return 0, err
	}
	if protocol[0] != protocolRaft && protocol[0] != protocolPeer {
		return 0, fmt.Errorf("unknown protocol %q", protocol[0])
	}
	theirs, err := readHello(conn)
	if err != nil {
		return 0, err
	}
	refusal := w.judge(theirs)
	if err := writeHello(conn, nil, hello{Cluster: w.node.cfg.ClusterName, ClusterID: w.node.clusterID(), From: w.node.id(), Refusal: refusal}); err != nil {
		return 0, err
	}
	if refusal != "" {
		w.refuse(theirs.From, refusal)
		return 0, errors.New(refusal)
	}
	w.node.transport.returns.heard(raft.ServerID(theirs.From))
	return protocol[0], conn.SetDeadline(time.Time{})
}

// judge says why a peer is refused, or nothing.
func (w *network) judge(peer hello) string {
	n := w.node
	own := n.clusterID()
	switch {
	case peer.Cluster != n.cfg.ClusterName:
		return fmt.Sprintf("server %s is of a cluster named %q, this one is %q", peer.From, peer.Cluster, n.cfg.ClusterName)
	case own != "" && peer.ClusterID != "" && peer.ClusterID != own:
		return fmt.Sprintf("server %s belongs to cluster %s, this node to cluster %s: two clusters never merge; check --join and the addresses", peer.From, peer.ClusterID, own)
	case peer.To != "" && peer.To != n.id():
		return fmt.Sprintf("server %s wants to reach server %s, but this address belongs to server %s now", peer.From, peer.To, n.id())
	}
	return ""
}

// refuse logs a refusal, at most once a minute for each peer.
func (w *network) refuse(peer, why string) {
	w.mu.Lock()
	again := time.Since(w.refused[peer]) < time.Minute
	if !again {
		w.refused[peer] = time.Now()
	}
	w.mu.Unlock()
	if !again {
		w.node.log.Error("a peer is refused", "peer", peer, "reason", why)
	}
}

// use hands a connection to its protocol.
func (w *network) use(conn net.Conn, protocol byte) {
	if protocol == protocolRaft {
		select {
		case w.raftConns <- &trackedConn{Conn: conn, drop: w.drop}:
		case <-w.done:
			w.drop(conn)
		}
		return
	}
	defer w.drop(conn)
	s := newSession(conn)
	defer s.Close()
	s.serve(w.node.ctx, w.node.answer)
}

// trackedConn forgets itself when raft closes it.
type trackedConn struct {
	net.Conn
	drop func(net.Conn)
}

func (c *trackedConn) Close() error { c.drop(c.Conn); return nil }

// connect dials a member and shakes hands.
func (w *network) connect(protocol byte, id, address string, timeout time.Duration) (net.Conn, error) {
	conn, err := w.dial(address, timeout)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (net.Conn, error) {
		_ = conn.Close() // the error at hand says more
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(min(timeout, handshakeTime))); err != nil {
		return fail(err)
	}
	own := hello{Cluster: w.node.cfg.ClusterName, ClusterID: w.node.clusterID(), From: w.node.id(), To: id}
	if err := writeHello(conn, []byte{protocol}, own); err != nil {
		return fail(err)
	}
	theirs, err := readHello(conn)
	if err != nil {
		return fail(err)
	}
	if theirs.Refusal != "" {
		w.refuse(address, theirs.Refusal)
		return fail(fmt.Errorf("%s refused: %s", address, theirs.Refusal))
	}
	if refusal := w.judge(hello{Cluster: theirs.Cluster, ClusterID: theirs.ClusterID, From: theirs.From}); refusal != "" {
		w.refuse(theirs.From, refusal)
		return fail(errors.New(refusal))
	}
	return conn, conn.SetDeadline(time.Time{})
}

// Close ends every connection. Raft and its transport are closed already.
func (w *network) Close() error {
	var errs []error
	w.once.Do(func() {
		close(w.done)
		errs = append(errs, w.listener.Close())
		w.mu.Lock()
		for c := range w.open {
			_ = c.Close() // the other side notices
		}
		sessions := w.sessions
		w.sessions = map[string]*dialing{}
		w.mu.Unlock()
		for _, d := range sessions {
			d.close()
		}
		errs = append(errs, w.gossip.Close())
		w.wg.Wait()
	})
	return errors.Join(errs...)
}

// leaveQuietly tells gossip that this node goes. Raft is told nothing: the node stays a member.
func (w *network) leaveQuietly() error {
	if w.gossip == nil || w.gossip.list == nil {
		return nil
	}
	if err := w.gossip.list.Leave(leaveTime); err != nil {
		w.node.log.Debug("gossip did not spread that this node stops", "error", err)
	}
	return nil
}

const leaveTime = 300 * time.Millisecond
