package client

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// assembly puts frames together and applies them. It is pure: a follower without its connection. What it holds may lie
// behind what is served for a while, when a snapshot had to be taken from a node that lags.
type assembly struct {
	snapshot *evaluator.Snapshot
	epoch    string
	revision uint64 // everything up to it is in snapshot

	records []*hoistv1.Record // of a snapshot or difference whose last part has not come
	parts   int32
}

// gapError says that a frame does not continue what the follower has; only a snapshot does.
type gapError struct{ own, from, to uint64 }

func (e *gapError) Error() string {
	return fmt.Sprintf("a difference from revision %d to %d does not continue revision %d", e.from, e.to, e.own)
}

// begin forgets the parts of an earlier stream.
func (a *assembly) begin() { a.records, a.parts = nil, 0 }

// part takes one part of a snapshot; with the last one it takes effect.
func (a *assembly) part(p *hoistv1.SnapshotPart) error {
	if p.GetIndex() != a.parts {
		return fmt.Errorf("part %d of a snapshot arrived, part %d was due", p.GetIndex(), a.parts)
	}
	a.parts++
	a.records = append(a.records, p.GetRecords()...)
	if !p.GetLast() {
		return nil
	}
	flags, segments, err := decodeRecords(a.records)
	a.begin()
	if err != nil {
		return err
	}
	parts := evaluator.Parts{
		Epoch: p.GetEpoch(), Revision: p.GetRevision(), ChangedAt: p.GetChangedAt(), Floor: p.GetRevision(),
		ScopeRevision: p.GetScopeRevision(), ClientRevision: p.GetClientRevision(), SegmentRevision: p.GetSegmentRevision(),
	}
	for _, f := range flags {
		parts.Flags, parts.FlagRevisions = append(parts.Flags, f.item), append(parts.FlagRevisions, f.revision)
	}
	for _, s := range segments {
		parts.Segments, parts.SegmentRevisions = append(parts.Segments, s.item), append(parts.SegmentRevisions, s.revision)
	}
	a.snapshot, a.epoch, a.revision = evaluator.RestoreSnapshot(parts), p.GetEpoch(), p.GetRevision()
	return nil
}

// difference takes one part of a difference; with the last one it takes effect.
func (a *assembly) difference(d *hoistv1.Difference) error {
	if d.GetEpoch() != a.epoch || d.GetFrom() > a.revision {
		return &gapError{own: a.revision, from: d.GetFrom(), to: d.GetTo()}
	}
	a.records = append(a.records, d.GetUpserts()...)
	if d.GetMore() {
		return nil
	}
	flags, segments, err := decodeRecords(a.records)
	a.begin()
	if err != nil || d.GetTo() <= a.revision { // known already
		return err
	}
	a.snapshot = apply(a.snapshot, d, flags, segments)
	a.revision = d.GetTo()
	return nil
}

// progress notes that nothing else changed up to a revision.
func (a *assembly) progress(p *hoistv1.Progress) error {
	if p.GetEpoch() != a.epoch {
		return &gapError{own: a.revision, to: p.GetRevision()}
	}
	a.revision = max(a.revision, p.GetRevision())
	return nil
}

// apply gives every record the revision of its own change, so that what depends on single changes (what a watcher is told,
// which position an event carries) is the same here as on the node. Nobody sees the steps between.
func apply(s *evaluator.Snapshot, d *hoistv1.Difference, flags []revised[*evaluator.Compiled], segments []revised[*evaluator.CompiledSegment]) *evaluator.Snapshot {
	steps := []uint64{d.GetTo()} // removals, if nothing else
	for _, f := range flags {
		steps = append(steps, f.revision)
	}
	for _, g := range segments {
		steps = append(steps, g.revision)
	}
	slices.Sort(steps)
	for _, at := range slices.Compact(steps) {
		c := evaluator.Changes{Revision: at, At: d.GetChangedAt(), Flags: chosen(flags, at), Segments: chosen(segments, at)}
		if at == d.GetTo() {
			c.RemovedFlags, c.RemovedSegments = removed(d.GetRemovals())
			c.Origin = &evaluator.Origin{
				ScopeRevision: d.GetScopeRevision(), ClientRevision: d.GetClientRevision(), SegmentRevision: d.GetSegmentRevision(),
			}
		}
		s = s.With(again(s, c)).With(c)
	}
	return s
}

