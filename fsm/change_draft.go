package fsm

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// What an environment remembers of changes.
const (
	maxOpenChanges  = 1000
	maxEndedChanges = 1000
	maxChangeEvents = 100
	maxDetails      = 32       // changes that have ended and keep their commands and images: those can be rolled back
	maxDetailBytes  = 64 << 20 // of all of those together; the newest always keeps its own
)

func (d *draft) openChange(c OpenChange) error {
	base := d.state.index
	change := &Change{Kind: ChangeEdit, Title: c.Title, Notes: c.Notes, Author: d.proposal.Actor, Base: base}
	m, err := d.newChange(c, change)
	if err != nil {
		return err
	}
	if err := m.hold(c.Commands, c.Since); err != nil {
		return err
	}
	m.c.Status = ChangePending
	if m.c.Required == 0 {
		m.c.Status = ChangeApproved
	}
	m.commit()
	return nil
}

func (d *draft) editChange(c EditChange) error {
	old, ok := d.env.Change(c.ID)
	if !ok {
		return notFound(c, "there is no such change; list those that wait with their ids")
	}
	m := d.beginChange(c, old, ChangeMoveEdit, c.Notes)
	if !slices.Contains(m.c.Allowed(), ChangeMoveEdit) {
		return m.illegal()
	}
	m.c.Title, m.c.Notes = cmp.Or(c.Title, old.Title), cmp.Or(c.Notes, old.Notes)
	if err := m.hold(c.Commands, c.Since); err != nil {
		return err
	}
	m.c.Status, m.c.Approvals = ChangePending, nil
	if m.c.Required == 0 {
		m.c.Status = ChangeApproved
	}
	m.commit()
	return nil
}

// newChange begins one with an id of its own: the time, and a hash of where it stands in the log.
func (d *draft) newChange(c Command, change *Change) (*changeMove, error) {
	s := d.state
	if len(d.env.openChanges) >= maxOpenChanges {
		return nil, tooMany(c, fmt.Sprintf("%d changes wait in %s already; end some", maxOpenChanges, d.env.key))
	}
	seed := sha256.Sum256(binary.BigEndian.AppendUint64(appendString(appendString(appendString(nil, s.epoch), d.env.tenant), d.env.key), s.index))
	change.ID = NewRequestID(s.now, [16]byte(seed[:16]))
	if n := len(d.env.changeOrder); n > 0 { // a review may open in the entry of another change
		if last, _ := d.env.changes.Get(d.env.changeOrder[n-1]); last.Created == s.index {
			change.ID = NewRequestID(s.now, [16]byte(seed[16:]))
		}
	}
	change.Created, change.CreatedAt = s.index, s.now
	change.Correlation = cmp.Or(d.proposal.Correlation, change.ID)
	change.Required = max(d.governance().RequiredApprovals, reviewers(change))
	return &changeMove{d: d, cmd: c, c: change, move: ChangeMoveOpen, why: change.Notes}, nil
}

// hold takes commands in. They are tried now, so that nobody approves what cannot happen.
func (m *changeMove) hold(commands []Command, since uint64) error {
	scope := Scope{m.d.env.tenant, m.d.env.key}
	encoded, err := batchOf(scope, commands)
	if err != nil {
		return err
	}
	if len(encoded) > maxChangeBytes {
		return tooMany(m.cmd, fmt.Sprintf("a change holds at most %d MiB of commands", maxChangeBytes>>20))
	}
	batch, err := DecodeCommand(encoded)
	if err != nil {
		return err
	}
	m.c.Base = m.d.state.index
	hash := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, m.c.Base), encoded...))
	m.c.Hash = digest(hash).hex()
	m.c.detail = newDetail(batch.(Batch).Commands, encoded, nil) // batchOf encoded a Batch
	return m.d.trial(func(t *draft) error {
		t.since = since
		return t.batch(m.c.detail.commands)
	})
}

// trial runs something on a copy of everything, to see whether it could be done.
func (d *draft) trial(do func(*draft) error) error {
	work := *d.state
	work.audit.rows, work.audit.news = slices.Clip(work.audit.rows), slices.Clip(work.audit.news)
	work.records.rows, work.records.news = slices.Clip(work.records.rows), slices.Clip(work.records.news)
	env := d.env.clone()
	env.graveOrder = slices.Clip(env.graveOrder)
	t := &draft{state: &work, proposal: d.proposal, before: d.before, env: env, byNode: map[string]*touch{}, folded: map[string][]*touch{}}
	if err := do(t); err != nil {
		return err
	}
	return t.finish(Batch{Scope: Scope{env.tenant, env.key}})
}

