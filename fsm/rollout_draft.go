package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// maxEndedRollouts is how many rollouts that have ended an environment remembers.
const maxEndedRollouts = 1000

func (d *draft) startRollout(c StartRollout) error {
	if f := d.env.FrozenFor(c.Plan.Flag); f != nil {
		return frozenError(c, f)
	}
	stable, err := d.seatFor(c, c.Plan)
	if err != nil || stable == c.Plan.Target.Variant {
		return err
	}
	if err := d.governed(c); err != nil {
		return err
	}
	seat := cmp.Or(c.Plan.Seat, SeatDefault)
	if err := d.clearSeat(c, c.Plan.Flag, seat); err != nil {
		return err
	}
	record := newPlanRecord(c.Plan)
	r := &Rollout{ID: RolloutID(c.Plan.Name, d.state.index), Name: c.Plan.Name, Flag: c.Plan.Flag, Seat: seat,
		Candidate: c.Plan.Target.Variant, Stable: stable, Attempt: 1, By: d.proposal.Actor, plan: record,
		Created: d.state.index, CreatedAt: d.state.now}
	if _, taken := d.env.Rollout(r.ID); taken {
		return &Error{Kind: KindExists, Op: c.Verb(), Target: c.target().String(), Detail: "one command cannot start two rollouts of one plan"}
	}
	m := &move{d: d, r: r, event: Event{Move: MoveStart, Kind: EventStep}}
	if d.inWindow(r) {
		m.event.Why = "the variant landed here recently: rollbackWindow lets it land at once"
		m.r.Phase = PhaseProgressing
		if err := m.land(c); err != nil {
			return err
		}
	} else {
		m.restart()
	}
	m.event.Move = MoveStart
	m.commit()
	d.object = r.Revision
	return nil
}

// MoveStart is the first move of a rollout; StartRollout makes it. MoveSupersede ends one because another took its seat.
const (
	MoveStart     Move = "start"
	MoveSupersede Move = "supersede"
)

// clearSeat makes room: a kept preview goes by itself, a live rollout only when the start says so.
func (d *draft) clearSeat(c StartRollout, flag, seat string) error {
	for _, x := range d.at(ObjectFlag, flag).exposures {
		id, ok := rolloutOf(x)
		r, found := d.env.Rollout(id)
		if !ok || !found || x.Seat != seat {
			continue
		}
		if r.Previewed {
			m := d.begin(MoveRollout{Move: MoveDismiss}, r)
			m.r.Previewed, m.r.Rings, m.event.Kind = false, nil, EventDismissed
			m.commit()
		} else if c.Supersede {
			m := d.begin(MoveRollout{Move: MoveSupersede, Reason: "replaced by a rollout of plan " + c.Plan.Name}, r)
			m.stop(PhaseSuperseded, RunCancelled, "replaced by a rollout of plan "+c.Plan.Name)
			m.event.Kind = EventSuperseded
			m.commit()
		}
	}
	return d.seatFree(c, flag, seat)
}

// inWindow: the target landed on this seat, and fewer landings lie between than the plan allows.
func (d *draft) inWindow(r *Rollout) bool {
	window := r.plan.plan.RollbackWindow
	if window == nil {
		return false
	}
	var landed []*Rollout
	for _, other := range d.env.Rollouts() {
		if other.Phase == PhaseCompleted && other.Flag == r.Flag && other.Seat == r.Seat {
			landed = append(landed, other)
		}
	}
	slices.SortStableFunc(landed, func(a, b *Rollout) int { return cmp.Compare(b.Revision, a.Revision) })
	at := slices.IndexFunc(landed, func(other *Rollout) bool { return other.Candidate == r.Candidate })
	return at > 0 && at-1 < window.Landings
}

func newPlanRecord(p *Plan) *planRecord {
	record := mustEncode(p)
	return &planRecord{plan: p, steps: p.Ladder(), record: record, digest: digestOf(record)}
}

// commit stores the new form: the event, the exposure it means, the audit row.
func (m *move) commit() {
	r, s := m.r, m.d.state
	r.Seq++
	m.record(m.event.Kind, nil)
	t := m.d.at(ObjectFlag, r.Flag)
	t.exposures = m.exposures(t.exposures)
	if m.lands {
		t.landing = true
		t.declare(MoveRollout{Move: MoveLand}, withServe(t.declared(), r.Seat, evaluator.Serve{Variant: r.Candidate}))
	}
	before := digest{}
	if m.old != nil {
		before = m.old.state
	}
	s.putRollout(m.d.env, m.old, r)
	m.d.stirred = true
	row := Audit{Index: s.index, At: s.now, Actor: m.d.proposal.Actor, RequestID: m.d.proposal.RequestID, Correlation: m.d.proposal.Correlation,
		Tenant: m.d.env.tenant, Environment: m.d.env.key, Verb: "rollout." + string(m.event.Move),
		Target: nodeName(ObjectRollout, r.ID), After: r.state.hex(), Reason: cmp.Or(m.event.Why, m.d.proposal.Comment)}
	if m.event.Override {
		row.Verb += ".override"
	}
	if m.old != nil {
		row.Before = before.hex()
	}
	s.audit.append(row)
}

