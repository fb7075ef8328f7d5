package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// maxSkew is by how much a hold may end early: what a leader's clock may be wrong at an election.
const maxSkew = 2 * time.Second

// rolloutCheck judges rollouts entry by entry, from the replayed states.
type rolloutCheck struct {
	seats map[rolloutKey]*seatWatch
}

type rolloutKey struct{ environment, id string }

// seatWatch is what is remembered of one rollout.
type seatWatch struct {
	events   uint64
	live     int64         // when the newest move was applied, on the history's clock
	held     map[int]int64 // by step: since when what it holds is live
	rolled   map[int]int   // rollbacks by attempt
	weight   fsm.Percent
	attempt  int
	audience map[string]bool // of the sample, who was served the candidate
}

func newRolloutCheck() *rolloutCheck { return &rolloutCheck{seats: map[rolloutKey]*seatWatch{}} }

// step compares the state before an entry with the one after it.
func (c *rolloutCheck) step(e Entry, before, now *fsm.State, o fsm.Outcome) (out []Violation) {
	for _, env := range now.Environments(fsm.DefaultTenant) {
		old, _ := before.Environment(fsm.DefaultTenant, env.Key())
		if old == env {
			continue
		}
		out = append(out, seats(e, env)...)
		for _, r := range env.Rollouts() {
			if was, ok := old.Rollout(r.ID); !ok || was != r {
				out = append(out, c.moved(e, env, was, r, o)...)
			}
		}
	}
	return out
}

// seats: whatever is driven has one driver.
func seats(e Entry, env *fsm.Environment) (out []Violation) {
	for _, f := range env.Flags() {
		owners := map[string]string{}
		for _, x := range env.Exposures(f.Key) {
			if x.Seat == "" {
				continue
			}
			if other, taken := owners[x.Seat]; taken {
				out = append(out, found(OneController, e.Applied, "entry %d: seat %s of flag %s has two owners, %s and %s", e.Index, x.Seat, f.Key, other, x.Owner))
			}
			owners[x.Seat] = x.Owner
		}
	}
	return out
}

func (c *rolloutCheck) moved(e Entry, env *fsm.Environment, was, r *fsm.Rollout, o fsm.Outcome) (out []Violation) {
	key := rolloutKey{env.Key(), r.ID}
	w := c.seats[key]
	if w == nil {
		w = &seatWatch{held: map[int]int64{}, rolled: map[int]int{}, attempt: r.Attempt}
		c.seats[key] = w
	}
	bad := func(invariant int, format string, args ...any) {
		out = append(out, found(invariant, e.Applied, "entry %d, rollout %s: %s", e.Index, r.ID, fmt.Sprintf(format, args...)))
	}
	if r.Revision != e.Index {
		bad(NeverUp, "it changed and its revision stays %d, so a step under way would not conflict", r.Revision)
	}
	if p, err := fsm.DecodeProposal(e.Data); err == nil && p.ControllerTerm != 0 && p.ControllerTerm != e.Term {
		bad(OneController, "moved in term %d by a controller of term %d", e.Term, p.ControllerTerm)
	}
	if was != nil && r.Seq > was.Seq+1 {
		bad(OneController, "move %d follows move %d", r.Seq, was.Seq)
	}
	for _, event := range r.History() {
		if event.Seq > w.events {
			w.event(e, event, r, bad)
		}
	}
	c.exposure(w, env, r, bad)
	return out
}

// event looks at one new event.
func (w *seatWatch) event(e Entry, event fsm.Event, r *fsm.Rollout, bad func(int, string, ...any)) {
	if event.Seq != w.events+1 {
		bad(OneController, "event %d follows event %d", event.Seq, w.events)
	}
	w.events = event.Seq
	if event.Attempt != w.attempt {
		w.attempt, w.held, w.weight, w.audience = event.Attempt, map[int]int64{}, 0, nil
	}
	switch event.Kind {
	case fsm.EventHolding: // its clock runs from its stamp, which no leader gives before it has applied what it holds
		w.held[event.Step] = w.live
	case fsm.EventRolledBack:
		if w.rolled[event.Attempt]++; w.rolled[event.Attempt] > 1 {
			bad(OneRollback, "attempt %d was rolled back %d times", event.Attempt, w.rolled[event.Attempt])
		}
	case fsm.EventStep, fsm.EventCompleted:
		w.served(e, event, r, bad)
	}
	w.live = e.Applied
}

// served: a step that the controller took did not begin before the hold before it was over, by a clock that nobody set.
func (w *seatWatch) served(e Entry, event fsm.Event, r *fsm.Rollout, bad func(int, string, ...any)) {
	from := event.From
	began, held := w.held[from]
	if !held || from >= len(r.Steps()) || event.Move != fsm.MoveAdvance && event.Move != fsm.MoveLand {
		return
	}
	hold := r.Steps()[from].Hold
	if hold == nil || hold.Forever() || hold.FromRaise || e.Applied == 0 {
		return
	}
	took := time.Duration(e.Applied - began)
	if want := time.Duration(hold.For) * time.Millisecond; took < want-maxSkew {
		bad(Holds, "step %d held for %s of %s", from, took, want)
	}
}

// exposure: what has ended exposes nobody, and who is in at a weight stays in at a higher one.
func (c *rolloutCheck) exposure(w *seatWatch, env *fsm.Environment, r *fsm.Rollout, bad func(int, string, ...any)) {
	exposed := slices.ContainsFunc(env.Exposures(r.Flag), func(x fsm.Exposure) bool { return x.Owner == r.Owner() })
	if !r.Phase.Live() {
		if exposed && !r.Previewed {
			bad(NeverUp, "it is %s and still exposes its candidate", r.Phase)
		}
		if in := audience(env, r); len(in) > 0 && !r.Previewed {
			bad(NeverUp, "it is %s and %d of %d units are served its candidate", r.Phase, len(in), sample)
		}
		if r.Phase.Retriable() && r.Weight != 0 {
			bad(NeverUp, "it is %s at weight %v", r.Phase, r.Weight)
		}
		w.weight, w.audience = 0, nil
		return
	}
	now := audience(env, r)
	for unit := range w.audience {
		if r.Weight >= w.weight && !now[unit] {
			bad(Sticky, "%s was in at weight %v and is out at %v", unit, w.weight, r.Weight)
			break
		}
	}
	for unit := range now {
		if w.audience != nil && r.Weight <= w.weight && !w.audience[unit] {
			bad(Sticky, "%s was out at weight %v and is in at %v", unit, w.weight, r.Weight)
			break
		}
	}
	w.weight, w.audience = r.Weight, now
}

// sample is how many units are asked.
const sample = 64

// audience are the units of the sample that are served the candidate by the rollout.
func audience(env *fsm.Environment, r *fsm.Rollout) map[string]bool {
	in := map[string]bool{}
	for i := range sample {
		unit := fmt.Sprint("unit-", i)
		result := env.Snapshot().Evaluate(r.Flag, &evaluator.Context{TargetingKey: unit})
		if result.Variant == r.Candidate && result.Label == r.Owner() {
			in[unit] = true
		}
	}
	return in
}