// unmoved refuses to apply what was decided on other objects than those that are there now.
func (d *draft) unmoved(c Command, change *Change) error {
	var problems evaluator.Problems
	var newest uint64
	for i, inner := range change.Commands() {
		t := inner.target()
		versions := d.before.versions(t.Object, t.Key)
		if len(versions) == 0 || versions[len(versions)-1].Revision <= change.Base {
			continue
		}
		last := versions[len(versions)-1]
		newest = max(newest, last.Revision)
		was := "(no longer kept)"
		for _, v := range slices.Backward(versions) {
			if v.Revision <= change.Base {
				was = recordText(v.Record)
				break
			}
		}
		if first := versions[0]; first.Revision > change.Base && len(versions) < maxVersions {
			was = recordText(nil)
		}
		problems = append(problems, problem(fmt.Sprintf("/commands/%d", i), "change.moved",
			fmt.Sprintf("%s %q was %s at revision %d and is %s since revision %d", t.Object, t.Key, was, change.Base, recordText(last.Record), last.Revision))...)
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: newest, Problems: problems,
		Detail: fmt.Sprintf("what it changes moved: it was made from revision %d, and revision %d changed the same; look at both values and edit the change, which asks for approvals anew",
			change.Base, newest)}
}

func recordText(record []byte) string {
	if record == nil {
		return "(absent)"
	}
	return string(record)
}

// commit stores the new form: the event, the audit row, the place in the lists.
func (m *changeMove) commit() {
	if m.same {
		return
	}
	d, s, c := m.d, m.d.state, m.c
	from := ChangeStatus("")
	before := ""
	if m.old != nil {
		from, before = m.old.Status, m.old.digest.hex()
	}
	c.Events = append(slices.Clone(c.Events[max(0, len(c.Events)-maxChangeEvents+1):]), ChangeEvent{Revision: s.index, At: s.now,
		Actor: m.by(), Move: m.move, From: from, To: c.Status, Comment: m.why})
	s.putChange(d.env, m.old, c)
	d.stirred = true
	row := Audit{Index: s.index, At: s.now, Actor: m.by(), RequestID: d.proposal.RequestID, Correlation: c.Correlation,
		Tenant: d.env.tenant, Environment: d.env.key, Verb: cmp.Or(m.verb, c.verbOf(m.move)), Target: nodeName(ObjectChange, c.ID),
		Before: before, After: c.digest.hex(), Reason: cmp.Or(m.why, d.proposal.Comment), Approvals: d.approvals}
	row.Reason = row.Reason[:min(len(row.Reason), maxNotes)]
	s.audit.append(row)
	d.object = s.index
}

// verbOf names a move as people do.
func (c *Change) verbOf(move ChangeMove) string {
	if move == ChangeMoveDue || move == ChangeMoveApply {
		switch {
		case c.Status == ChangeFailed:
			return c.noun() + ".fail"
		case c.Kind == ChangePromotion:
			return c.noun() + ".execute"
		}
		return c.noun() + ".apply"
	}
	if c.Kind == ChangeReview {
		return "review." + string(move)
	}
	return c.noun() + "." + string(move)
}

// putChange replaces a change in an environment that is still private, with its hash and its place in the lists.
func (s *State) putChange(e *Environment, old, c *Change) {
	c.Revision, c.UpdatedAt = s.index, s.now
	if old != nil {
		s.rest.remove(changeLeaf(e, old))
	} else {
		e.changeOrder = append(slices.Clip(e.changeOrder), c.ID)
	}
	c.digest = digestOf(mustEncode(c))
	s.rest.add(changeLeaf(e, c))
	e.changes = e.changes.With(c.ID, c, s.index)
	e.listOpen(c)
	s.forgetChanges(e)
}

func (e *Environment) listOpen(c *Change) {
	at := slices.Index(e.openChanges, c.ID)
	switch {
	case c.Status.Open() && at < 0:
		e.openChanges = append(slices.Clip(e.openChanges), c.ID)
	case !c.Status.Open() && at >= 0:
		e.openChanges = slices.Delete(slices.Clone(e.openChanges), at, at+1)
	}
}

// forgetChanges drops the oldest that have ended, and what is large of all but the newest of those.
func (s *State) forgetChanges(e *Environment) {
	details, bytes := 0, 0
	for _, id := range slices.Backward(e.changeOrder) {
		c, _ := e.changes.Get(id)
		if c.detail == nil || c.Status.Open() {
			continue
		}
		details++
		bytes += c.detail.bytes
		if details == 1 || details <= maxDetails && bytes <= maxDetailBytes {
			continue
		}
		light := *c
		light.detail = nil
		s.rest.remove(changeLeaf(e, c))
		s.rest.add(changeLeaf(e, &light))
		e.changes = e.changes.With(id, &light, c.Revision)
	}
	for len(e.changeOrder)-len(e.openChanges) > maxEndedChanges {
		at := slices.IndexFunc(e.changeOrder, func(id string) bool { return !slices.Contains(e.openChanges, id) })
		c, _ := e.changes.Get(e.changeOrder[at])
		s.rest.remove(changeLeaf(e, c))
		e.changes = e.changes.Without(c.ID)
		e.changeOrder = slices.Delete(slices.Clone(e.changeOrder), at, at+1)
	}
}

func changeLeaf(e *Environment, c *Change) sum {
	l := newLeaf(leafChange, e.tenant, e.key, c.ID).digest(c.digest)
	if c.detail != nil {
		l = l.digest(c.detail.digest)
	}
	return l.sum()
}
