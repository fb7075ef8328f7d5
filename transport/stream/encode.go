package stream

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// partSize is how large a frame may grow; records that are longer continue in the next frame.
const partSize = 1 << 20

// packer cuts a sequence of records into frames of at most about partSize.
type packer struct {
	size    int
	records []*hoistv1.Record
	emit    func(records []*hoistv1.Record, last bool)
}

// add takes one record, in pieces when it does not fit.
func (p *packer) add(kind hoistv1.RecordKind, key string, revision uint64, body []byte) {
	for {
		overhead := len(key) + 24
		if p.size > 0 && p.size+overhead >= partSize {
			p.flush(false)
		}
		n := min(len(body), max(partSize-p.size-overhead, 1))
		if n < len(body) && p.size > 0 { // a fresh frame holds more of it
			p.flush(false)
			continue
		}
		p.records = append(p.records, &hoistv1.Record{Kind: kind, Key: key, Revision: revision, Body: body[:n], More: n < len(body)})
		p.size += n + overhead
		if body = body[n:]; len(body) == 0 {
			return
		}
	}
}

func (p *packer) flush(last bool) {
	p.emit(p.records, last)
	p.records, p.size = nil, 0
}

// addAll adds flags and segments with the revisions that the snapshot knows.
func (p *packer) addAll(s *evaluator.Snapshot, flags []*evaluator.Compiled, segments []*evaluator.CompiledSegment) {
	for _, f := range flags {
		_, revision, _ := s.Flag(f.Key())
		p.add(hoistv1.RecordKind_RECORD_KIND_FLAG, f.Key(), revision, f.Record())
	}
	for _, g := range segments {
		_, revision, _ := s.Segment(g.Key())
		p.add(hoistv1.RecordKind_RECORD_KIND_SEGMENT, g.Key(), revision, g.Record())
	}
}

// encodeSnapshot gives everything that s serves, in parts.
func encodeSnapshot(s *evaluator.Snapshot) ([]*Frame, error) {
	var frames []*Frame
	var failed error
	p := packer{emit: func(records []*hoistv1.Record, last bool) {
		part := &hoistv1.SnapshotPart{
			Epoch: s.Epoch(), Revision: s.Revision(), ChangedAt: s.ChangedAt(), Index: int32(len(frames)), Last: last, Records: records,
			ScopeRevision: s.ScopeRevision(false), ClientRevision: s.ScopeRevision(true), SegmentRevision: s.SegmentRevision(),
		}
		frame, err := encode(&hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_Snapshot{Snapshot: part}}, 0, s.Revision(), last)
		failed = firstError(failed, err)
		frames = append(frames, frame)
	}}
	p.addAll(s, s.Flags(), s.Segments())
	p.flush(true)
	return frames, failed
}

// encodeDifference gives what changed up to the snapshot s since d.From, in parts.
func encodeDifference(s *evaluator.Snapshot, d evaluator.Difference) ([]*Frame, error) {
	var frames []*Frame
	var failed error
	p := packer{emit: func(records []*hoistv1.Record, last bool) {
		m := &hoistv1.Difference{
			Epoch: s.Epoch(), From: d.From, To: d.To, ChangedAt: s.ChangedAt(), Upserts: records, More: !last,
			ScopeRevision: s.ScopeRevision(false), ClientRevision: s.ScopeRevision(true), SegmentRevision: s.SegmentRevision(),
		}
		if last {
			m.Removals = removals(d)
		}
		frame, err := encode(&hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_Difference{Difference: m}}, d.From, d.To, last)
		failed = firstError(failed, err)
		frames = append(frames, frame)
	}}
	p.addAll(s, d.Flags, d.Segments)
	p.flush(true)
	return frames, failed
}

func removals(d evaluator.Difference) []*hoistv1.Removal {
	var out []*hoistv1.Removal
	for _, key := range d.RemovedFlags {
		out = append(out, &hoistv1.Removal{Kind: hoistv1.RecordKind_RECORD_KIND_FLAG, Key: key})
	}
	for _, key := range d.RemovedSegments {
		out = append(out, &hoistv1.Removal{Kind: hoistv1.RecordKind_RECORD_KIND_SEGMENT, Key: key})
	}
	return out
}

func encodeProgress(epoch string, revision uint64, ageMs int64) (*Frame, error) {
	m := &hoistv1.Progress{Epoch: epoch, Revision: revision, AgeMs: ageMs}
	return encode(&hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_Progress{Progress: m}}, 0, revision, true)
}

func encodeGoAway(reason string, retryMs int64) (*Frame, error) {
	m := &hoistv1.GoAway{Reason: reason, RetryWithinMs: retryMs}
	return encode(&hoistv1.FollowResponse{Frame: &hoistv1.FollowResponse_GoAway{GoAway: m}}, 0, 0, true)
}

func encode(m *hoistv1.FollowResponse, from, to uint64, last bool) (*Frame, error) {
	envelope, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, envelopeHead, 512), m)
	binary.BigEndian.PutUint32(envelope[1:envelopeHead], uint32(len(envelope)-envelopeHead))
	return &Frame{envelope: envelope, bytes: envelope[envelopeHead:], from: from, to: to, last: last}, err
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
