package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/fsm"
)

// leadership is one term of this node as a leader whose LeaderEstablished entry is applied here. Nothing is proposed
// for others before that: everything committed earlier is then in the local state, and so is the cluster's identity.
type leadership struct {
	term    uint64
	clock   clock
	checked uint64 // index of the last checksum proposed; owned by duties
}

// system is the actor of entries the cluster proposes for itself.
var system = fsm.Actor{Kind: "system", ID: "cluster"}

// followLeadership runs one leader loop per term won. Raft blocks on notify, so this goroutine never waits for anything
// but the end of its own loop; true twice means lost and won again.
func (n *Node) followLeadership(notify <-chan bool) {
	stop := func() {}
	for {
		select {
		case won := <-notify:
			stop()
			stop = func() {}
			if won {
				stop = n.startTerm()
			}
			n.changed.raise()
		case <-n.ctx.Done():
			stop()
			return
		}
	}
}

// startTerm runs the leader loop and returns what ends it and waits for it.
func (n *Node) startTerm() (stop func()) {
	ctx, cancel := context.WithCancel(n.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.leadTerm(ctx)
	}()
	return func() { cancel(); <-done }
}

func (n *Node) leadTerm(ctx context.Context) {
	for failures := 1; ctx.Err() == nil; failures++ {
		l, err := n.establish(ctx)
		if err == nil {
			n.log.Info("leading", "term", l.term)
			n.lead.Store(l)
			n.changed.raise()
			n.inTerm(ctx, l)
			n.lead.Store(nil)
			n.changed.raise()
			return
		}
		if ctx.Err() != nil {
			return
		}
		n.log.Warn("leadership could not be established", "error", err, "failures", failures)
		if failures <= 3 {
			if err := n.raft().LeadershipTransfer().Error(); err != nil {
				n.log.Warn("leadership could not be handed on", "error", err)
			}
		}
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
	}
}

// establish commits the first entry of the term and waits until it is applied here. It serves as the barrier: an entry
// of raft's own barrier kind would never reach the state machine, and whoever waits for its index would wait for ever.
func (n *Node) establish(ctx context.Context) (*leadership, error) {
	term := n.raft().CurrentTerm()
	state := n.cfg.Store.State()
	command := fsm.LeaderEstablished{Term: term, ServerID: n.id(), LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion}
	if state.ClusterID() == "" {
		command.ClusterID, command.Epoch = uuid.NewString(), uuid.NewString()
	}
	correction := n.clockCorrection()
	if bug.On("B11") {
		correction = 0
	}
	provisional := newClock(n.cfg.Hooks.Wall(), correction, state.Now())
	if bug.On("B07") { // leads before it knows what was committed
		n.goes(func() { _ = n.proposeOwn(n.ctx, command, provisional.now()) })
		return &leadership{term: term, clock: provisional}, nil
	}
	if err := n.proposeOwn(ctx, command, provisional.now()); err != nil {
		return nil, err
	}
	if got := n.cfg.Store.State().EstablishedTerm(); got != term {
		return nil, fmt.Errorf("term %d is established, not %d", got, term)
	}
	l := &leadership{term: term}
	l.clock = newClock(n.cfg.Hooks.Wall(), correction, n.cfg.Store.State().Now())
	return l, n.learnNow()
}

// proposeOwn appends a command of the cluster itself and waits until it is applied.
func (n *Node) proposeOwn(ctx context.Context, c fsm.Command, at int64) error {
	encoded, err := fsm.EncodeCommand(c)
	if err != nil {
		return err
	}
	p := fsm.Proposal{Actor: system, At: at, Command: encoded}
	future := n.raft().Apply(p.Encode(), enqueueTimeout)
	if err := n.await(ctx, future); err != nil {
		return fmt.Errorf("%s: %w", c.Verb(), err)
	}
	outcome, ok := future.Response().(fsm.Outcome)
	if !ok {
		return fmt.Errorf("%s: no outcome", c.Verb())
	}
	return outcome.Err
}

// await waits for a future of raft, which knows no context. A caller that leaves is counted until the future ends.
func (n *Node) await(ctx context.Context, f raft.Future) error {
	const waiting, finished, left = 0, 1, 2
	var state atomic.Int32
	done := make(chan error, 1)
	go func() {
		done <- f.Error()
		if !state.CompareAndSwap(waiting, finished) {
			n.metrics.abandoned.Dec()
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		n.metrics.abandoned.Inc()
		if !state.CompareAndSwap(waiting, left) {
			n.metrics.abandoned.Dec()
			return <-done
		}
		return ctx.Err()
	}
}

// inTerm runs everything a leader does, until the term is over.
func (n *Node) inTerm(ctx context.Context, l *leadership) {
	var announcing sync.WaitGroup
	if n.network != nil {
		announcing.Add(1)
		go func() {
			defer announcing.Done()
			n.announce(ctx, l)
		}()
	}
	n.duties(ctx, l)
	announcing.Wait()
}

// duties is what a leader does besides answering: every second it looks after the members, every minute it proposes a
// checksum.
func (n *Node) duties(ctx context.Context, l *leadership) {
	members := time.NewTicker(time.Second)
	defer members.Stop()
	checksums := time.NewTicker(time.Minute)
	defer checksums.Stop()
	for {
		var err error
		select {
		case <-members.C:
			err = n.tendMembers(ctx, l)
		case <-checksums.C:
			err = n.proposeChecksum(ctx, l)
		case <-ctx.Done():
			return
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			n.log.Warn("a duty of the leader failed and will be tried again", "error", err)
		}
	}
}
