package fsm

import (
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// moveSchedule goes on to what the time says. Doing it twice is doing it once. A frozen environment holds.
func (d *draft) moveSchedule(c MoveSchedule) error {
	t, at, err := d.findSchedule(c, c.Flag, c.Rule, c.ID)
	if err != nil {
		return err
	}
	x := t.exposures[at]
	switch {
	case x.Progress.State != "" || x.Progress.Over:
		return nil
	case d.env.FrozenFor(c.Flag) != nil && !(x.Schedule.Cron != "" && c.At == ""):
		return frozenError(c, d.env.FrozenFor(c.Flag))
	case x.Schedule.Cron != "":
		return d.recur(c, t, at)
	}
	t.switched, t.reason = c.Verb(), ""
	return d.advance(t, at)
}

// advance takes a schedule whose instants are known to where the time is. Of the levels that passed only the last counts;
// both ends of a window happen.
func (d *draft) advance(t *touch, at int) error {
	x := t.exposures[at]
	s, p := x.Schedule, *x.Progress
	n := s.reached(d.state.now)
	if n <= p.Reached {
		return nil
	}
	instants := s.instants()
	if missed := n - p.Reached - 1; missed > 0 && s.stated() {
		p = p.note(d.occurred(instants[p.Reached], missed, "a later level had come too"))
		p.Reached += missed
	}
	for p.Reached < n {
		due := instants[p.Reached]
		p.Reached++
		if s.End != "" && p.Reached == 2 {
			p.On = false
			p = p.note(d.occurred(due, 0, "the window ended"))
			continue
		}
		p = d.fire(t, at, p, due)
	}
	list := slices.Clone(t.exposures)
	list[at] = d.place(s, p, x.By)
	t.exposures = list
	return nil
}

// recur takes the occurrence the leader named. Its Due fences: a second leader that saw the same one comes too late.
func (d *draft) recur(c MoveSchedule, t *touch, at int) error {
	x := t.exposures[at]
	p := *x.Progress
	if c.Due != p.Next || c.At > Instant(d.state.now) || c.At != "" && c.At < p.Next || c.Next != "" && c.Next <= c.At {
		return nil
	}
	if c.Skipped > 0 {
		p = p.note(d.occurred(p.Next, c.Skipped, "they were missed; the newest happened"))
	}
	if c.At != "" {
		t.switched, t.reason = c.Verb(), ""
		p.Reached++
		p = d.fire(t, at, p, c.At)
	}
	if p.Next = c.Next; c.Next == "" || x.Schedule.End != "" && c.Next > x.Schedule.End {
		p.Next, p.Over = "", true
		if c.At == "" {
			p = p.note(d.occurred(Instant(d.state.now), 1, "its cron line never comes"))
		}
	}
	list := slices.Clone(t.exposures)
	list[at] = d.place(x.Schedule, p, x.By)
	t.exposures = list
	return nil
}

func (d *draft) occurred(at string, skipped int, why string) Occurrence {
	return Occurrence{At: at, Revision: d.state.index, Time: d.state.now, Skipped: skipped, Why: why}
}

// fire makes one instant happen: the seat is taken from another schedule of people, never from anybody else.
func (d *draft) fire(t *touch, at int, p Progress, due string) Progress {
	s := t.exposures[at].Schedule
	if s.stated() {
		return p.note(d.occurred(due, 0, ""))
	}
	if owner, taken := occupied(t.exposures, s); taken {
		return p.note(d.occurred(due, 1, fmt.Sprintf("the seat %s belonged to %s", s.Seat(), owner.Owner)))
	}
	t.reason = fmt.Sprintf("schedule %s: %s due %s", s.ID, s.Action, due)
	if s.Land {
		if err := d.landSchedule(t, s); err != nil {
			return p.note(d.occurred(due, 1, err.Error()))
		}
		return p.note(d.occurred(due, 0, "written into the declaration"))
	}
	list := slices.Clone(t.exposures)
	for i, x := range list {
		if i != at && x.Schedule != nil && x.Seat == s.Seat() && x.Progress.On {
			other := *x.Progress
			other.On = false
			list[i] = d.place(x.Schedule, other, x.By)
		}
	}
	t.exposures = list
	p.On = true
	return p.note(d.occurred(due, 0, ""))
}

// landSchedule writes the declaration as the schedule says, if the policy of the environment lets it. Exposures of other
// schedules on the seat stay.
func (d *draft) landSchedule(t *touch, s *Schedule) error {
	before := *t
	f := *t.declared()
	switch {
	case s.Seat() == SeatEnabled:
		f.Enabled = s.Action == ActionEnable
	case s.Value != nil:
		f.Value = s.Value
	default:
		serve := evaluator.Serve{Variant: s.Variant}
		if s.Action == ActionPercentage {
			serve = s.share(s.Weight)
			serve.Label = ""
		}
		f = *withServe(&f, s.Seat(), serve)
	}
	t.declare(MoveSchedule{}, &f)
	err := d.judgePolicy(t)
	if err != nil {
		*t = before
	}
	return err
}
