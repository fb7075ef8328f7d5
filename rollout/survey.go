package rollout

import (
	"context"
	"sync"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// survey is one term's look at all live rollouts. What it remembers only saves work: a decision that still holds, a query
// under way, answers that wait for their entry.
type survey struct {
	ctx     context.Context
	pilot   *Pilot
	term    uint64
	decided map[place]remembered
	// scheduled remembers each environment's next level in time
	scheduled map[place]remembered
	refused   map[string]bool   // request ids of schedules that were answered without a move
	asking    map[question]bool // under way, or answered and not yet committed
	answers   chan answer
	arrived   chan struct{} // capacity 1: an answer is there, or something was delivered
	pending   []answer
	lastSent  time.Time
	outbox    *outbox
	budgets   struct {
		mu   sync.Mutex
		kept map[place]*budgetKept
	}
	working sync.WaitGroup
}

// place names a rollout.
type place struct{ tenant, environment, id string }

// remembered is a decision to wait, and for which form of the rollout, and of the freeze around it, it was made.
type remembered struct {
	revision uint64
	frozen   *fsm.Frozen   // of a rollout
	burn     fsm.Burn      // likewise
	freezes  []*fsm.Frozen // of an environment
	wake     time.Time
}

// question names one metric of one run.
type question struct {
	place
	run, index int
}

type answer struct {
	question
	measured fsm.MetricMeasured
}

func newSurvey(ctx context.Context, p *Pilot, term uint64) *survey {
	arrived := make(chan struct{}, 1)
	s := &survey{ctx: ctx, pilot: p, term: term, decided: map[place]remembered{}, scheduled: map[place]remembered{}, refused: map[string]bool{}, asking: map[question]bool{},
		answers: make(chan answer, 1024), arrived: arrived, outbox: newOutbox(ctx, p, term, arrived)}
	s.budgets.kept = map[place]*budgetKept{}
	return s
}

// wait returns when every query and every courier has ended; their answers are lost, and another leader asks again.
func (s *survey) wait() {
	s.working.Wait()
	s.outbox.working.Wait()
}

// idle is how long nothing at all may happen; the next change of the state wakes anyway.
const idle = time.Minute

// pass looks at every live rollout once, proposes what is to be done, and returns how long nothing else is due.
func (s *survey) pass() time.Duration {
	now := s.pilot.Cluster.Now()
	next := now.Add(idle)
	s.collect()
	if len(s.pending) > 0 {
		if wait := measuredEvery - now.Sub(s.lastSent); wait > 0 && wait <= measuredEvery {
			next = sooner(next, now.Add(wait))
		} else if !s.commit(now) {
			next = sooner(next, now.Add(retryAfter))
		}
	}
	state := s.pilot.Store.State()
	next = sooner(next, s.outbox.pass(now, state))
	seen := 0
	for _, env := range state.Moving() {
		seen += len(env.LiveRollouts())
		next = sooner(next, s.environment(now, env))
	}
	if len(s.decided) > 2*seen+64 {
		clear(s.decided)
	}
	return max(next.Sub(now), time.Millisecond)
}

func (s *survey) environment(now time.Time, env *fsm.Environment) time.Time {
	next := now.Add(idle)
	if at := env.NextThaw(); at > 0 {
		if until := time.UnixMilli(at); now.Before(until) {
			next = sooner(next, until)
		} else if err := s.pilot.propose(s.ctx, s.term, nil, fsm.Unfreeze{Expired: true, Scope: fsm.Scope{Tenant: env.Tenant(), Environment: env.Key()}}); err != nil {
			next = sooner(next, now.Add(retryAfter))
		}
	}
	next = sooner(next, s.budget(now, env))
	next = sooner(next, s.schedules(now, env))
	next = sooner(next, s.changes(now, env))
	_, burn, _ := env.Budget()
	for _, r := range env.LiveRollouts() {
		if s.ctx.Err() != nil {
			return next
		}
		at, frozen := place{env.Tenant(), env.Key(), r.ID}, env.FrozenFor(r.Flag)
		if was, ok := s.decided[at]; ok && was.revision == r.Revision && was.frozen == frozen && was.burn == burn && now.Before(was.wake) {
			next = sooner(next, was.wake)
			continue
		}
		wake := s.rollout(now, at, r, Gates{Frozen: frozen, Burn: burn})
		s.decided[at] = remembered{revision: r.Revision, frozen: frozen, burn: burn, wake: wake}
		next = sooner(next, wake)
	}
	return next
}

// rollout decides about one rollout: one move at most, or the measurements that are due.
func (s *survey) rollout(now time.Time, at place, r *fsm.Rollout, g Gates) time.Time {
	d := Decide(now, r, g)
	if d.Move != "" {
		return s.move(now, at, r, d)
	}
	wake := d.Wake
	if wake.IsZero() {
		wake = now.Add(idle)
	}
	for _, run := range r.OpenRuns() {
		for i := range run.Metrics {
			due, open := Due(r, run, &run.Metrics[i])
			q := question{at, run.ID, i}
			switch {
			case !open || s.asking[q]:
			case now.Before(due):
				wake = sooner(wake, due)
			default:
				s.ask(q, r, run, &run.Metrics[i])
			}
		}
	}
	if !wake.After(now) { // its measurement is under way; the answer wakes
		wake = now.Add(idle)
		for _, run := range r.OpenRuns() {
			for i := range run.Metrics {
				if due, open := Due(r, run, &run.Metrics[i]); open && due.After(now) {
					wake = sooner(wake, due)
				}
			}
		}
		if r.HoldEnd > now.UnixMilli() {
			wake = sooner(wake, time.UnixMilli(r.HoldEnd))
		}
	}
	return wake
}

func (s *survey) move(now time.Time, at place, r *fsm.Rollout, d Decision) time.Time {
	revision := r.Revision
	err := s.pilot.propose(s.ctx, s.term, &revision, fsm.MoveRollout{Scope: fsm.Scope{Tenant: at.tenant, Environment: at.environment},
		ID: r.ID, Move: d.Move, Seq: r.Seq + 1, Pause: d.Pause, Rule: d.Rule, Reason: clipReason(d.Why)})
	if err == nil {
		if s.pilot.Meters != nil {
			s.pilot.Meters.Decided(d.Move)
		}
		s.pilot.Logger.Info("rollout moved", "rollout", r.ID, "flag", r.Flag, "move", string(d.Move), "rule", d.Rule, "why", d.Why)
		return now
	}
	if !expectedRefusal(err) {
		s.pilot.Logger.Warn("a move could not be proposed and will be decided again", "rollout", r.ID, "move", string(d.Move), "error", err)
	}
	return now.Add(retryAfter)
}

// clipReason keeps a reason within what the law takes.
func clipReason(why string) string {
	const most = 900
	if len(why) > most {
		return why[:most]
	}
	return why
}

// ask starts one query. Its answer comes through the channel, or nobody hears it because the term is over.
func (s *survey) ask(q question, r *fsm.Rollout, run *fsm.Run, m *fsm.MetricState) {
	s.asking[q] = true
	s.working.Add(1)
	go func() {
		defer s.working.Done()
		measured := s.pilot.Sources.Measure(s.ctx, q.environment, r, run, m)
		if s.ctx.Err() != nil {
			return
		}
		if s.pilot.Meters != nil {
			s.pilot.Meters.Queried(provider(r.Metric(run, m)), measured.Measurement.Verdict == fsm.VerdictError)
		}
		select {
		case s.answers <- answer{q, measured}:
		case <-s.ctx.Done():
			return
		}
		select {
		case s.arrived <- struct{}{}:
		default:
		}
	}()
}

func provider(m *fsm.Metric) string {
	switch {
	case m.Prometheus != nil:
		return "prometheus"
	case m.Web != nil:
		return "web"
	}
	return "burnRate"
}

func (s *survey) collect() {
	for {
		select {
		case a := <-s.answers:
			s.pending = append(s.pending, a)
		default:
			return
		}
	}
}

// commit puts the answers that are there into one entry, or into as many as they fill. A crash before it repeats the
// questions and counts nothing twice.
func (s *survey) commit(now time.Time) bool {
	for len(s.pending) > 0 {
		if !s.commitEntry(s.pending[:fitting(s.pending)]) {
			return false
		}
	}
	s.lastSent = now
	return true
}

// entryBytes is how much of answers goes into one entry, so that it stays below the largest a log takes (128 KiB).
const entryBytes = 96 << 10

// fitting is how many of the answers fit into one entry; at least one does.
func fitting(list []answer) int {
	room := entryBytes
	for i, a := range list {
		if room -= a.size(); room < 0 && i > 0 {
			return i
		}
	}
	return len(list)
}

// size is about what the answer takes in an entry: names, numbers and texts, and base64 of the raw bytes.
func (a *answer) size() int {
	m := a.measured.Measurement
	n := 300 + len(a.tenant) + len(a.environment) + len(a.id) + len(a.measured.Query) + len(m.Value) + len(m.Stable) + len(m.Detail)
	for _, raw := range []*fsm.RawAnswer{a.measured.Raw, a.measured.StableRaw} {
		if raw != nil {
			n += 40 + len(raw.Bytes)*4/3
		}
	}
	return n
}

func (s *survey) commitEntry(batch []answer) bool {
	var c fsm.Measured
	where := map[place]int{}
	for _, a := range batch {
		at, ok := where[a.place]
		if !ok {
			at = len(c.Rollouts)
			where[a.place] = at
			c.Rollouts = append(c.Rollouts, fsm.RolloutMeasured{Scope: fsm.Scope{Tenant: a.tenant, Environment: a.environment}, ID: a.id})
		}
		c.Rollouts[at].Metrics = append(c.Rollouts[at].Metrics, a.measured)
	}
	if err := s.pilot.propose(s.ctx, s.term, nil, c); err != nil {
		if !expectedRefusal(err) {
			s.pilot.Logger.Warn("measurements could not be recorded and will be sent again", "error", err)
		}
		return false
	}
	for _, a := range batch {
		delete(s.asking, a.question)
		delete(s.decided, a.place)
	}
	s.pending = append([]answer(nil), s.pending[len(batch):]...)
	return true
}
