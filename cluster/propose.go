package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/fsm"
)

const (
	enqueueTimeout  = 2 * time.Second  // to hand an entry to raft
	defaultDeadline = 10 * time.Second // for a caller without one
	retryPause      = 20 * time.Millisecond
)

// verdict says what one attempt to write left behind.
type verdict byte

const (
	settled   verdict = iota // the outcome is final: a receipt or an error of the law
	notLogged                // certainly not in the log: try again freely
	noLeader                 // notLogged, because nobody leads
	unknown                  // may be in the log: try again only under the same request id
)

// attempt is the result of one try.
type attempt struct {
	verdict verdict
	receipt fsm.Receipt
	err     error
}

// Propose gets the proposal committed through whichever node leads, and returns when it is applied here, so that the
// caller reads its write on the node it asked. A proposal without a request id gets one.
//
// Until the caller's deadline (10 s without one) it tries again by itself: freely after an attempt that certainly did
// not reach the log, and under the same request id, which the law executes once, after an attempt that may have. Errors
// are *fsm.Error. UNKNOWN_OUTCOME: the write may still happen; repeat it with the same request id. NO_QUORUM and
// NOT_LEADER: it certainly did not happen. BEHIND comes with a valid receipt: it is committed, but not yet applied here.
func (n *Node) Propose(ctx context.Context, p *fsm.Proposal) (fsm.Receipt, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	proposal := *p
	if proposal.RequestID == "" {
		proposal.RequestID = fsm.NewRequestID(time.Now().UnixMilli(), uuid.New())
	}
	size := len(proposal.Command)
	if err := n.callers.enter(size); err != nil {
		return fsm.Receipt{}, err
	}
	defer n.callers.leave(size)
	return n.untilSettled(ctx, &proposal)
}

