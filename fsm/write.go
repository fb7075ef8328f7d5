package fsm

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// define gives a touched object a definition. What stands there already is no change.
func (t *touch) define(c Command, record []byte, refs evaluator.References) {
	if t.now != nil && bytes.Equal(t.now.Record, record) {
		return
	}
	t.now = newItem(t.key, record, refs)
	t.verb, t.flag, t.decoded, t.segment, t.ready = c.Verb(), nil, false, nil, nil
}

// newItem is an item that flush has yet to stamp.
func newItem(key string, record []byte, refs evaluator.References) *item {
	it := &item{FlagRecord: FlagRecord{Key: key, Record: record}}
	if len(refs.Flags)+len(refs.Segments) > 0 {
		it.refs = &refs
	}
	return it
}

// remove deletes a flag with its exposures, or a segment. Its history stays.
func (d *draft) remove(c Command) error {
	target := c.target()
	t := d.at(target.Object, target.Key)
	if t.now == nil {
		return missingItem(c)
	}
	t.now, t.flag, t.segment, t.ready, t.exposures, t.verb = nil, nil, nil, nil, nil, c.Verb()
	return nil
}

// flush writes what the touches came to: tables, history, reverse references, hashes and audit rows.
func (d *draft) flush() {
	w := flusher{draft: d}
	for _, t := range d.touches {
		if t.before != nil && t.now != nil && bytes.Equal(t.before.Record, t.now.Record) {
			t.now = t.before
		}
		defined := t.before != t.now
		exposed := t.kind == ObjectFlag && !slices.Equal(t.exposures, d.before.Exposures(t.key))
		if defined {
			w.defined = append(w.defined, t)
		}
		if exposed {
			w.exposed = append(w.exposed, t)
		}
		if defined || exposed {
			d.moved = append(d.moved, t)
		}
	}
	if bug.On("B09") {
		w.defined = bug.Shuffle(w.defined)
	}
	w.definitions()
	if len(w.defined) > 0 {
		d.env.declaredAt = d.state.index
	}
	w.exposures()
	w.relink()
}

// flusher edits every table once.
type flusher struct {
	*draft
	defined, exposed []*touch
	linked           []string // targets in links, in order
	links            map[string]*evaluator.Edit[struct{}]
}

func (w *flusher) definitions() {
	var flags, segments *evaluator.Edit[*item]
	table := func(kind ObjectKind) *evaluator.Edit[*item] {
		edit := &flags
		if kind == ObjectSegment {
			edit = &segments
		}
		if *edit == nil {
			*edit = w.env.table(kind).Edit()
		}
		return *edit
	}
	w.late = w.lone()
	if len(w.defined) > 1 {
		w.state.audit.expect(len(w.defined))
	}
	for _, t := range w.defined { // removals first: a key that differs only in case may come into the place
		if t.before != nil {
			w.dropLeaves(t.kind, t.before)
		}
		if t.before != nil && t.now == nil {
			table(t.kind).Delete(indexKey(t.kind, t.key))
		}
	}
	for _, t := range w.defined {
		versions := w.grow(t)
		if t.now == nil {
			if t.kind == ObjectFlag {
				w.forgetUse(t.key)
				w.forgetPast(t.key)
			}
			w.bury(nodeName(t.kind, t.key), versions)
		} else {
			w.stamp(t, versions)
			if t != w.late {
				table(t.kind).Put(indexKey(t.kind, t.key), t.now, w.state.index)
			}
			w.addLeaves(t.kind, t.now)
		}
		w.audit(t, t.verb, t.before, t.now, "")
	}
	if flags != nil {
		w.env.flags = flags.Done()
	}
	if segments != nil {
		w.env.segments = segments.Done()
	}
}

// lone is the flag that a command changes without coming or going and without changing what it refers to. Nothing looks
// for it in the table before the command is accepted, so that land can put it there, into pages that a batch shares.
func (w *flusher) lone() *touch {
	if len(w.defined) != 1 || len(w.moved) != 1 {
		return nil
	}
	t := w.defined[0]
	if t.kind != ObjectFlag || t.before == nil || t.now == nil || t.before.refs != nil || t.now.refs != nil {
		return nil
	}
	return t
}

