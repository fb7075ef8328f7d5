package fsm

import (
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// place is a schedule's exposure when it is that far.
func (d *draft) place(s *Schedule, p Progress, by Actor) Exposure {
	return Exposure{Flag: s.Flag, Owner: s.owner(), Seat: s.Seat(), Effect: s.effect(&p), Schedule: s, Progress: &p,
		Revision: d.state.index, At: d.state.now, By: by}
}

func ownedBy(owner string) func(Exposure) bool {
	return func(x Exposure) bool { return x.Owner == owner }
}

func (d *draft) putSchedule(c PutSchedule) error {
	t := d.at(ObjectFlag, c.Schedule.Flag)
	if t.now == nil {
		return missingItem(c)
	}
	if !c.Schedule.stated() {
		return d.makeSchedule(c, t)
	}
	s := c.Schedule
	at := slices.IndexFunc(t.exposures, ownedBy(s.owner()))
	if at >= 0 && t.exposures[at].Schedule.Equal(s) {
		return nil
	}
	if f := d.env.FrozenFor(s.Flag); f != nil {
		return frozenError(c, f)
	}
	if err := d.seatFreeBut(c, s.Flag, s.Seat(), s.owner()); err != nil {
		return err
	}
	t.expose(c, "", append(slices.DeleteFunc(slices.Clone(t.exposures), ownedBy(s.owner())),
		d.place(s, Progress{On: true, Reached: s.reached(d.state.now)}, d.proposal.Actor)))
	return nil
}

// makeSchedule adds one that people ask for. It waits beside the flag until its time comes.
func (d *draft) makeSchedule(c PutSchedule, t *touch) error {
	s := *c.Schedule
	if f := d.env.FrozenFor(s.Flag); f != nil {
		return frozenError(c, f)
	}
	if problems := d.unfit(&s, t); len(problems) > 0 {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Problems: problems,
			Detail: "the schedule does not fit the flag; correct the named fields"}
	}
	if x, taken := occupied(t.exposures, &s); taken {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: x.Revision,
			Detail: fmt.Sprintf("the seat %s of flag %q belongs to %s; end that first", s.Seat(), s.Flag, x.Owner)}
	}
	list := slices.Clone(t.exposures)
	for nth := 1; s.ID == "" || slices.ContainsFunc(list, ownedBy(s.owner())); nth++ {
		s.ID = ScheduleID(d.state.index, nth)
	}
	if list = withoutEnded(list); countMade(list) >= maxSchedules {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: fmt.Sprintf("flag %q has %d schedules; delete one first", s.Flag, maxSchedules)}
	}
	t.expose(c, "", append(list, d.place(&s, Progress{}, d.proposal.Actor)))
	return nil
}

// unfit says what is wrong between a new schedule and its flag, and fills in what it leaves to the flag.
func (d *draft) unfit(s *Schedule, t *touch) evaluator.Problems {
	f, now := t.declared(), Instant(d.state.now)
	config := f.Kind == evaluator.KindConfig
	switch {
	case s.ID != "":
		return problem("/schedule/id", "schedule.id", "ids are given by the server")
	case s.Start != "" && s.Start <= now:
		return problem("/schedule/startTime", "schedule.past", fmt.Sprintf("%s is past: it is %s", s.Start, now))
	case s.End != "" && s.End <= now:
		return problem("/schedule/endTime", "schedule.past", fmt.Sprintf("%s is past: it is %s", s.End, now))
	case config && s.Action != ActionValue:
		return problem("/schedule/action", "schedule.config", "a config has one value: SET_VALUE is all that can happen to it")
	case config && s.Value == nil:
		return problem("/schedule/targetValue", "schedule.value", "a value is required")
	case config:
		changed := *f
		changed.Value = s.Value
		return fieldsAs(changed.Check(), "/schedule/targetValue")
	case s.Value != nil:
		return problem("/schedule/targetValue", "schedule.value", "a flag serves variants: name one of them")
	case s.Seat() == SeatEnabled:
		return nil
	}
	return fill(s, f)
}

// fieldsAs names one field for what is wrong with something made of it.
func fieldsAs(problems evaluator.Problems, field string) evaluator.Problems {
	for i := range problems {
		problems[i].Field = field
	}
	return problems
}

// fill completes what a share of people needs: who gets the variant of the schedule, who the other, and the salt of the
// seat, so that people keep their places.
func fill(s *Schedule, f *evaluator.Flag) evaluator.Problems {
	serve := serveAt(f, s.Seat())
	if serve == nil {
		return problem("/schedule/rule", "schedule.rule", fmt.Sprintf("the flag has no rule %q", s.Rule))
	}
	if s.Action == ActionPercentage {
		if s.Variant == "" {
			s.Variant = onVariant(f, serve)
		}
		if s.Base == "" {
			s.Base = baseVariant(f, serve, s.Variant)
		}
		if s.Variant == "" || s.Base == "" || s.Variant == s.Base {
			return problem("/schedule/targetValue", "schedule.value", "it is not clear which variant the share of people gets; name it")
		}
		if s.Salt = f.Key; serve.Split != nil {
			s.By, s.Salt, s.Hash = serve.Split.By, serve.Split.Salt, serve.Split.Hash
		}
	}
	for _, key := range []string{s.Variant, s.Base} {
		if key != "" && !hasVariant(f, key) {
			return problem("/schedule/targetValue", "schedule.variant", fmt.Sprintf("the flag has no variant %q", key))
		}
	}
	return nil
}

// onVariant is what people mean by on: what the seat serves, unless that is the off variant, or the variant true.
func onVariant(f *evaluator.Flag, serve *evaluator.Serve) string {
	if serve.Variant != "" && serve.Variant != f.Off {
		return serve.Variant
	}
	for _, v := range f.Variants {
		if f.Type == evaluator.TypeBoolean && v.Value != nil && *v.Value == evaluator.Bool(true) {
			return v.Key
		}
	}
	return ""
}