// exposures replaces the rollout's exposure by what it means now, if anything.
func (m *move) exposures(list []Exposure) []Exposure {
	at := slices.IndexFunc(list, func(x Exposure) bool { return x.Owner == m.r.Owner() })
	var old *Effect
	if at >= 0 {
		old = list[at].Effect
	}
	rest := slices.DeleteFunc(slices.Clone(list), func(x Exposure) bool { return x.Owner == m.r.Owner() })
	if !m.r.Phase.Live() && !m.r.Previewed {
		if m.r.Phase == PhaseAborted && bug.On("B16") {
			return list
		}
		return rest
	}
	effect := m.r.effect(old)
	if old != nil && string(effect.record()) == string(old.record()) {
		return list
	}
	return append(rest, Exposure{Flag: m.r.Flag, Owner: m.r.Owner(), Seat: m.r.Seat, Effect: effect,
		Revision: m.d.state.index, At: m.d.state.now, By: m.d.proposal.Actor})
}

// effect is what the seat serves at the rollout's weight and rings. Ranges grow out of the old ones, so raising a
// weight moves nobody back and lowering it gives back the last units first.
func (r *Rollout) effect(old *Effect) *Effect {
	var ranges []evaluator.Range
	olds := map[string][]evaluator.Range{}
	if old != nil {
		ranges = rangesOf(old.Serve)
		for _, ring := range old.Rings {
			olds[ring.Name] = rangesOf(ring.Serve)
		}
	}
	e := &Effect{Serve: r.split(r.Weight, ranges)}
	for _, name := range r.Rings {
		ring, _ := r.plan.plan.ring(name)
		e.Rings = append(e.Rings, Ring{Name: name, Segments: ring.Segments, Serve: r.split(ring.share(), olds[name])})
	}
	return e
}

func rangesOf(s evaluator.Serve) []evaluator.Range {
	if s.Split == nil {
		return nil
	}
	return s.Split.Ranges
}

func (r *Rollout) split(weight Percent, old []evaluator.Range) evaluator.Serve {
	at := func(w Percent) []evaluator.Weight {
		return []evaluator.Weight{{Variant: r.Candidate, Weight: int(w)}, {Variant: r.Stable, Weight: int(All - w)}}
	}
	if old == nil {
		old = evaluator.Reallocate(nil, at(0))
	}
	if weight > All/2 && bug.On("B14") {
		old = evaluator.Reallocate(nil, []evaluator.Weight{{Variant: r.Stable, Weight: int(All / 2)}, {Variant: r.Candidate, Weight: int(All / 2)}})
	}
	return evaluator.Serve{Label: r.Owner(), Split: &evaluator.Split{By: r.plan.plan.Target.By, Salt: r.salt(),
		Missing: r.Stable, Weights: at(weight), Ranges: evaluator.Reallocate(old, at(weight))}}
}

// salt is the rollout's own: two rollouts do not always try their changes on the same people first.
func (r *Rollout) salt() string {
	if r.plan.plan.Resalt && r.Attempt > 1 {
		return fmt.Sprintf("%s.%d", r.ID, r.Attempt)
	}
	return r.ID
}

// record appends an event as things stand.
func (m *move) record(kind string, alter func(*Event)) {
	e, r := m.event, m.r
	e.Kind, e.Revision, e.At, e.Actor = kind, m.d.state.index, m.d.state.now, m.d.proposal.Actor
	e.Attempt, e.Step, e.Weight, e.Phase, e.Pause = r.Attempt, r.Step, r.Weight, r.Phase, r.Reason
	if m.old != nil {
		e.From = m.old.Step
		e.Was, e.Evidence = m.old.was(m.d.env), m.old.evidence()
	}
	if alter != nil {
		alter(&e)
	}
	m.d.state.noteAndTell(m.d.env, r, e)
}

// note puts an event into the chain.
func (r *Rollout) note(e Event) {
	r.Events++
	e.Seq = r.Events
	r.events = append(slices.Clone(r.events[max(0, len(r.events)-maxEvents+1):]), e)
	r.head = digestOf(append(slices.Clone(r.head[:]), mustEncode(e)...))
}