// land puts the lone flag in its place. Nothing may refuse the command after it: pages that a batch shares are changed.
func (d *draft) land() {
	if d.late != nil {
		edit := d.env.flags.EditAs(d.owner)
		edit.Put(indexKey(ObjectFlag, d.late.key), d.late.now, d.state.index)
		d.env.flags = edit.Done()
	}
}

// stamp completes the new item.
func (w *flusher) stamp(t *touch, versions []*version) {
	t.now.Revision, t.now.Created, t.now.UpdatedAt, t.now.versions = w.state.index, w.state.index, w.state.now, versions
	if t.before != nil {
		t.now.Created = t.before.Created
	}
}

// grow returns the history with one version more.
func (w *flusher) grow(t *touch) []*version {
	node := nodeName(t.kind, t.key)
	old := w.before.versions(t.kind, t.key)
	w.unbury(node)
	added := &version{Version: Version{Revision: w.state.index, At: w.state.now, Actor: w.proposal.Actor, Verb: t.verb}}
	if t.now != nil {
		t.now.Record, added.digest = t.stored(old)
		added.Record = t.now.Record
	}
	w.state.rest.add(versionLeaf(w.env, node, added))
	grown := append(append(make([]*version, 0, len(old)+1), old...), added)
	drop := trimmed(grown)
	for _, v := range grown[:drop] {
		w.state.rest.remove(versionLeaf(w.env, node, v))
	}
	clear(grown[:drop]) // what was dropped must not stay in memory
	return grown[drop:]
}

// stored is the record with its digest, by preference that of an older version with the same bytes: a flag that is
// switched on and off keeps two records, not twenty.
func (t *touch) stored(old []*version) ([]byte, digest) {
	for _, v := range slices.Backward(old) {
		if bytes.Equal(v.Record, t.now.Record) {
			return v.Record, v.digest
		}
	}
	if t.ready != nil {
		return t.now.Record, t.ready.digest
	}
	return t.now.Record, digestOf(t.now.Record)
}

// maxGraves bounds the histories of deleted items per environment.
const maxGraves = 10_000

func (w *flusher) bury(node string, versions []*version) {
	e := w.env
	e.graves = e.graves.With(node, versions, w.state.index)
	e.graveOrder = append(e.graveOrder, node)
	for e.graves.Len() > maxGraves {
		oldest := e.graveOrder[0]
		e.graveOrder = e.graveOrder[1:]
		versions, _ := e.graves.Get(oldest)
		for _, v := range versions {
			w.state.rest.remove(versionLeaf(e, oldest, v))
		}
		e.graves = e.graves.Without(oldest)
	}
}

// unbury takes a history out of its grave because its item exists again.
func (w *flusher) unbury(node string) {
	e := w.env
	if _, buried := e.graves.Get(node); !buried {
		return
	}
	e.graves = e.graves.Without(node)
	at := slices.Index(e.graveOrder, node)
	e.graveOrder = slices.Delete(slices.Clone(e.graveOrder), at, at+1)
}

func (w *flusher) exposures() {
	for _, t := range w.exposed {
		old := w.before.Exposures(t.key)
		for _, x := range old {
			w.state.domain.remove(exposureLeaf(w.env, x))
			w.state.rest.remove(exposedLeaf(w.env, x))
		}
		for _, x := range t.exposures {
			w.state.domain.add(exposureLeaf(w.env, x))
			w.state.rest.add(exposedLeaf(w.env, x))
		}
		if len(t.exposures) == 0 {
			w.env.exposures = w.env.exposures.Without(t.key)
		} else {
			w.env.exposures = w.env.exposures.With(t.key, t.exposures, w.state.index)
		}
		if t.now == nil {
			continue
		}
		w.remember(t)
		if t.switched != "" { // a rollout that moved has a row of its own
			w.audit(t, t.switched, t.now, t.now, t.reason)
		}
	}
}

