package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// serveAt finds what a flag declares at a seat.
func serveAt(f *evaluator.Flag, seat string) *evaluator.Serve {
	rule, isRule := strings.CutPrefix(seat, SeatRule)
	if !isRule {
		return f.Default
	}
	for i := range f.Rules {
		if f.Rules[i].ID == rule {
			return &f.Rules[i].Then
		}
	}
	return nil
}

// withServe is the flag with another serve at a seat. The flag given is not changed.
func withServe(f *evaluator.Flag, seat string, serve evaluator.Serve) *evaluator.Flag {
	out := *f
	rule, isRule := strings.CutPrefix(seat, SeatRule)
	if !isRule {
		out.Default = &serve
		return &out
	}
	out.Rules = slices.Clone(f.Rules)
	for i := range out.Rules {
		if out.Rules[i].ID == rule {
			out.Rules[i].Then = serve
		}
	}
	return &out
}

// seatFor judges whether the plan's rollout can begin on the flag as it is declared, and names the stable variant.
func (d *draft) seatFor(c Command, p *Plan) (stable string, err error) {
	t := d.at(ObjectFlag, p.Flag)
	if t.now == nil {
		return "", notFound(c, fmt.Sprintf("there is no flag %q; check the key and the environment", p.Flag))
	}
	f, seat := t.declared(), cmp.Or(p.Seat, SeatDefault)
	var problems evaluator.Problems
	serve := serveAt(f, seat)
	switch {
	case f.Kind == evaluator.KindConfig:
		problems = problem("/flag", "rollout.config", "a config has one value; only flags are rolled out")
	case f.Archived:
		problems = problem("/flag", "rollout.archived", "the flag is archived; bring it back first")
	case !f.Enabled:
		problems = problem("/flag", "rollout.disabled", "the flag is disabled, so nobody would see the candidate; enable it first")
	case killed(t.exposures):
		problems = problem("/flag", "rollout.killed", "the flag is killed; unkill it first")
	case serve == nil:
		problems = problem("/seat", "rollout.seat", fmt.Sprintf("the flag has no seat %q", seat))
	case serve.Split != nil:
		problems = problem("/seat", "rollout.split", "the seat declares a split; give it one variant first, which is the stable one")
	case !slices.ContainsFunc(f.Variants, func(v evaluator.Variant) bool { return v.Key == p.Target.Variant }):
		problems = problem("/target/variant", "rollout.variant", fmt.Sprintf("the flag has no variant %q", p.Target.Variant))
	}
	problems = append(problems, d.missingSegments(p)...)
	if len(problems) > 0 {
		return "", &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Problems: problems,
			Detail: "the plan does not fit the flag; correct the named fields"}
	}
	return serve.Variant, nil
}

func (d *draft) missingSegments(p *Plan) (problems evaluator.Problems) {
	look := func(at string, keys []string) {
		for i, key := range keys {
			if d.at(ObjectSegment, key).now == nil {
				problems = append(problems, problem(fmt.Sprintf("%s/%d", at, i), "reference.segment.missing",
					fmt.Sprintf("segment %q does not exist; create it first", key))...)
			}
		}
	}
	for i, r := range p.Rings {
		look(fmt.Sprintf("/rings/%d/segments", i), r.Segments)
	}
	if p.BlueGreen != nil {
		look("/blueGreen/preview/segments", p.BlueGreen.Preview.Segments)
	}
	return problems
}

// seatFree refuses a second owner.
func (d *draft) seatFree(c Command, flag, seat string) error { return d.seatFreeBut(c, flag, seat, "") }

// seatFreeBut is seatFree for an owner that may stand there already.
func (d *draft) seatFreeBut(c Command, flag, seat, owner string) error {
	if bug.On("B19") {
		return nil
	}
	for _, x := range d.at(ObjectFlag, flag).exposures {
		if x.Owner != owner && x.Effect != nil && x.Seat == seat {
			return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: x.Revision,
				Detail: fmt.Sprintf("the seat %s of flag %q belongs to %s; abort that first, or replace a rollout with supersede", seat, flag, x.Owner)}
		}
	}
	return nil
}

// landable: the seat still takes the candidate.
func (d *draft) landable(c Command, r *Rollout) error {
	t := d.at(ObjectFlag, r.Flag)
	if t.now == nil || serveAt(t.declared(), r.Seat) == nil {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: r.Revision,
			Detail: "the flag or its seat is gone, so there is nothing to land on; abort the rollout"}
	}
	return nil
}

// guardSeats refuses a change that takes from a rollout what it stands on. Everything else of the flag may change.
func (d *draft) guardSeats(t *touch) error {
	if t.before == nil || t.before == t.now || t.landing {
		return nil
	}
	for _, x := range d.before.Exposures(t.key) {
		if x.Effect == nil || x.Schedule != nil || !slices.ContainsFunc(t.exposures, func(y Exposure) bool { return y.Owner == x.Owner }) {
			continue
		}
		f, old := t.declared(), t.before.Flag()
		was, is := serveAt(old, x.Seat), serveAt(f, x.Seat)
		switch {
		case is == nil, was.Variant != is.Variant, is.Split != nil && was.Split == nil, f.Archived && !old.Archived, !hasVariants(f, x.Effect):
			return &Error{Kind: KindConflict, Target: d.name(t), Revision: t.before.Revision,
				Detail: fmt.Sprintf("%s drives its seat %s, so what the seat serves, its variants and its archiving stay; abort that first or wait", x.Owner, x.Seat)}
		}
	}
	return nil
}

func hasVariants(f *evaluator.Flag, effect *Effect) bool {
	for _, key := range effect.variants() {
		if !slices.ContainsFunc(f.Variants, func(v evaluator.Variant) bool { return v.Key == key }) {
			return false
		}
	}
	return true
}

// guardDeletion refuses to take a flag from under an owner, or a segment out of an audience.
func (d *draft) guardDeletion(t *touch) error {
	refuse := func(owner string) error {
		return &Error{Kind: KindConflict, Target: d.name(t), Detail: fmt.Sprintf("%s needs it; abort that first", owner)}
	}
	if t.kind == ObjectFlag {
		for _, x := range d.before.Exposures(t.key) {
			if x.Effect != nil && x.Schedule == nil {
				return refuse(x.Owner)
			}
		}
		return nil
	}
	for _, id := range d.env.liveRollouts {
		r, _ := d.env.Rollout(id)
		for _, ring := range r.Rings {
			if known, ok := r.plan.plan.ring(ring); ok && slices.Contains(known.Segments, t.key) {
				return refuse(r.Owner())
			}
		}
		for _, ring := range r.plan.plan.Rings {
			if r.Phase.Live() && slices.Contains(ring.Segments, t.key) {
				return refuse(r.Owner())
			}
		}
	}
	return nil
}
