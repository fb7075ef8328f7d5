package clustertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/cluster"
)

// FaultTransport carries raft's calls over a Network. Each call passes the fault table twice, there and back; a lost one
// fails after the timeout and never blocks for ever. It speaks everything the production transport speaks, pre-votes
// and leadership transfer included, so that raft runs the same protocol here.
type FaultTransport struct {
	port      *port
	addresses raft.ServerAddressProvider
	consumer  chan raft.RPC
	heartbeat atomic.Pointer[func(raft.RPC)]
}

var _ cluster.RaftTransport = (*FaultTransport)(nil)

// transport makes the port's raft transport; addresses say where a server is now.
func (p *port) transport(addresses raft.ServerAddressProvider) cluster.RaftTransport {
	t := &FaultTransport{port: p, addresses: addresses, consumer: make(chan raft.RPC)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raft = t
	return t
}

func (p *port) raftTransport() *FaultTransport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.raft
}

// Consumer gives raft its incoming calls.
func (t *FaultTransport) Consumer() <-chan raft.RPC { return t.consumer }

// LocalAddr is this node's address.
func (t *FaultTransport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.port.address) }

// EncodePeer puts an address into messages as it is.
func (t *FaultTransport) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// DecodePeer reads it back.
func (t *FaultTransport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler keeps the fast path for heartbeats, which runs beside raft's main loop as in production.
func (t *FaultTransport) SetHeartbeatHandler(f func(raft.RPC)) { t.heartbeat.Store(&f) }

// AppendEntriesPipeline is refused, so that every AppendEntries passes the fault table by itself.
func (t *FaultTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (t *FaultTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return call(t, id, target, req, nil, resp)
}

// RequestVote implements raft.Transport.
func (t *FaultTransport) RequestVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return call(t, id, target, req, nil, resp)
}

// RequestPreVote implements raft.WithPreVote.
func (t *FaultTransport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return call(t, id, target, req, nil, resp)
}

// TimeoutNow implements raft.Transport: leadership transfer.
func (t *FaultTransport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return call(t, id, target, req, nil, resp)
}

// installTime is how long a snapshot travels. It must take some: raft may send one again and again to a follower whose
// log has parted from the leader's, and if that took no time, no clock in the bubble would ever go on to end it.
const installTime = 20 * time.Millisecond

// InstallSnapshot implements raft.Transport; a Fault may break the stream off.
func (t *FaultTransport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	content, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	time.Sleep(installTime)
	return call(t, id, target, req, content, resp)
}

// Close leaves the port to whoever opened it.
func (t *FaultTransport) Close() error { return nil }

// errLost is the end of a call whose question or answer was lost.
var errLost = errors.New("clustertest: the call timed out")

func call[Q, A any](t *FaultTransport, id raft.ServerID, target raft.ServerAddress, req *Q, content []byte, resp *A) error {
	n := t.port.network
	at := string(target)
	if a, err := t.addresses.ServerAddr(id); err == nil {
		at = bare(string(a))
	}
	p := n.find(at)
	if p == nil || p.raftTransport() == nil {
		return fmt.Errorf("%s: %w", at, errUnreachable)
	}
	start := time.Now()
	lost := func() error {
		select {
		case <-time.After(max(n.timeout-time.Since(start), time.Millisecond)):
		case <-t.port.closed:
		}
		return errLost
	}
	f, _ := n.fault(t.port.name, p.name, Raft)
	if !n.pass(t.port.name, p.name, Raft) {
		return lost()
	}
	if content != nil && f.CutAfter > 0 && int64(len(content)) > f.CutAfter {
		content = content[:f.CutAfter]
	}
	if n.chance(f.Duplicate) {
		if _, err := p.raftTransport().deliver(t.port, clone(req), content, n.timeout); err != nil {
			return lost()
		}
	}
	answer, err := p.raftTransport().deliver(t.port, clone(req), content, n.timeout)
	if err != nil {
		return err
	}
	if !n.pass(p.name, t.port.name, Raft) {
		return lost()
	}
	if answer.Error != nil {
		return answer.Error
	}
	*resp = *answer.Response.(*A)
	return nil
}

// clone keeps the two nodes from sharing the struct; what it points to is immutable.
func clone[Q any](req *Q) *Q {
	c := *req
	return &c
}

// deliver hands a call to this node's raft and waits for the answer.
func (t *FaultTransport) deliver(from *port, req any, content []byte, timeout time.Duration) (raft.RPCResponse, error) {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: req, RespChan: answer}
	if content != nil {
		rpc.Reader = bytes.NewReader(content)
	}
	expired := time.NewTimer(timeout)
	defer expired.Stop()
	if beat := t.heartbeat.Load(); beat != nil && isHeartbeat(req) {
		select {
		case <-t.port.closed:
			return raft.RPCResponse{}, errUnreachable
		default:
			(*beat)(rpc)
		}
	} else {
		select {
		case t.consumer <- rpc:
		case <-t.port.closed:
			return raft.RPCResponse{}, errUnreachable
		case <-from.closed:
			return raft.RPCResponse{}, errUnreachable
		case <-expired.C:
			return raft.RPCResponse{}, errLost
		}
	}
	select {
	case a := <-answer:
		return a, nil
	case <-t.port.closed:
	case <-from.closed:
	case <-expired.C:
	}
	return raft.RPCResponse{}, errLost
}

func isHeartbeat(req any) bool {
	a, ok := req.(*raft.AppendEntriesRequest)
	return ok && a.Term != 0 && a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}