// putRollout replaces a rollout in an environment that is still private, with its hash and its place in the lists.
func (s *State) putRollout(e *Environment, old, r *Rollout) {
	if r.UpdatedAt = s.now; r.Phase != PhaseAborted || !bug.On("B10") {
		r.Revision = s.index
	}
	if old != nil {
		s.rest.remove(rolloutLeaf(e, old))
	} else {
		e.rolloutOrder = append(slices.Clip(e.rolloutOrder), r.ID)
	}
	r.state = digestOf(mustEncode(r))
	s.rest.add(rolloutLeaf(e, r))
	e.rollouts = e.rollouts.With(r.ID, r, s.index)
	e.listLive(r)
	s.forgetRollouts(e)
}

func (e *Environment) listLive(r *Rollout) {
	at := slices.Index(e.liveRollouts, r.ID)
	switch wanted := r.Phase.Live() || r.Previewed; {
	case wanted && at < 0: // in the order of the starts, which a saved state gives too
		at, _ = slices.BinarySearchFunc(e.liveRollouts, r.Created, func(id string, created uint64) int {
			other, _ := e.rollouts.Get(id)
			return cmp.Compare(other.Created, created)
		})
		e.liveRollouts = slices.Insert(slices.Clone(e.liveRollouts), at, r.ID)
	case !wanted && at >= 0:
		e.liveRollouts = slices.Delete(slices.Clone(e.liveRollouts), at, at+1)
	}
}

// forgetRollouts drops the oldest that have ended.
func (s *State) forgetRollouts(e *Environment) {
	for len(e.rolloutOrder)-len(e.liveRollouts) > maxEndedRollouts {
		at := slices.IndexFunc(e.rolloutOrder, func(id string) bool { return !slices.Contains(e.liveRollouts, id) })
		r, _ := e.rollouts.Get(e.rolloutOrder[at])
		s.rest.remove(rolloutLeaf(e, r))
		e.rollouts = e.rollouts.Without(r.ID)
		e.rolloutOrder = slices.Delete(slices.Clone(e.rolloutOrder), at, at+1)
	}
}

func rolloutLeaf(e *Environment, r *Rollout) sum {
	return newLeaf(leafRollout, e.tenant, e.key, r.ID).digest(r.plan.digest).digest(r.state).digest(r.head).sum()
}

// endOwners aborts what drives a flag.
func (d *draft) endOwners(flag, why string) {
	t := d.at(ObjectFlag, flag)
	for _, x := range slices.Clone(t.exposures) {
		id, ok := rolloutOf(x)
		if r, found := d.env.Rollout(id); ok && found {
			d.abort(r, why)
		}
	}
}

func (d *draft) abort(r *Rollout, why string) {
	c := MoveRollout{Move: MoveAbort, Reason: why}
	if !r.Phase.Live() {
		c.Move = MoveDismiss
	}
	m := d.begin(c, r)
	if r.Phase.Live() {
		m.stop(PhaseAborted, RunCancelled, why)
		m.event.Kind = EventAborted
	}
	m.r.Previewed, m.r.Rings = false, nil
	m.commit()
}

// killRollouts takes away everything that stands beside a declaration, but the kill switches. Schedules stay, suspended:
// they go on when somebody resumes them.
func (d *draft) killRollouts(c KillRollouts) error {
	why := cmp.Or(c.Reason, "all rollouts of the environment were taken away")
	for _, id := range slices.Clone(d.env.liveRollouts) {
		if r, ok := d.env.Rollout(id); ok {
			d.abort(r, why)
		}
	}
	var flags []string
	d.before.exposures.All(func(flag string, _ []Exposure, _ uint64) bool {
		flags = append(flags, flag)
		return true
	})
	slices.Sort(flags)
	for _, flag := range flags {
		t := d.at(ObjectFlag, flag)
		before := t.exposures
		t.exposures = slices.DeleteFunc(slices.Clone(t.exposures), func(x Exposure) bool { return x.Owner != OwnerKill && x.Schedule == nil })
		d.suspendSchedules(t)
		if !slices.Equal(before, t.exposures) {
			t.expose(c, why, t.exposures)
		}
	}
	return nil
}

// decodeRollout reads what Save wrote.
func decodeRollout(plan, state, events []byte, head digest) (*Rollout, error) {
	r, p := &Rollout{}, &Plan{}
	if err := json.Unmarshal(plan, p, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("a rollout's plan: %w", err)
	}
	if err := json.Unmarshal(state, r, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("a rollout: %w", err)
	}
	if err := json.Unmarshal(events, &r.events, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("the events of rollout %s: %w", r.ID, err)
	}
	r.plan, r.head, r.state = newPlanRecord(p), head, digestOf(state)
	return r, nil
}