func (w *flusher) relink() {
	for _, t := range w.defined {
		self, was, is := nodeName(t.kind, t.key), t.before.edges(), t.now.edges()
		for _, target := range was {
			if !slices.Contains(is, target) {
				w.link(target).Delete(self)
			}
		}
		for _, target := range is {
			if !slices.Contains(was, target) {
				w.link(target).Put(self, struct{}{}, 0)
			}
		}
	}
	if len(w.linked) == 0 {
		return
	}
	referrers := w.env.referrers.Edit()
	for _, target := range w.linked {
		if set := w.links[target].Done(); set.Len() > 0 {
			referrers.Put(target, set, 0)
		} else {
			referrers.Delete(target)
		}
	}
	w.env.referrers = referrers.Done()
}

func (w *flusher) link(target string) *evaluator.Edit[struct{}] {
	if edit, ok := w.links[target]; ok {
		return edit
	}
	set, ok := w.before.referrers.Get(target)
	if !ok {
		set = &referrerSet{}
	}
	if w.links == nil {
		w.links = map[string]*evaluator.Edit[struct{}]{}
	}
	w.linked = append(w.linked, target)
	w.links[target] = set.Edit()
	return w.links[target]
}

func (w *flusher) dropLeaves(kind ObjectKind, it *item) {
	w.env.declared.remove(declaredLeaf(kind, it))
	w.state.domain.remove(objectLeaf(w.env, kind, it))
	w.state.rest.remove(stampLeaf(w.env, kind, it))
}

func (w *flusher) addLeaves(kind ObjectKind, it *item) {
	w.env.declared.add(declaredLeaf(kind, it))
	w.state.domain.add(objectLeaf(w.env, kind, it))
	w.state.rest.add(stampLeaf(w.env, kind, it))
}

func declaredLeaf(kind ObjectKind, it *item) sum {
	return newLeaf(leafObject, string(kind), it.Key).digest(it.digest()).sum()
}

func objectLeaf(e *Environment, kind ObjectKind, it *item) sum {
	return newLeaf(leafObject, e.tenant, e.key, string(kind), it.Key).digest(it.digest()).sum()
}

func stampLeaf(e *Environment, kind ObjectKind, it *item) sum {
	return newLeaf(leafStamp, e.tenant, e.key, string(kind), it.Key).
		numbers(it.Revision, it.Created, uint64(it.UpdatedAt)).sum()
}

func versionLeaf(e *Environment, node string, v *version) sum {
	return newLeaf(leafVersion, e.tenant, e.key, node, v.Verb).
		numbers(v.Revision, uint64(v.At)).actor(v.Actor).digest(v.digest).sum()
}

func (w *flusher) audit(t *touch, verb string, before, after *item, reason string) {
	if verb == verbKill && bug.On("B17") {
		return
	}
	row := Audit{Index: w.state.index, At: w.state.now, Actor: w.proposal.Actor, RequestID: w.proposal.RequestID, Correlation: w.proposal.Correlation,
		Tenant: w.env.tenant, Environment: w.env.key, Verb: verb, Target: nodeName(t.kind, t.key),
		Reason: cmp.Or(reason, w.proposal.Comment), Approvals: w.approvals}
	if before != nil {
		row.Before = before.digest().hex()
	}
	if after != nil {
		row.After = after.digest().hex()
	}
	if before != after && after != nil {
		w.state.audit.write(row, after.Record)
		return
	}
	w.state.audit.append(row)
}

// overtaken refuses to change an object that somebody else changed after the batch was made.
func (d *draft) overtaken(t *touch) error {
	versions := d.before.versions(t.kind, t.key)
	if d.since == 0 || len(versions) == 0 || t.before == t.now {
		return nil
	}
	last := versions[len(versions)-1]
	if last.Revision <= d.since {
		return nil
	}
	return &Error{Kind: KindConflict, Target: d.name(t), Revision: last.Revision,
		Detail: fmt.Sprintf("%s was changed at revision %d, after this write was made from revision %d; compare again and repeat",
			d.name(t), last.Revision, d.since)}
}
