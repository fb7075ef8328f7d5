package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// announcer tells followers at once what has been committed. Raft tells them with its next message, which on an idle
// cluster is up to two CommitTimeouts away; a writer who asked a follower would wait that long for its own write.
//
// What it sends is what raft itself would send a moment later, an AppendEntries without entries, and every field of it
// is a fact that stays true: in term T this node leads, its entry at index I has term T, and I is committed.
type announcer struct {
	mu    sync.Mutex
	index uint64
	term  uint64
	wake  chan struct{} // capacity 1; nil while not leading
}

// note is called after entries up to index were applied here; it never waits.
func (a *announcer) note(index, term uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index, a.term = index, term
	a.poke()
}

// again looks once more at who needs to be told.
func (a *announcer) again() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.poke()
}

func (a *announcer) poke() {
	if a.wake != nil {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

func (a *announcer) newest() (index, term uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.index, a.term
}

func (a *announcer) begin() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wake = make(chan struct{}, 1)
	return a.wake
}

func (a *announcer) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wake = nil
}

// announce runs for one term. Each follower has at most one announcement under way, and gets the newest when that one
// is done; under load raft's own messages carry the news, and there is nothing to send.
func (n *Node) announce(ctx context.Context, l *leadership) {
	n.transport.forget()
	wake := n.announcer.begin()
	defer n.announcer.end()
	var wg sync.WaitGroup
	defer wg.Wait()
	busy := map[raft.ServerID]bool{}
	done := make(chan raft.ServerID, 16)
	for {
		select {
		case <-wake:
		case id := <-done:
			delete(busy, id)
		case <-ctx.Done():
			return
		}
		index, term := n.announcer.newest()
		if term != l.term {
			continue
		}
		for _, s := range n.raft().GetConfiguration().Configuration().Servers {
			if string(s.ID) == n.id() || busy[s.ID] || !n.transport.wants(s.ID, index) {
				continue
			}
			busy[s.ID] = true
			wg.Add(1)
			go func() {
				defer wg.Done()
				if n.tellCommit(s, index, term) != nil { // raft's own messages will do
					select {
					case <-time.After(announceBackoff):
					case <-ctx.Done():
					}
				}
				select {
				case done <- s.ID:
				case <-ctx.Done():
				}
			}()
		}
	}
}

const announceBackoff = 100 * time.Millisecond

var errNotTold = errors.New("the follower does not take the announcement")

// tellCommit sends one announcement.
func (n *Node) tellCommit(s raft.Server, index, term uint64) error {
	self := n.transport.EncodePeer(raft.ServerID(n.id()), n.transport.LocalAddr())
	request := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.id()), Addr: self},
		Term:      term, PrevLogEntry: index, PrevLogTerm: term, LeaderCommitIndex: index,
	}
	var response raft.AppendEntriesResponse
	err := n.transport.AppendEntries(s.ID, s.Address, &request, &response)
	if err == nil && !response.Success {
		err = errNotTold
	}
	return err
}