// baseVariant is what everybody else gets: what the seat serves, else the off variant.
func baseVariant(f *evaluator.Flag, serve *evaluator.Serve, on string) string {
	if serve.Variant != "" && serve.Variant != on {
		return serve.Variant
	}
	return f.Off
}

// occupied finds who owns the seat and does not make room for a schedule: everybody but another schedule that people made.
func occupied(list []Exposure, s *Schedule) (Exposure, bool) {
	at := slices.IndexFunc(list, func(x Exposure) bool {
		return x.Effect != nil && x.Seat == s.Seat() && (x.Schedule == nil || x.Schedule.stated())
	})
	if at < 0 {
		return Exposure{}, false
	}
	return list[at], true
}

func countMade(list []Exposure) (n int) {
	for _, x := range list {
		if x.Schedule != nil && !x.Schedule.stated() {
			n++
		}
	}
	return n
}

// withoutEnded drops the oldest schedules that have ended when there is no room for more.
func withoutEnded(list []Exposure) []Exposure {
	for countMade(list) >= maxSchedules {
		at := slices.IndexFunc(list, func(x Exposure) bool {
			return x.Schedule != nil && !x.Schedule.stated() && x.ScheduleStatus() == "ended"
		})
		if at < 0 {
			break
		}
		list = slices.Delete(list, at, at+1)
	}
	return list
}

func (d *draft) dropSchedule(c DropSchedule) error {
	t := d.at(ObjectFlag, c.Flag)
	if t.now == nil {
		return missingItem(c)
	}
	owner := scheduleOwner(c.Rule, c.ID)
	if slices.ContainsFunc(t.exposures, ownedBy(owner)) {
		t.expose(c, "", slices.DeleteFunc(slices.Clone(t.exposures), ownedBy(owner)))
	}
	return nil
}

// findSchedule is where the schedule that a command means stands.
func (d *draft) findSchedule(c Command, flag, rule, id string) (*touch, int, error) {
	t := d.at(ObjectFlag, flag)
	at := slices.IndexFunc(t.exposures, ownedBy(scheduleOwner(rule, id)))
	if t.now == nil || at < 0 {
		return nil, 0, notFound(c, fmt.Sprintf("flag %q has no such schedule any more", flag))
	}
	return t, at, nil
}

// switchSchedule pauses, or goes on at what the time says by now.
func (d *draft) switchSchedule(c SwitchSchedule) error {
	t, at, err := d.findSchedule(c, c.Flag, c.Rule, c.ID)
	if err != nil {
		return err
	}
	x := t.exposures[at]
	p := *x.Progress
	switch {
	case c.Running == (p.State == ""), !c.Running && p.State == ScheduleSuspended: // suspended is more than paused
		return nil
	case x.ScheduleStatus() == "ended", p.State == "" && x.done():
		return &Error{Kind: KindIllegal, Op: c.Verb(), Target: c.target().String(), Revision: x.Revision,
			Detail: "no time of this schedule is left; make a new one"}
	case !c.Running:
		p.State = SchedulePaused
	default:
		if owner, taken := occupied(slices.Delete(slices.Clone(t.exposures), at, at+1), x.Schedule); taken && p.On {
			return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: owner.Revision,
				Detail: fmt.Sprintf("its seat %s belongs to %s now; end that first", x.Seat, owner.Owner)}
		}
		p.State = ""
	}
	list := slices.Clone(t.exposures)
	list[at] = d.place(x.Schedule, p, x.By)
	t.expose(c, "", list)
	if c.Running && d.env.FrozenFor(c.Flag) == nil && x.Schedule.Cron == "" {
		return d.advance(t, at)
	}
	return nil
}

// done: nothing is left to come.
func (x *Exposure) done() bool {
	at, unknown := x.next()
	return at == "" && !unknown
}

// suspendSchedules takes the effects of all schedules of a flag away until somebody resumes each.
func (d *draft) suspendSchedules(t *touch) {
	list := slices.Clone(t.exposures)
	for i, x := range list {
		if x.Schedule == nil || x.Progress.State == ScheduleSuspended || !x.Progress.On && x.done() {
			continue
		}
		p := *x.Progress
		p.State = ScheduleSuspended
		list[i] = d.place(x.Schedule, p, x.By)
	}
	t.exposures = list
}

// guardSchedules refuses a flag on which one of its schedules does not fit.
func (d *draft) guardSchedules(t *touch) error {
	for i := range t.exposures {
		s := t.exposures[i].Schedule
		if s == nil || s.Seat() == SeatEnabled {
			continue
		}
		f := t.declared()
		serve := serveAt(f, s.Seat())
		detail := ""
		switch {
		case s.Value != nil && f.Kind == evaluator.KindConfig:
		case serve == nil:
			detail = fmt.Sprintf("the flag has no rule %q for its schedule", s.Rule)
		case s.stated() && serve.Variant != s.Base:
			detail = fmt.Sprintf("its schedule starts from variant %q, but the flag declares something else there", s.Base)
		case !hasVariant(f, s.Variant):
			detail = fmt.Sprintf("its schedule brings variant %q, which the flag does not have", s.Variant)
		case s.Base != "" && !hasVariant(f, s.Base):
			detail = fmt.Sprintf("its schedule leaves people variant %q, which the flag does not have", s.Base)
		}
		if detail != "" {
			return &Error{Kind: KindConflict, Target: d.name(t), Detail: detail + "; change the schedule in the same write, or drop it first"}
		}
	}
	return nil
}
