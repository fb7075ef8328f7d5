package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	persistFor   = 10 * time.Second // like the longest call of raft's transport
	persistPause = 10 * time.Millisecond
)

// AppendEntries stays with a peer that cannot be reached. Raft would pause for twice as long after each failure, up to ten
// seconds, and a peer that is there again would be left without entries for as long as it had been away; writes through it
// would wait for that. The pauses here are short, and end when the peer is heard of.
func (s steadfast) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	t := s.transport
	pause := persistPause
	for began := time.Now(); ; {
		back := t.returns.of(id) // before the call: what happens meanwhile counts
		err := t.AppendEntries(id, target, req, resp)
		if err == nil || time.Since(began) >= persistFor || !t.leads(req.Term) {
			return err
		}
		wait := time.NewTimer(pause)
		select {
		case <-back:
		case <-wait.C:
		case <-t.stop:
		}
		wait.Stop()
		pause = min(2*pause, t.longestPause)
	}
}

// leads tells whether a message of the term may still be sent from here.
func (t *transport) leads(term uint64) bool {
	r := t.raft.Load()
	return r != nil && !t.closed() && !t.leaving.Load() && r.State() == raft.Leader && r.CurrentTerm() == term
}

// leave ends the waiting for peers: the node is being closed.
func (t *transport) leave() {
	t.leaving.Store(true)
	t.returns.all()
}

// returns wakes those who wait for a peer to come back.
type returns struct {
	mu      sync.Mutex
	waiting map[raft.ServerID]chan struct{}
}

// of closes when the peer is next heard of.
func (r *returns) of(id raft.ServerID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[id] == nil {
		r.waiting[id] = make(chan struct{})
	}
	return r.waiting[id]
}

// heard is called when a peer made itself heard.
func (r *returns) heard(id raft.ServerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.waiting[id]; c != nil {
		close(c)
		delete(r.waiting, id)
	}
}

func (r *returns) all() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, c := range r.waiting {
		close(c)
		delete(r.waiting, id)
	}
}
