package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// RaftTransport is what a transport must do for raft to be the protocol we mean: without RequestPreVote raft would only
// warn and hold its elections another way.
type RaftTransport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

// known is what a follower is known to have.
type known struct {
	stored uint64 // its log agrees with the leader's up to here
	told   uint64 // the highest commit index it was told
}

// transport listens to what passes between raft and the network. From incoming entries it learns how far the leader
// has committed (raft itself keeps no more of it than the local log holds), from outgoing ones what each follower has
// been told.
//
// It also brings the news of a commit forward. Raft's messages carry the commit index of the moment they were composed,
// and a follower looks at it only after it has synced the entries of the same message; under load that adds up to two
// batches of delay to every write that waits for its own follower.
type transport struct {
	RaftTransport
	consumer  chan raft.RPC
	heard     func(*raft.AppendEntriesRequest) // a message of a leader arrived
	installed func()                           // raft took a snapshot; the leader hears of it afterwards
	raft      atomic.Pointer[raft.Raft]        // nil until it runs

	mu     sync.Mutex
	known  map[raft.ServerID]known
	behind func() // a follower has entries of whose commit it was not told

	returns      returns // of peers that could not be reached
	leaving      atomic.Bool
	longestPause time.Duration // between two tries to reach one

	stop chan struct{}
	done chan struct{}
	once sync.Once

	watching sync.WaitGroup
}

func newTransport(inner RaftTransport, heard func(*raft.AppendEntriesRequest)) *transport {
	t := &transport{RaftTransport: inner, consumer: make(chan raft.RPC), heard: heard,
		known: map[raft.ServerID]known{}, returns: returns{waiting: map[raft.ServerID]chan struct{}{}}, behind: func() {}, installed: func() {}, stop: make(chan struct{}), done: make(chan struct{})}
	go t.relay()
	return t
}

// relay passes incoming calls on to raft.
func (t *transport) relay() {
	defer close(t.done)
	for {
		select {
		case rpc := <-t.RaftTransport.Consumer():
			if a, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
				t.heard(a)
				if first, ok := t.newsIn(a); ok && !t.hand(first) {
					rpc.Respond(nil, raft.ErrTransportShutdown)
					return
				}
			}
			if _, ok := rpc.Command.(*raft.InstallSnapshotRequest); ok {
				rpc = t.watchInstall(rpc)
			}
			if !t.hand(rpc) {
				rpc.Respond(nil, raft.ErrTransportShutdown)
				return
			}
		case <-t.stop:
			return
		}
	}
}

// watchInstall puts a look at raft between its answer to a snapshot and the leader.
func (t *transport) watchInstall(rpc raft.RPC) raft.RPC {
	answer := make(chan raft.RPCResponse, 1)
	leader := rpc.RespChan
	rpc.RespChan = answer
	t.watching.Go(func() {
		select {
		case a := <-answer:
			t.installed()
			leader <- a
		case <-t.stop:
			leader <- raft.RPCResponse{Error: raft.ErrTransportShutdown}
		}
	})
	return rpc
}

func (t *transport) hand(rpc raft.RPC) bool {
	select {
	case t.consumer <- rpc:
		return true
	case <-t.stop:
		return false
	}
}

// commitIndex is what this node knows to be committed.
func (t *transport) commitIndex() uint64 {
	if r := t.raft.Load(); r != nil {
		return r.CommitIndex()
	}
	return 0
}

// freshen puts the commit index of now into a message of this leader, as far as the message speaks of the log. The term
// is looked at after the index: as long as the term is the message's own, the index was committed in this very log.
func (t *transport) freshen(req *raft.AppendEntriesRequest) {
	last := req.PrevLogEntry + uint64(len(req.Entries))
	r := t.raft.Load()
	if last == 0 || r == nil { // the first is a heartbeat
		return
	}
	news := min(r.CommitIndex(), last)
	if news > req.LeaderCommitIndex && r.CurrentTerm() == req.Term {
		req.LeaderCommitIndex = news
	}
}

// newsIn splits the news of a commit off a message with entries, so that raft applies before it syncs. What is split
// off is the same message without its entries: it claims nothing that the whole does not.
func (t *transport) newsIn(a *raft.AppendEntriesRequest) (raft.RPC, bool) {
	news := min(a.LeaderCommitIndex, a.PrevLogEntry)
	if len(a.Entries) == 0 || t.raft.Load() == nil || news <= t.commitIndex() {
		return raft.RPC{}, false
	}
	first := *a
	first.Entries, first.LeaderCommitIndex = nil, news
	return raft.RPC{Command: &first, RespChan: make(chan raft.RPCResponse, 1)}, true // nobody reads the answer
}

// Consumer gives raft its incoming calls.
func (t *transport) Consumer() <-chan raft.RPC { return t.consumer }

// AppendEntries sends with the commit index of now, and notes what the follower stored and was told.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if t.closed() {
		return raft.ErrTransportShutdown
	}
	t.freshen(req)
	err := t.RaftTransport.AppendEntries(id, target, req, resp)
	if err != nil || !resp.Success || req.PrevLogEntry == 0 && len(req.Entries) == 0 {
		return err
	}
	t.mu.Lock()
	k := t.known[id]
	k.stored = req.PrevLogEntry + uint64(len(req.Entries))
	k.told = max(k.told, min(req.LeaderCommitIndex, k.stored))
	t.known[id] = k
	t.mu.Unlock()
	if len(req.Entries) > 0 {
		t.behind()
	}
	return nil
}

// RequestVote and RequestPreVote end with the transport, as AppendEntries does: a node cut off from its peers for the
// sake of a hung disk must neither lead nor be elected, and raft's own transport goes on dialing after its Close.
func (t *transport) RequestVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if t.closed() {
		return raft.ErrTransportShutdown
	}
	return t.RaftTransport.RequestVote(id, target, req, resp)
}

// RequestPreVote is like RequestVote.
func (t *transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if t.closed() {
		return raft.ErrTransportShutdown
	}
	return t.RaftTransport.RequestPreVote(id, target, req, resp)
}

func (t *transport) closed() bool {
	select {
	case <-t.stop:
		return true
	default:
		return false
	}
}

// wants tells whether the follower has the entry at index and does not know that it is committed.
func (t *transport) wants(id raft.ServerID, index uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[id]
	return k.stored >= index && k.told < index
}

// forget drops what was known of the followers; a new term starts without it.
func (t *transport) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known)
}

// Close closes the network below and the relay.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.stop) })
	err := t.RaftTransport.Close()
	<-t.done
	t.watching.Wait()
	return err
}
