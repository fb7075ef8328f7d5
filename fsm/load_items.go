package fsm

import (
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// item takes one flag or segment. Its declaration is decoded once, for what it refers to and for what it serves.
func (l *loader) item(kind ObjectKind, r *reader) error {
	it := &item{FlagRecord: FlagRecord{Key: r.string(), Created: r.uvarint()}}
	served := r.uvarint()
	it.versions = l.versions(r)
	if r.failed || len(it.versions) == 0 {
		return fmt.Errorf("%s %q has no version", kind, it.Key)
	}
	newest := it.versions[len(it.versions)-1]
	it.Revision, it.UpdatedAt, it.Record = newest.Revision, newest.At, newest.Record
	if err := l.define(kind, it, served); err != nil {
		return fmt.Errorf("%s %q: %w", kind, it.Key, err)
	}
	for _, v := range it.versions {
		l.state.rest.add(versionLeaf(l.env, nodeName(kind, it.Key), v))
	}
	l.env.declared.add(declaredLeaf(kind, it))
	l.state.domain.add(objectLeaf(l.env, kind, it))
	l.state.rest.add(stampLeaf(l.env, kind, it))
	l.tables.put(kind, it)
	l.env.declaredAt = max(l.env.declaredAt, it.Revision)
	l.last = it
	return nil
}

// tables are the indexes of an environment while they fill.
type tables struct {
	flags, segments *evaluator.Edit[*item]
	referrers       map[string]*evaluator.Edit[struct{}]
}

func newTables() tables {
	return tables{flags: new(evaluator.Index[*item]).Edit(), segments: new(evaluator.Index[*item]).Edit(),
		referrers: map[string]*evaluator.Edit[struct{}]{}}
}

func (t *tables) put(kind ObjectKind, it *item) {
	edit := t.flags
	if kind == ObjectSegment {
		edit = t.segments
	}
	edit.Put(indexKey(kind, it.Key), it, it.Revision)
	for _, target := range it.edges() {
		set, ok := t.referrers[target]
		if !ok {
			set = new(referrerSet).Edit()
			t.referrers[target] = set
		}
		set.Put(nodeName(kind, it.Key), struct{}{}, 0)
	}
}

func (t *tables) fill(e *Environment) {
	e.flags, e.segments = t.flags.Done(), t.segments.Done()
	referrers := e.referrers.Edit()
	for target, set := range t.referrers {
		referrers.Put(target, set.Done(), 0)
	}
	e.referrers = referrers.Done()
}

func (l *loader) define(kind ObjectKind, it *item, served uint64) error {
	var refs evaluator.References
	if kind == ObjectSegment {
		s, err := evaluator.SegmentOf(it.Record)
		if err != nil {
			return err
		}
		compiled, err := evaluator.CompileSegment(s)
		if err != nil {
			return err
		}
		refs = s.References()
		l.parts.Segments = append(l.parts.Segments, compiled)
		l.parts.SegmentRevisions = append(l.parts.SegmentRevisions, served)
	} else {
		f, err := evaluator.FlagOf(it.Record)
		if err != nil {
			return err
		}
		compiled, err := evaluator.CompileOf(f, it.Record)
		if err != nil {
			return err
		}
		refs = f.References()
		l.parts.Flags = append(l.parts.Flags, compiled)
		l.parts.FlagRevisions = append(l.parts.FlagRevisions, served)
	}
	if len(refs.Flags)+len(refs.Segments) > 0 {
		it.refs = &refs
	}
	return nil
}

func (l *loader) versions(r *reader) []*version {
	n := r.uvarint()
	if n > maxVersions {
		r.failed = true
		return nil
	}
	out := make([]*version, 0, n)
	for range n {
		v := &version{Version: Version{Revision: r.uvarint(), At: r.varint(), Actor: l.actor(r), Verb: l.intern(r), Record: r.bytes()}}
		if len(v.Record) == 0 {
			v.Record = nil
		} else {
			v.digest = digestOf(v.Record)
		}
		out = append(out, v)
	}
	return out
}

func (l *loader) actor(r *reader) Actor {
	return Actor{Kind: l.intern(r), ID: l.intern(r), Email: l.intern(r), Token: l.intern(r), Owner: l.intern(r)}
}

func (l *loader) intern(r *reader) string { return l.once(r.string()) }

// once gives the copy of a text that is kept already.
func (l *loader) once(s string) string {
	if kept, ok := l.strings[s]; ok {
		return kept
	}
	l.strings[s] = s
	return s
}

// interned shares the names that stand in many rows.
func (l *loader) interned(row Audit) Audit {
	for _, s := range [...]*string{&row.Actor.Kind, &row.Actor.ID, &row.Actor.Email, &row.Actor.Token, &row.Actor.Owner,
		&row.Tenant, &row.Environment, &row.Verb} {
		*s = l.once(*s)
	}
	return row
}

// exposure follows the flag it stands beside: the flag compiles again, with it.
func (l *loader) exposure(r *reader, x Exposure) error {
	x.Revision, x.At, x.By, x.Reason = r.uvarint(), r.varint(), l.actor(r), r.string()
	it, n := l.last, len(l.parts.Flags)-1
	if n < 0 || it.Key != x.Flag || l.parts.Flags[n].Key() != x.Flag {
		return fmt.Errorf("an exposure of flag %q does not follow it", x.Flag)
	}
	list := append(slices.Clone(l.env.Exposures(x.Flag)), x)
	l.env.exposures = l.env.exposures.With(x.Flag, list, x.Revision)
	l.state.domain.add(exposureLeaf(l.env, x))
	l.state.rest.add(exposedLeaf(l.env, x))
	compiled, err := evaluator.Compile(effective(it.Flag(), list))
	if err != nil {
		return fmt.Errorf("flag %q with its exposures: %w", x.Flag, err)
	}
	l.parts.Flags[n] = compiled
	return nil
}

func (l *loader) grave(r *reader) error {
	node := r.string()
	versions := l.versions(r)
	for _, v := range versions {
		l.state.rest.add(versionLeaf(l.env, node, v))
	}
	l.env.graves = l.env.graves.With(node, versions, l.env.revision)
	if n := len(versions); n > 0 {
		l.env.declaredAt = max(l.env.declaredAt, versions[n-1].Revision)
	}
	l.env.graveOrder = append(l.env.graveOrder, node)
	return nil
}