// again removes what c puts as it already is. Such a record was removed and came back between two frames; without this it
// would not count as changed, and keep its old revision.
func again(s *evaluator.Snapshot, c evaluator.Changes) evaluator.Changes {
	out := evaluator.Changes{Revision: c.Revision, At: c.At}
	for _, f := range c.Flags {
		if have, revision, ok := s.Flag(f.Key()); ok && revision < c.Revision && bytes.Equal(have.Record(), f.Record()) {
			out.RemovedFlags = append(out.RemovedFlags, f.Key())
		}
	}
	for _, g := range c.Segments {
		if have, revision, ok := s.Segment(g.Key()); ok && revision < c.Revision && bytes.Equal(have.Record(), g.Record()) {
			out.RemovedSegments = append(out.RemovedSegments, g.Key())
		}
	}
	return out
}

func removed(list []*hoistv1.Removal) (flags, segments []string) {
	for _, r := range list {
		if r.GetKind() == hoistv1.RecordKind_RECORD_KIND_SEGMENT {
			segments = append(segments, r.GetKey())
		} else {
			flags = append(flags, r.GetKey())
		}
	}
	return flags, segments
}

// revised is a decoded record and the revision of its last change.
type revised[T any] struct {
	item     T
	revision uint64
}

func byRevision[T any](a, b revised[T]) int { return cmp.Compare(a.revision, b.revision) }

// chosen returns the items of one revision; list is sorted by revision.
func chosen[T any](list []revised[T], revision uint64) []T {
	at, _ := slices.BinarySearchFunc(list, revised[T]{revision: revision}, byRevision)
	var out []T
	for ; at < len(list) && list[at].revision == revision; at++ {
		out = append(out, list[at].item)
	}
	return out
}

// decodeRecords decodes and compiles records and sorts them by revision. Bodies that span several records are joined.
func decodeRecords(records []*hoistv1.Record) (flags []revised[*evaluator.Compiled], segments []revised[*evaluator.CompiledSegment], err error) {
	var body []byte
	for i, r := range records {
		body = append(body, r.GetBody()...)
		if r.GetMore() {
			if i+1 == len(records) || records[i+1].GetKey() != r.GetKey() || records[i+1].GetKind() != r.GetKind() {
				return nil, nil, fmt.Errorf("record %q is cut off", r.GetKey())
			}
			continue
		}
		switch r.GetKind() {
		case hoistv1.RecordKind_RECORD_KIND_FLAG:
			compiled, err := decodeFlag(body)
			if err != nil {
				return nil, nil, fmt.Errorf("flag %q: %w", r.GetKey(), err)
			}
			flags = append(flags, revised[*evaluator.Compiled]{compiled, r.GetRevision()})
		case hoistv1.RecordKind_RECORD_KIND_SEGMENT:
			compiled, err := decodeSegment(body)
			if err != nil {
				return nil, nil, fmt.Errorf("segment %q: %w", r.GetKey(), err)
			}
			segments = append(segments, revised[*evaluator.CompiledSegment]{compiled, r.GetRevision()})
		default:
			return nil, nil, fmt.Errorf("record %q is of a kind (%s) that this client does not know; update it", r.GetKey(), r.GetKind())
		}
		body = nil
	}
	slices.SortStableFunc(flags, byRevision)
	slices.SortStableFunc(segments, byRevision)
	return flags, segments, nil
}

func decodeFlag(body []byte) (*evaluator.Compiled, error) {
	f, err := evaluator.DecodeFlag(body)
	if err != nil {
		return nil, err
	}
	return evaluator.Compile(f)
}

func decodeSegment(body []byte) (*evaluator.CompiledSegment, error) {
	s, err := evaluator.DecodeSegment(body)
	if err != nil {
		return nil, err
	}
	return evaluator.CompileSegment(s)
}
