package fsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// maxFindings bounds what one validation says.
const maxFindings = 200

// validate looks at the promotion as it would happen now and keeps what it saw. Looking again at the same is no change.
func (m *changeMove) validate() error {
	s, d := m.d.state, m.d
	if m.c.Status == ChangeApproved && !s.Stale(d.env, m.c) {
		m.same = true
		return nil
	}
	p, ok := s.passing(d.env, m.c)
	if !ok {
		return m.fail(KindNotFound, "there is no environment %q any more", m.c.Promotion.Source)
	}
	v := &Validation{At: s.now, SourceRevision: p.source.declaredAt, TargetRevision: p.target.declaredAt, Hash: p.hash()}
	for i := range p.steps {
		switch p.steps[i].change {
		case ChangeAdded:
			v.Added++
		case ChangeModified:
			v.Modified++
		default:
			v.Removed++
		}
	}
	m.look(p)
	v.Findings = p.findings[:min(maxFindings, len(p.findings))]
	v.Valid = !slices.ContainsFunc(p.findings, func(f Finding) bool { return f.Severity == SeverityError })
	old := m.c.Promotion.Validation
	if old != nil && old.Valid == v.Valid && old.Hash == v.Hash && old.SourceRevision == v.SourceRevision && old.TargetRevision == v.TargetRevision &&
		slices.Equal(old.Findings, v.Findings) {
		m.same = true
		return nil
	}
	if old == nil || old.Hash != v.Hash || m.c.Status == ChangeApproved || s.Stale(d.env, m.c) {
		m.c.Approvals = nil
	}
	promotion := *m.c.Promotion
	promotion.Validation = v
	m.c.Promotion, m.c.Hash, m.c.Base = &promotion, v.Hash, s.index
	m.c.Status = ChangeInvalid
	if v.Valid {
		m.c.Status = ChangeValidated
	}
	return nil
}

// look finds what keeps a promotion from happening, and what people should know before they agree.
func (m *changeMove) look(p *passage) {
	if f := m.d.env.Frozen(); f != nil {
		p.find(SeverityWarning, "freeze", "", "", "%s is frozen (%s): the promotion waits until that ends", p.target.key, f.Reason)
	}
	if g := m.d.governance(); !slices.Contains(g.AllowFrom, p.source.key) {
		p.find(SeverityError, "pipeline", "", "", "%s", pipelineText(g, p.source.key, p.target.key))
	}
	p.dependencies()
	for _, key := range p.exposed() {
		p.find(SeverityError, "exposure-active", ItemFlag, key, "a rollout or an experiment drives %s in %s; finish or abort it first", key, p.target.key)
	}
	p.drift()
	if slices.ContainsFunc(p.findings, func(f Finding) bool { return f.Severity == SeverityError }) {
		return // the trial would say the same again, and only the first of it
	}
	err := m.d.trial(func(t *draft) error {
		c := *m.c
		return (&changeMove{d: t, cmd: m.cmd, old: m.old, c: &c}).execute()
	})
	if e := (*Error)(nil); errors.As(err, &e) {
		p.find(SeverityError, codeOf(e), "", "", "%s: %s", e.Target, causeOf(e))
	} else if err != nil {
		p.find(SeverityError, "refused", "", "", "%v", err)
	}
}

func codeOf(e *Error) string {
	if len(e.Problems) > 0 {
		return e.Problems[0].Code
	}
	return "refused"
}

// dependencies: a flag needs the flags it names. Segments travel with it, so they are always there.
func (p *passage) dependencies() {
	arrives := map[string]bool{}
	for i := range p.steps {
		arrives[nodeName(p.steps[i].kind, p.steps[i].key)] = p.steps[i].change != ChangeRemoved
	}
	for i := range p.steps {
		s := &p.steps[i]
		if s.kind != ObjectFlag || s.change == ChangeRemoved || s.source.refs == nil {
			continue
		}
		for _, ref := range s.source.refs.Flags {
			there, travels := arrives[nodeName(ObjectFlag, ref.Flag)]
			if !travels {
				it, ok := p.target.item(ObjectFlag, ref.Flag)
				there = ok && !absent(ObjectFlag, it)
			}
			if !there {
				p.find(SeverityError, "dependency-missing", itemKind(ObjectFlag, s.source), s.key,
					"%s needs %s, which is neither in %s nor part of the promotion; promote %s too", s.key, ref.Flag, p.target.key, ref.Flag)
			}
		}
	}
}

