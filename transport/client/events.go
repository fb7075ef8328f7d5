package client

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

// EventKind says what has happened to a client.
type EventKind string

// The kinds of events.
const (
	EventReady   EventKind = "READY"   // there is something to serve, and it is current; again after STALE and ERROR
	EventStale   EventKind = "STALE"   // what is served is older than Config.StaleAfter
	EventChanged EventKind = "CHANGED" // some flags may answer differently: Flags
	EventError   EventKind = "ERROR"   // the client is not connected: Err; it goes on trying and serving
)

// Event is something that has happened to a client.
type Event struct {
	Kind     EventKind
	Flags    []string // whose answers may have changed, sorted; what they refer to counts
	Revision uint64   // of the snapshot
	Err      error
}

// Events yields what happens from now on until ctx ends. It begins with how things stand: EventReady or EventStale as
// soon as there is something to serve. Who is slow misses nothing that still matters: changes fold into one event.
func (c *Client) Events(ctx context.Context) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		e := &observation{client: c}
		for ctx.Err() == nil {
			var wake <-chan struct{}
			if c.replica != nil {
				wake = c.replica.place.Load().replaced // taken before looking, so that nothing falls between
			}
			for _, event := range e.look() {
				if !yield(event) {
					return
				}
			}
			e.wait(ctx, wake)
		}
	}
}

// observation is what one reader of events was told so far.
type observation struct {
	client *Client
	seen   *evaluator.Snapshot // nil: nothing to serve yet
	told   EventKind           // EventReady or EventStale
	failed string              // the text of the last error
}

// look compares how things stand with what was told.
func (o *observation) look() []Event {
	var out []Event
	status := o.client.Status()
	now := o.client.live.Snapshot()
	if status.Err == nil && o.failed != "" {
		o.failed = ""
		if o.told == EventReady {
			o.told = "" // ERROR came after it: say it again
		}
	}
	if status.Err != nil && status.Err != errNotYet && status.Err.Error() != o.failed { //nolint:errorlint // it is never wrapped
		o.failed = status.Err.Error()
		out = append(out, Event{Kind: EventError, Revision: now.Revision(), Err: status.Err})
	}
	if now.Epoch() == "" || status.KnownAt.IsZero() {
		return out
	}
	// Changes first: whoever hears READY has heard of everything that was missed until then.
	if o.seen != nil && o.seen != now {
		if flags := touched(o.seen, now); len(flags) > 0 {
			out = append(out, Event{Kind: EventChanged, Flags: flags, Revision: now.Revision()})
		}
	}
	o.seen = now
	kind := EventReady
	if o.client.stale(status) {
		kind = EventStale
	}
	if kind != o.told {
		o.told = kind
		out = append(out, Event{Kind: kind, Revision: now.Revision()})
	}
	return out
}

// wait returns when something may have happened: a new status, a new snapshot, or data that has become stale.
func (o *observation) wait(ctx context.Context, wake <-chan struct{}) {
	if wake == nil {
		if _, err := o.client.live.Wait(ctx, o.seen); err != nil {
			return // ctx has ended, which the caller sees
		}
		return
	}
	var stale <-chan time.Time
	if o.told == EventReady {
		timer := time.NewTimer(o.client.staleAfter - o.client.Status().Age() + time.Millisecond)
		defer timer.Stop()
		stale = timer.C
	}
	select {
	case <-wake:
	case <-stale:
	case <-ctx.Done():
	}
}

// touched lists the flags whose answers may differ between two snapshots.
func touched(before, after *evaluator.Snapshot) []string {
	var out []string
	other := before.Epoch() != after.Epoch()
	for _, f := range after.Flags() {
		if other || after.ClosureRevision(f.Key()) > before.Revision() {
			out = append(out, f.Key())
		}
	}
	for _, f := range before.Flags() {
		if _, _, ok := after.Flag(f.Key()); !ok {
			out = append(out, f.Key())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
