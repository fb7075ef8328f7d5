package fsm

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// What stood beside a flag is kept like the versions of its declaration, so that what the flag served at an older
// revision can be told as long as both are held. A flag that never had an exposure costs nothing.

// standing is what stood beside a flag from a revision on. It is immutable.
type standing struct {
	from      uint64
	exposures []Exposure
	digest    digest
}

func newStanding(from uint64, exposures []Exposure) *standing {
	return &standing{from: from, exposures: exposures, digest: digestOf(mustEncode(exposures))}
}

// forgetPast lets a deleted flag take its past along, whether or not something stands beside it now.
func (w *flusher) forgetPast(flag string) {
	past, _ := w.before.past.Get(flag)
	for _, s := range past {
		w.state.rest.remove(standingLeaf(w.env, flag, s))
	}
	w.env.past = w.env.past.Without(flag)
}

// remember notes that other exposures stand beside a flag from now on.
func (w *flusher) remember(t *touch) {
	past, _ := w.before.past.Get(t.key)
	var added []*standing
	if len(past) == 0 && t.now.Created < w.state.index {
		added = append(added, newStanding(t.now.Created, nil)) // until now there was nothing
	}
	added = append(added, newStanding(w.state.index, t.exposures))
	for _, s := range added {
		w.state.rest.add(standingLeaf(w.env, t.key, s))
	}
	past = append(slices.Clone(past), added...)
	for len(past) > maxVersions {
		w.state.rest.remove(standingLeaf(w.env, t.key, past[0]))
		past = past[1:]
	}
	w.env.past = w.env.past.With(t.key, past, w.state.index)
}

func standingLeaf(e *Environment, flag string, s *standing) sum {
	return newLeaf(leafStanding, e.tenant, e.key, flag).numbers(s.from).digest(s.digest).sum()
}

func (e *Environment) savePast(w *writer, flag string) {
	past, _ := e.past.Get(flag)
	for _, s := range past {
		w.strings(flag).numbers(s.from).bytes(mustEncode(s.exposures)).end(recordStanding)
	}
}

// standing follows the flag beside which the exposures stood.
func (l *loader) standing(r *reader) error {
	flag, from := r.string(), r.uvarint()
	var exposures []Exposure
	if err := json.Unmarshal(r.bytes(), &exposures, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("what stood beside flag %q: %w", flag, err)
	}
	if l.last == nil || l.last.Key != flag {
		return fmt.Errorf("what stood beside flag %q does not follow it", flag)
	}
	s := newStanding(from, exposures)
	past, _ := l.env.past.Get(flag)
	l.env.past = l.env.past.With(flag, append(slices.Clone(past), s), from)
	l.state.rest.add(standingLeaf(l.env, flag, s))
	return nil
}

// Past is what the environment served at an older revision for one flag: a snapshot of that flag and of everything its
// answer depends on, declarations with the exposures that stood beside them. The error says when that is not held any
// more, or that the flag did not exist then.
func (e *Environment) Past(flag string, revision uint64) (*evaluator.Snapshot, error) {
	p := past{env: e, revision: revision, seen: map[string]bool{}}
	if err := p.flag(flag); err != nil {
		return nil, err
	}
	p.changes.Revision = revision
	return evaluator.EmptySnapshot(e.snapshot.Epoch()).With(p.changes), nil
}

// past collects definitions as they were at a revision.
type past struct {
	env      *Environment
	revision uint64
	seen     map[string]bool // by node name
	changes  evaluator.Changes
}

func (p *past) flag(key string) error {
	record, err := p.record(ObjectFlag, key)
	if record == nil || err != nil {
		return err
	}
	exposures, err := p.standing(key)
	if err != nil {
		return err
	}
	f := effective(mustDecode(evaluator.FlagOf(record)), exposures)
	compiled, err := evaluator.Compile(f)
	if err != nil {
		return fmt.Errorf("flag %q as of revision %d: %w", key, p.revision, err)
	}
	p.changes.Flags = append(p.changes.Flags, compiled)
	return p.follow(f.References())
}

func (p *past) follow(refs evaluator.References) error {
	for _, r := range refs.Flags {
		if err := p.flag(r.Flag); err != nil {
			return err
		}
	}
	for _, r := range refs.Segments {
		if err := p.segment(r.Segment); err != nil {
			return err
		}
	}
	return nil
}

func (p *past) segment(key string) error {
	record, err := p.record(ObjectSegment, key)
	if record == nil || err != nil {
		return err
	}
	s := mustDecode(evaluator.SegmentOf(record))
	compiled, err := evaluator.CompileSegment(s)
	if err != nil {
		return fmt.Errorf("segment %q as of revision %d: %w", key, p.revision, err)
	}
	p.changes.Segments = append(p.changes.Segments, compiled)
	return p.follow(s.References())
}

// record finds the version that stood at the revision; nil when it was taken already.
func (p *past) record(kind ObjectKind, key string) ([]byte, error) {
	if node := nodeName(kind, key); p.seen[node] {
		return nil, nil
	} else {
		p.seen[node] = true
	}
	versions := p.env.versions(kind, key)
	for _, v := range slices.Backward(versions) {
		switch {
		case v.Revision > p.revision:
		case v.Record == nil:
			return nil, p.missing(kind, key, "it was deleted then")
		default:
			return v.Record, nil
		}
	}
	if len(versions) == 0 {
		return nil, p.missing(kind, key, "there is none of that key")
	}
	return nil, p.missing(kind, key, fmt.Sprintf("the oldest version held is of revision %d", versions[0].Revision))
}

// standing finds the exposures that stood beside a flag at the revision.
func (p *past) standing(key string) ([]Exposure, error) {
	past, _ := p.env.past.Get(key)
	for _, s := range slices.Backward(past) {
		if s.from <= p.revision {
			return s.exposures, nil
		}
	}
	if it, ok := p.env.item(ObjectFlag, key); !ok || it.Created > p.revision {
		return nil, p.missing(ObjectFlag, key, "it was deleted since, and what stood beside it is not held")
	}
	if len(past) > 0 {
		return nil, p.missing(ObjectFlag, key, fmt.Sprintf("what stood beside it is held from revision %d", past[0].from))
	}
	return nil, nil
}

func (p *past) missing(kind ObjectKind, key, why string) error {
	return &Error{Kind: KindNotFound, Target: Scope{p.env.tenant, p.env.key}.object(kind, key).String(), Revision: p.env.revision,
		Detail: fmt.Sprintf("what it was at revision %d is not known: %s", p.revision, why)}
}
