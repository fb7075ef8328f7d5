package rollout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Messenger brings a notice to its receiver. It returns nil when the receiver has taken it. Errors may be shown to
// everybody who reads the state, so they hold no address and no secret.
type Messenger interface {
	Deliver(ctx context.Context, n *fsm.Notice) error
}

// ErrRefused in the error of a Messenger says that the receiver will never take this notice, however often it is sent.
var ErrRefused = errors.New("the receiver refuses it")

// Pace of the outbox: the first try is at once, then pauses double up to the longest, each shortened at random so that
// receivers which come back are not met by everything at the same moment.
const (
	deliverFor   = 15 * time.Second
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	giveUpAfter  = 72 * time.Hour
	settledEvery = time.Second
	mostSettled  = 100 // in one entry
)

// outbox delivers, in one term, what waits in the state: to each receiver in order, to all of them side by side. What
// was delivered is said in the log at most once a second; whatever is lost by then another leader sends again, with the
// same ID.
type outbox struct {
	ctx     context.Context
	pilot   *Pilot
	term    uint64
	arrived chan struct{} // wakes the term's loop
	working sync.WaitGroup

	mu      sync.Mutex
	busy    map[string]bool   // receivers with a courier
	through map[string]uint64 // what this term has done with, per receiver
	settled []fsm.Settled     // not in the log yet

	lastSent time.Time
}

func newOutbox(ctx context.Context, p *Pilot, term uint64, arrived chan struct{}) *outbox {
	return &outbox{ctx: ctx, pilot: p, term: term, arrived: arrived, busy: map[string]bool{}, through: map[string]uint64{}}
}

// pass sends couriers and says in the log what they came back with. It returns when there is something to say again.
func (o *outbox) pass(now time.Time, state *fsm.State) time.Time {
	next := now.Add(idle)
	if o.pilot.Messenger == nil {
		return next
	}
	for _, r := range state.Receivers() {
		if o.hire(r) {
			o.working.Go(func() { o.courier(r.Name) })
		}
	}
	return o.commit(now)
}

// commit says in the log what the couriers came back with.
func (o *outbox) commit(now time.Time) time.Time {
	wait := settledEvery - now.Sub(o.lastSent)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.settled) == 0:
		return now.Add(idle)
	case wait > 0 && wait <= settledEvery:
		return now.Add(wait)
	}
	list := o.settled[:min(len(o.settled), mostSettled)]
	rest := o.settled[len(list):]
	o.settled = nil
	o.mu.Unlock()
	err := o.pilot.propose(o.ctx, o.term, nil, fsm.SettleNotices{Settled: list})
	o.mu.Lock()
	if err == nil {
		o.settled, o.lastSent = slices.Concat(rest, o.settled), now
		return now.Add(settledEvery)
	}
	if !expectedRefusal(err) {
		o.pilot.Logger.Warn("what was delivered could not be recorded and will be said again", "error", err)
	}
	o.settled = slices.Concat(list, rest, o.settled)
	return now.Add(retryAfter)
}

// hire tells whether the receiver needs a courier, and notes that it has one.
func (o *outbox) hire(r *fsm.Receiver) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting := r.Waiting()
	if o.busy[r.Name] || len(waiting) == 0 || waiting[len(waiting)-1].Seq <= o.through[r.Name] {
		return false
	}
	o.busy[r.Name] = true
	return true
}

// next is the oldest notice that this term has not done with, and whether the log says that its receiver fails.
func (o *outbox) next(to string) (n *fsm.Notice, failing bool) {
	r, ok := o.pilot.Store.State().Receiver(to)
	if !ok {
		return nil, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range r.Waiting() {
		if n.Seq > o.through[to] {
			return n, r.Failing != ""
		}
	}
	return nil, false
}

// courier delivers to one receiver until nothing waits.
func (o *outbox) courier(to string) {
	defer o.wake()
	defer o.dismiss(to)
	pause := firstPause
	for told := false; ; {
		n, failing := o.next(to)
		if n == nil || o.ctx.Err() != nil {
			return
		}
		ctx, cancel := context.WithTimeout(o.ctx, deliverFor)
		err := o.pilot.Messenger.Deliver(ctx, n)
		cancel()
		if m := o.pilot.Meters; m != nil && o.ctx.Err() == nil {
			m.Delivered(to, err != nil)
		}
		switch age := o.pilot.Cluster.Now().Sub(time.UnixMilli(n.At)); {
		case o.ctx.Err() != nil:
			return
		case err == nil:
			o.settle(fsm.Settled{To: to, Through: n.Seq})
			pause, told = firstPause, false
			continue
		case errors.Is(err, ErrRefused):
			o.settle(fsm.Settled{To: to, Through: n.Seq, GaveUp: true, Why: clip(err.Error())})
			continue
		case age > giveUpAfter:
			o.settle(fsm.Settled{To: to, Through: n.Seq, GaveUp: true, Why: clip(fmt.Sprintf("tried for %s: %v", giveUpAfter, err))})
			continue
		case !told && !failing:
			o.settle(fsm.Settled{To: to, Why: clip(err.Error())})
			told = true
		}
		o.pilot.Logger.Warn("a notice could not be delivered and will be sent again", "receiver", to, "notice", n.ID, "error", err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-o.ctx.Done():
			return
		}
		pause = min(2*pause, longestPause)
	}
}

// settle keeps what became of notices until it is in the log. Deliveries that follow each other are one line.
func (o *outbox) settle(x fsm.Settled) {
	o.mu.Lock()
	o.through[x.To] = max(o.through[x.To], x.Through)
	if n := len(o.settled) - 1; n >= 0 && o.settled[n].To == x.To && o.settled[n].Why == "" && x.Why == "" {
		o.settled[n] = x
	} else {
		o.settled = append(o.settled, x)
	}
	o.mu.Unlock()
	o.wake()
}

func (o *outbox) dismiss(to string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy[to] = false
}

func (o *outbox) wake() {
	select {
	case o.arrived <- struct{}{}:
	default:
	}
}
