package transport

import (
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// watchIdle is how long a watch stays silent before it sends an empty message, so that both sides notice a dead
// connection, and the watcher learns how current it is.
const watchIdle = 15 * time.Second

// maxWatched bounds the keys that one watch may name.
const maxWatched = 1000

// answer is what a watcher was sent for one flag.
type answer struct {
	result   evaluator.Result
	metadata []evaluator.Attribute
}

// watch is one watcher: what it was sent for each flag. It keeps results, not messages, because most changes of a flag do
// not change what this context gets.
type watch struct {
	subject
	keys  []string // nil: all flags
	sent  map[string]answer
	epoch string
	at    uint64 // revision of the snapshot that sent reflects
}

func (s evaluationService) Watch(ctx context.Context, r *hoistv1.WatchRequest, out *connect.ServerStream[hoistv1.WatchResponse]) error {
	if len(r.GetKeys()) > maxWatched {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "keys", Detail: "name at most 1000 flags, or none for all of them"}
	}
	who, err := s.subject(ctx, r.GetEnvironment(), r.GetContext(), r.GetRead())
	if err != nil {
		return err
	}
	who.place.use.Whole() // whichever flags it names: nobody says which it looks at
	leave, err := s.streams.enter("watch")
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := s.streams.bound(ctx)
	defer cancel()
	w := &watch{subject: who, keys: r.GetKeys()}
	live := who.place.live
	snapshot, idle := live.Snapshot(), time.Now()
	for {
		m := w.step(snapshot)
		if now := time.Now(); !empty(m) || !now.Before(idle) {
			m.Position = s.from(who.place.scope, snapshot)
			if err := out.Send(m); err != nil {
				return slow(ctx, err)
			}
			idle = now.Add(watchIdle)
		}
		if snapshot, err = w.next(ctx, live, snapshot, idle); err != nil {
			if s.streams.over(ctx) {
				return nil
			}
			return err
		}
	}
}

// empty tells whether a message says nothing new.
func empty(m *hoistv1.WatchResponse) bool {
	return !m.GetReset_() && len(m.GetEvaluations())+len(m.GetRemoved()) == 0
}

// next waits until a watched flag may have changed, or the watch has been idle.
func (w *watch) next(ctx context.Context, live *evaluator.Live, seen *evaluator.Snapshot, idle time.Time) (*evaluator.Snapshot, error) {
	quiet, cancel := context.WithDeadline(ctx, idle)
	defer cancel()
	for {
		next, err := live.Wait(quiet, seen)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return seen, nil // idle
		case w.touched(next):
			return next, nil
		}
		seen, w.at = next, next.Revision()
	}
}

// touched tells whether anything that decides a watched flag changed after what was sent.
func (w *watch) touched(s *evaluator.Snapshot) bool {
	if s.Epoch() != w.epoch {
		return true
	}
	if w.keys == nil {
		return s.Revision() > w.at
	}
	for _, key := range w.keys {
		_, known := w.sent[key]
		if absent := w.gone(s, key); absent == known || !absent && s.ClosureRevision(key) > w.at {
			return true
		}
	}
	return false
}

func (w *watch) gone(s *evaluator.Snapshot, key string) bool {
	flag, _, ok := s.Flag(key)
	return !ok || !w.sees(flag)
}

// step evaluates what may have changed and returns what did.
func (w *watch) step(s *evaluator.Snapshot) *hoistv1.WatchResponse {
	m := &hoistv1.WatchResponse{}
	if s.Epoch() != w.epoch {
		m.Reset_, w.epoch, w.at, w.sent = true, s.Epoch(), 0, map[string]answer{}
	}
	if w.keys != nil {
		for _, key := range w.keys {
			if flag, _, ok := s.Flag(key); ok && w.sees(flag) {
				w.look(s, flag, m)
			}
		}
	} else if m.Reset_ || s.Revision() > w.at {
		for _, flag := range s.Flags() {
			if w.sees(flag) {
				w.look(s, flag, m)
			}
		}
	}
	for key := range w.sent {
		if w.gone(s, key) {
			delete(w.sent, key)
			m.Removed = append(m.Removed, key)
		}
	}
	w.at = s.Revision()
	return m
}

func (w *watch) look(s *evaluator.Snapshot, flag *evaluator.Compiled, m *hoistv1.WatchResponse) {
	last, known := w.sent[flag.Key()]
	if known && s.ClosureRevision(flag.Key()) <= w.at {
		return
	}
	result := w.shown(s.EvaluateCompiled(flag, &w.context))
	w.place.count(doorWatch, flag.Key(), &result)
	now := answer{result, flag.Metadata()}
	if known && last.equal(now) {
		return
	}
	w.sent[flag.Key()] = now
	m.Evaluations = append(m.Evaluations, evaluationMessage(flag, result))
}

// equal compares all that a watcher is shown.
func (a answer) equal(b answer) bool {
	x, y := a.result, b.result
	return x.HasValue == y.HasValue && x.Variant == y.Variant && x.Reason == y.Reason && x.RuleID == y.RuleID &&
		x.Label == y.Label && x.ErrorCode == y.ErrorCode && x.Detail == y.Detail && x.Value.Equal(y.Value) &&
		slices.EqualFunc(a.metadata, b.metadata, func(m, n evaluator.Attribute) bool {
			return m.Name == n.Name && m.Value.Equal(n.Value)
		})
}