// drift warns of items that somebody edited in the target after the last promotion there: they are about to be lost.
func (p *passage) drift() {
	last := p.target.lastPromotion()
	if last == nil {
		return
	}
	promoted := map[string]digest{}
	for i := range last.detail.images {
		promoted[nodeName(last.detail.images[i].kind, last.detail.images[i].key)] = last.detail.images[i].after
	}
	for i := range p.steps {
		s := &p.steps[i]
		after, ok := promoted[nodeName(s.kind, s.key)]
		if ok && digestAt(p.target, s.kind, s.key) != after {
			p.find(SeverityWarning, "drift", p.steps[i].entry().Kind, s.key, "%s was edited in %s after promotion %s", s.key, p.target.key, last.ID)
		}
	}
}

// lastPromotion is the newest that happened and still knows what it did.
func (e *Environment) lastPromotion() *Change {
	for i := len(e.changeOrder) - 1; i >= 0; i-- {
		if c, _ := e.changes.Get(e.changeOrder[i]); c.Kind == ChangePromotion && c.Status == ChangeCompleted && c.detail != nil {
			return c
		}
	}
	return nil
}

// digestAt is that of an item as it stands, zero for none.
func digestAt(e *Environment, kind ObjectKind, key string) (d digest) {
	if it, ok := e.item(kind, key); ok {
		d = it.digest()
	}
	return d
}

// fresh refuses to go on from another state than the one that was validated.
func (m *changeMove) fresh() error {
	s, v := m.d.state, m.c.Promotion.Validation
	if v == nil || !v.Valid {
		return m.fail(KindState, "it is not validated")
	}
	if !s.Stale(m.d.env, m.c) {
		return nil
	}
	source, now := m.c.Promotion.Source, uint64(0)
	if e, ok := s.Environment(m.d.env.tenant, source); ok {
		now = e.declaredAt
	}
	return m.fail(KindStale, "%s is at revision %d, validated at %d; %s is at revision %d, validated at %d; validate again", source, now, v.SourceRevision,
		m.d.env.key, m.d.env.declaredAt, v.TargetRevision)
}

// Drift lists the items of an executed promotion that do not stand any more as it left them; kept is false when the
// promotion has not happened or is too old to know.
func (e *Environment) Drift(c *Change) (items []ChangeItem, kept bool) {
	if c.detail == nil || c.Kind != ChangePromotion || c.Executed == 0 {
		return nil, false
	}
	for i := range c.detail.images {
		m := &c.detail.images[i]
		if digestAt(e, m.kind, m.key) == m.after {
			continue
		}
		item := ChangeItem{Key: m.key, Kind: m.itemKind(e), Change: ChangeModified, Before: e.recordOf(m)}
		if it, ok := e.item(m.kind, m.key); ok {
			item.After = it.Record
		} else {
			item.Change = ChangeRemoved
		}
		items = append(items, item)
	}
	return items, true
}

// recordOf is what the promotion wrote, if a history still has it.
func (e *Environment) recordOf(m *image) []byte {
	for _, v := range e.versions(m.kind, m.key) {
		if v.digest == m.after {
			return v.Record
		}
	}
	return nil
}

func (m *image) itemKind(e *Environment) ItemKind {
	if m.kind == ObjectSegment {
		return ItemSegment
	}
	record := []byte(nil)
	if m.before != nil {
		record = m.before.Record
	} else if versions := e.versions(m.kind, m.key); len(versions) > 0 {
		record = versions[0].Record
	}
	if len(record) == 0 {
		return ItemFlag
	}
	kind, _ := headOf(record)
	return ItemKind(kind)
}

