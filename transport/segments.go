package transport

import (
	"context"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// segmentService answers hoist.v1.SegmentService.
type segmentService struct{ *Server }

func (s segmentService) List(ctx context.Context, r *hoistv1.ListSegmentsRequest) (*hoistv1.ListSegmentsResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	records := env.Segments()
	out := &hoistv1.ListSegmentsResponse{Position: s.position(state)}
	for _, record := range records[after(len(records), r.GetPageToken(), func(i int) string { return records[i].Key }):] {
		if len(out.Segments) == size {
			out.NextPageToken = pageToken(out.Segments[size-1].GetState().GetSegment().GetKey())
			break
		}
		segment := record.Segment()
		if !mentions(r.GetQuery(), segment.Key, segment.Name, segment.Description) {
			continue
		}
		out.Segments = append(out.Segments, &hoistv1.SegmentSummary{
			State:    wire.EncodeSegmentState(record, env.Referrers(fsm.ObjectSegment, record.Key), false),
			Included: int32(len(segment.Include)), Excluded: int32(len(segment.Exclude)),
		})
	}
	return out, nil
}

func (s segmentService) Get(ctx context.Context, r *hoistv1.GetSegmentRequest) (*hoistv1.GetSegmentResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	record, ok := env.Segment(r.GetKey())
	if !ok {
		return nil, missing("get segment", r.GetKey(), env)
	}
	return &hoistv1.GetSegmentResponse{
		State:    wire.EncodeSegmentState(record, env.Referrers(fsm.ObjectSegment, record.Key), true),
		Position: s.position(state),
	}, nil
}

func (s segmentService) Put(ctx context.Context, r *hoistv1.PutSegmentRequest) (*hoistv1.SegmentReceipt, error) {
	segment, err := wire.DecodeSegment(r.GetSegment())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, r.GetEnvironment(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.PutSegment{Scope: scope, Segment: segment}
	})
}

func (s segmentService) Delete(ctx context.Context, r *hoistv1.DeleteSegmentRequest) (*hoistv1.SegmentReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.DeleteSegment{Scope: scope, Key: r.GetKey()}
	})
}

func (s segmentService) Restore(ctx context.Context, r *hoistv1.RestoreRequest) (*hoistv1.SegmentReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return s.restoringOr(scope, fsm.ObjectSegment, r)
	})
}

func (s segmentService) History(ctx context.Context, r *hoistv1.HistoryRequest) (*hoistv1.HistoryResponse, error) {
	return s.history(ctx, fsm.ObjectSegment, r)
}

func (s segmentService) change(ctx context.Context, environment string, opts *hoistv1.WriteOptions, command func(fsm.Scope) fsm.Command) (*hoistv1.SegmentReceipt, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, who, command(who.scope(environment)), opts)
	if err != nil {
		return nil, err
	}
	return &hoistv1.SegmentReceipt{Receipt: receipt}, nil
}
