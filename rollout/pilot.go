package rollout

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Cluster is what the pilot needs from whoever keeps the log.
type Cluster interface {
	// Leading returns the term in which this node leads, once everything committed before is applied here.
	Leading() (term uint64, ok bool)
	// Now is the leader's time, which stamps the entries. It is asked only while leading.
	Now() time.Time
	// Changed returns a channel that closes when leadership changes. Take it first, then ask Leading.
	Changed() <-chan struct{}
	// Propose returns when the proposal is applied here. Errors are *fsm.Error.
	Propose(ctx context.Context, p *fsm.Proposal) (fsm.Receipt, error)
}

// Meters hears what the pilot does; nil methods do not exist, a nil Meters is allowed.
type Meters interface {
	Decided(move fsm.Move)
	Queried(provider string, err bool)
	Delivered(receiver string, err bool)
}

// Pilot moves the rollouts of a cluster while its node leads. It keeps nothing that matters: everything it knows it reads
// from the state, so another leader goes on where this one stopped.
type Pilot struct {
	Store     *fsm.Store
	Cluster   Cluster
	Sources   Sources
	Messenger Messenger    // nil: notices wait until a leader has one
	Meters    Meters       // may be nil
	Logger    *slog.Logger // may be nil

	sent atomic.Uint64 // proposals so far: numbers their request ids
}

// Pace of the pilot: measurements of one second are one log entry, and a busy state does not wake it more often than this.
const (
	measuredEvery = time.Second
	passEvery     = 10 * time.Millisecond
	proposeFor    = 10 * time.Second
	retryAfter    = 200 * time.Millisecond
)

// Run moves rollouts until ctx ends. It returns nil then.
func (p *Pilot) Run(ctx context.Context) error {
	if p.Store == nil || p.Cluster == nil {
		return errors.New("rollout: Pilot.Store and Pilot.Cluster are required")
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	for ctx.Err() == nil {
		changed := p.Cluster.Changed()
		if term, ok := p.Cluster.Leading(); ok {
			p.lead(ctx, term, changed)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return nil
}

// lead runs one term. It ends, with everything it started, when leadership changes.
func (p *Pilot) lead(ctx context.Context, term uint64, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	watch := newSurvey(ctx, p, term)
	defer watch.wait()
	defer cancel()
	for {
		news := p.Store.Changed()
		wake := watch.pass()
		timer := time.NewTimer(wake)
		select {
		case <-news:
		case <-watch.arrived:
		case <-timer.C:
		case <-changed:
			timer.Stop()
			changed = p.Cluster.Changed()
			if now, ok := p.Cluster.Leading(); !ok || now != term {
				return
			}
			continue
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		select { // a state that changes all the time is looked at a hundred times a second
		case <-time.After(passEvery):
		case <-ctx.Done():
			return
		}
	}
}

// system is the actor of everything the pilot proposes.
func system() fsm.Actor { return fsm.Actor{Kind: fsm.ActorSystem, ID: "pilot"} }

// propose sends a command under the fence of the term.
func (p *Pilot) propose(ctx context.Context, term uint64, revision *uint64, c fsm.Command) error {
	_, err := p.proposeAs(ctx, "", term, revision, c)
	return err
}

// expectedRefusal tells whether an error is what fences are for: somebody else was faster, and the state says what is next.
func expectedRefusal(err error) bool {
	var e *fsm.Error
	if !errors.As(err, &e) {
		return errors.Is(err, context.Canceled)
	}
	switch e.Kind {
	case fsm.KindConflict, fsm.KindFenced, fsm.KindIllegal, fsm.KindState, fsm.KindFrozen:
		return true
	}
	return false
}