// Items lists what a promotion changes: what it changed once it has happened, what it would change now before. It is
// empty for one that ended otherwise or is too old.
func (s *State) Items(e *Environment, c *Change) []ChangeItem {
	switch {
	case c.Kind != ChangePromotion:
		return nil
	case c.detail != nil && (c.Executed > 0 || len(c.detail.images) > 0):
		out := make([]ChangeItem, 0, len(c.detail.images))
		for i := range c.detail.images {
			m := &c.detail.images[i]
			item := ChangeItem{Kind: m.itemKind(e), Key: m.key, Change: m.change, After: e.recordOf(m)}
			if m.before != nil {
				item.Before = m.before.Record
			}
			out = append(out, item)
		}
		return out
	case !c.Status.Open():
		return nil
	}
	p, ok := s.passing(e, c)
	if !ok {
		return nil
	}
	out := make([]ChangeItem, 0, len(p.steps))
	for i := range p.steps {
		x := p.steps[i].entry()
		out = append(out, ChangeItem{Kind: x.Kind, Key: x.Key, Change: x.Change, Before: x.Target, After: x.Source})
	}
	return out
}

// rollback writes what the promotion found. It is refused when somebody edited the items since, unless that is meant to
// be lost too. Doing it twice is doing it once.
func (m *changeMove) rollback(c MoveChange) error {
	if m.c.Status == ChangeRolledBack {
		m.same = true
		return nil
	}
	d := m.d
	if m.c.detail == nil {
		return m.fail(KindState, "it is too old: what it found is no longer kept; restore the items one by one from their histories")
	}
	if enough, err := m.agreed(c); err != nil || !enough {
		return err
	}
	drifted, _ := d.env.Drift(m.c)
	if len(drifted) > 0 && !c.Force {
		e := m.fail(KindDrift, "%d of its items were edited since; look at them, then repeat with force to lose those edits", len(drifted))
		for _, item := range drifted[:min(maxFindings, len(drifted))] {
			e.Problems = append(e.Problems, problem("/"+string(item.Kind)+"/"+item.Key, "drift", fmt.Sprintf("%s %s was edited after the promotion", item.Kind, item.Key))...)
		}
		return e
	}
	for i := range m.c.detail.images {
		if bug.On("B21") && i > 0 {
			break
		}
		if err := m.putBack(&m.c.detail.images[i]); err != nil {
			return err
		}
	}
	d.carryOut(m.c)
	m.c.Status, m.c.Undone = ChangeRolledBack, d.state.index
	return nil
}

// agreed: whoever operates may roll back alone; others need as many people besides them as the promotion did.
func (m *changeMove) agreed(c MoveChange) (bool, error) {
	needed := m.d.governance().RequiredApprovals
	if needed == 0 || operates(m.d.state, m.by(), Scope{m.d.env.tenant, m.d.env.key}) {
		return true, nil
	}
	if !slices.ContainsFunc(m.c.Undo, func(a Consent) bool { return SamePerson(a.By, m.by()) }) {
		if len(m.c.Undo) > 0 && !m.d.state.Eligible(m.by(), m.d.governance().Approvers) {
			return false, m.fail(KindDenied, "the policy of %s does not let you approve", m.d.env.key)
		}
		m.c.Undo = append(slices.Clip(m.c.Undo), Consent{By: m.by(), At: m.d.state.now, Comment: c.Comment})
	} else {
		m.same = true
	}
	m.verb = "promotion.rollback-requested"
	if len(m.c.Undo) <= needed {
		return false, nil
	}
	m.verb, m.same = "", false
	return true, nil
}

func (m *changeMove) putBack(i *image) error {
	t := m.d.at(i.kind, i.key)
	if t.before != nil && i.before != nil && i.kind == ObjectFlag {
		kind, valueType := headOf(i.before.Record)
		if k, v := headOf(t.before.Record); k != kind || v != valueType {
			return m.fail(KindConflict, "%s was made anew as a %s of type %s; what was there was a %s of type %s, and neither ever changes: delete it first",
				i.key, k, v, kind, valueType)
		}
	}
	t.verb, t.flag, t.segment, t.ready = byRollback, nil, nil, nil
	if i.before == nil {
		t.now = nil
		if i.kind == ObjectFlag {
			t.exposures = nil
		}
		return nil
	}
	t.now = newItem(i.key, i.before.Record, i.references())
	return nil
}

// references of an image are read from its record.
func (i *image) references() evaluator.References {
	if i.kind == ObjectSegment {
		return (*SegmentRecord)(&FlagRecord{Record: i.before.Record}).Segment().References()
	}
	return (&FlagRecord{Record: i.before.Record}).Flag().References()
}
