package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/fsm"
)

// readBatch shares one confirmation among the reads that wait for it. A read may only join a confirmation that starts
// after the read arrived, so everybody joins the next one.
type readBatch struct {
	mu      sync.Mutex
	running bool
	next    *readRound
}

type readRound struct {
	done  chan struct{}
	index uint64
	err   error
}

// join returns the round this read may use, and whether the caller must see to it that rounds are run.
func (b *readBatch) join() (round *readRound, run bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = &readRound{done: make(chan struct{})}
	}
	run, b.running = !b.running, true
	return b.next, run
}

// take starts the next round, or says that nobody waits for one.
func (b *readBatch) take() *readRound {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := b.next
	b.next, b.running = nil, round != nil
	return round
}

// readRoundTime bounds one confirmation.
const readRoundTime = 2 * time.Second

// ReadIndex returns when the local state holds everything that was committed before the call: a read of the Store after
// it is linearizable. It gives the index that was waited for. Without a leader it fails with NO_QUORUM, or with the
// context.
func (n *Node) ReadIndex(ctx context.Context) (uint64, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	index, err := n.readIndexUntil(ctx)
	if err != nil {
		return 0, err
	}
	if err := n.cfg.Store.Wait(ctx, index); err != nil {
		return 0, &fsm.Error{Kind: fsm.KindBehind, Op: "read index", Revision: n.cfg.Store.State().Index(),
			Detail: "this node did not catch up before the deadline", Err: err}
	}
	return index, nil
}

// readIndexUntil asks until somebody confirms an index or patience ends.
func (n *Node) readIndexUntil(ctx context.Context) (uint64, error) {
	deadline := time.Now().Add(n.patience())
	for {
		changed := n.changed.wait()
		index, err := n.joinRound(ctx)
		if err == nil {
			return index, nil
		}
		if ctx.Err() != nil || n.closing.Load() || time.Now().After(deadline) {
			return 0, &fsm.Error{Kind: fsm.KindNoQuorum, Op: "read index", Err: err,
				Detail: "no leader could confirm that this state is current; local reads and evaluations keep working"}
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

func (n *Node) joinRound(ctx context.Context) (uint64, error) {
	round, run := n.reads.join()
	if run {
		if !n.spawn(n.runRounds) {
			return 0, errClosing
		}
	}
	select {
	case <-round.done:
		return round.index, round.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (n *Node) runRounds() {
	for round := n.reads.take(); round != nil; round = n.reads.take() {
		ctx, cancel := context.WithTimeout(n.ctx, readRoundTime)
		round.index, round.err = n.confirm(ctx)
		cancel()
		close(round.done)
	}
}

var errNoLeader = errors.New("no leader is known")

// confirm gets a read index: from itself on a leader, from the leader on a follower.
func (n *Node) confirm(ctx context.Context) (uint64, error) {
	if bug.On("B06") {
		return n.raft().CommitIndex(), nil
	}
	if l := n.lead.Load(); l != nil {
		return n.confirmHere(ctx, l)
	}
	_, id := n.raft().LeaderWithID()
	if id == "" || string(id) == n.id() {
		return 0, errNoLeader
	}
	return n.askReadIndex(ctx, string(id))
}

// confirmHere is the leader's part: the commit index, then proof that nobody else led meanwhile. The established term
// matters: before its first entry is applied, this node's commit index may be older than what a predecessor committed.
func (n *Node) confirmHere(ctx context.Context, l *leadership) (uint64, error) {
	if n.raft().CurrentTerm() != l.term {
		return 0, errNoLeader
	}
	index := n.raft().CommitIndex()
	if err := n.await(ctx, n.raft().VerifyLeader()); err != nil {
		return 0, err
	}
	if n.raft().CurrentTerm() != l.term {
		return 0, errNoLeader
	}
	return index, nil
}