// untilSettled repeats attempts until one settles, the caller's deadline ends, or there has been no leader for too long.
func (n *Node) untilSettled(ctx context.Context, p *fsm.Proposal) (fsm.Receipt, error) {
	patience := n.patience()
	var leaderless time.Time
	maybe := false // an earlier attempt may be in the log
	for {
		changed := n.changed.wait()
		a := n.try(ctx, p)
		switch a.verdict {
		case settled:
			return n.settle(ctx, a)
		case unknown:
			maybe = true
		}
		if a.verdict != noLeader {
			leaderless = time.Time{}
		} else if leaderless.IsZero() {
			leaderless = time.Now()
		}
		if ctx.Err() != nil || n.closing.Load() || !leaderless.IsZero() && time.Since(leaderless) >= patience {
			return fsm.Receipt{}, n.giveUp(a, maybe)
		}
		wait := time.NewTimer(retryPause)
		select {
		case <-changed:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
	}
}

// patience is how long a write waits for somebody to lead: an election takes less.
func (n *Node) patience() time.Duration { return n.timings.heartbeat + time.Second }

// try makes one attempt, at most one hop away.
func (n *Node) try(ctx context.Context, p *fsm.Proposal) attempt {
	if n.closing.Load() {
		return attempt{verdict: notLogged, err: errClosing}
	}
	if l := n.lead.Load(); l != nil {
		return n.applyHere(ctx, l, p)
	}
	switch _, id := n.raft().LeaderWithID(); string(id) {
	case "":
		return attempt{verdict: noLeader}
	case n.id():
		return attempt{verdict: notLogged} // elected, but the term is not established yet
	default:
		return n.forward(ctx, string(id), p)
	}
}

// settle turns the final outcome into what the caller sees. It waits until the state here shows it: the write itself,
// or the revision that a conflict speaks of.
func (n *Node) settle(ctx context.Context, a attempt) (fsm.Receipt, error) {
	revision := a.receipt.Revision
	var known *fsm.Error
	if errors.As(a.err, &known) {
		revision = known.Revision
		if known.Kind == fsm.KindFenced {
			n.metrics.fenced.Inc()
		}
	}
	if err := n.cfg.Store.Wait(ctx, revision); err != nil && a.err == nil {
		return a.receipt, &fsm.Error{Kind: fsm.KindBehind, Op: "propose", Revision: n.cfg.Store.State().Index(),
			Detail: "the write is committed, but this node has not applied it before the deadline: ask with min_revision", Err: err}
	}
	return a.receipt, a.err
}

// giveUp names the end of a write that did not settle.
func (n *Node) giveUp(last attempt, maybe bool) error {
	e := &fsm.Error{Op: "propose", Err: last.err}
	switch {
	case maybe:
		n.metrics.unknown.Inc()
		e.Kind, e.Detail = fsm.KindUnknownOutcome, "the write was sent, but no answer came: it may or may not happen; repeat it with the same request id to find out"
	case errors.Is(last.err, errClosing):
		e.Kind, e.Detail = fsm.KindNotLeader, "this node is stopping: repeat the write on another node"
	case last.verdict == noLeader:
		e.Kind, e.Detail = fsm.KindNoQuorum, "no majority of the voters agrees on a leader, so nothing can be written; evaluations keep working"
	default:
		e.Kind, e.Detail = fsm.KindNotLeader, "the leader could not be reached, so the write did not happen: repeat it, here or on another node"
	}
	return e
}

var errClosing = errors.New("the node is stopping")

// applyHere appends the proposal on the leader, stamped with the leader's time, and waits for its outcome.
func (n *Node) applyHere(ctx context.Context, l *leadership, p *fsm.Proposal) attempt {
	stamped := *p
	stamped.At = l.clock.now()
	// What no state is needed for is judged before the log: one entry that does not decode would stop every node.
	if err := n.cfg.Store.State().Admit(&stamped); err != nil {
		return attempt{err: err}
	}
	if err := n.inMaintenance(); err != nil {
		return attempt{err: err}
	}
	if a, ok := n.writable(); !ok {
		return a
	}
	data := stamped.Encode()
	if err := n.appends.enter(len(data)); err != nil {
		return attempt{err: err}
	}
	timeout := enqueueTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = max(min(timeout, time.Until(d)), time.Nanosecond)
	}
	future := n.raft().Apply(data, timeout)
	if bug.On("B02") { // told before a majority has it
		soon := n.raft().LastIndex() + 1
		n.appends.leave(len(data))
		return attempt{receipt: fsm.Receipt{Epoch: n.cfg.Store.State().Epoch(), Revision: soon, Object: soon, Changed: true}}
	}
	err := n.await(ctx, releasing{future, func() { n.appends.leave(len(data)) }})
	if errors.Is(err, raft.ErrAbortedByRestore) {
		return attempt{err: &fsm.Error{Kind: fsm.KindRestored, Op: "propose", Detail: "the cluster was restored from a backup meanwhile and the write did not happen: read again, then decide", Err: err}}
	}
	if err != nil {
		return attempt{verdict: judge(err), err: err}
	}
	outcome, ok := future.Response().(fsm.Outcome)
	if !ok {
		return attempt{verdict: unknown}
	}
	if errors.Is(outcome.Err, errHalted) {
		return attempt{verdict: unknown, err: outcome.Err}
	}
	var law *fsm.LawError
	if errors.As(outcome.Err, &law) {
		return attempt{err: &fsm.Error{Kind: fsm.KindInternal, Op: "propose", Detail: law.Detail, Err: law}}
	}
	return attempt{receipt: outcome.Receipt, err: outcome.Err}
}

// releasing gives room back when the future ends, not when its caller leaves.
type releasing struct {
	raft.Future
	release func()
}

func (r releasing) Error() error {
	defer r.release()
	return r.Future.Error()
}

// judge tells what an error of raft says about the log. Whatever is not known to be harmless may have been written.
func judge(err error) verdict {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return notLogged
	}
	return unknown
}
