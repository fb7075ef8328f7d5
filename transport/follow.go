package transport

import (
	"context"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	"github.com/hoistflags/hoist/transport/stream"
)

// followHandler serves SyncService.Follow. It is built by hand because its responses are frames that were encoded once
// for all followers; compression is off, as it would be done once per follower.
func (s *Server) followHandler(opts ...connect.HandlerOption) http.Handler {
	method := hoistv1.File_hoist_v1_sync_proto.Services().ByName("SyncService").Methods().ByName("Follow")
	binary, json := stream.Codecs()
	return connect.NewServerStreamHandlerSimple(hoistv1connect.SyncServiceFollowProcedure, s.follow, append(opts,
		connect.WithSchema(method), connect.WithCodec(binary), connect.WithCodec(json),
		connect.WithCompressMinBytes(maxFrame))...)
}

// maxFrame is larger than any frame, so that none is compressed.
const maxFrame = 1 << 30

func (s *Server) follow(ctx context.Context, r *hoistv1.FollowRequest, out *connect.ServerStream[stream.Frame]) error {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return err
	}
	r.ReportsUse = s.reports(who, r)
	return s.followTo(ctx, who.scope(r.GetEnvironment()), r, out.Send)
}

// followTo sends frames until the stream ends. Errors are *fsm.Error or the context's.
func (s *Server) followTo(ctx context.Context, scope fsm.Scope, r *hoistv1.FollowRequest, send func(*stream.Frame) error) error {
	leave, err := s.streams.enter("follow")
	if err != nil {
		return err
	}
	defer leave()
	cursor, err := s.cursor(ctx, scope, r)
	if err != nil {
		return s.followError(err, scope)
	}
	defer cursor.Close()
	followed := s.scopes.find(scope)
	for {
		frame, err := cursor.Next(ctx)
		if followed != nil && !r.GetReportsUse() {
			followed.use.Whole()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.followError(err, scope)
		}
		if err := send(frame); err != nil {
			return slow(ctx, err)
		}
	}
}

func (s *Server) cursor(ctx context.Context, scope fsm.Scope, r *hoistv1.FollowRequest) (*stream.Cursor, error) {
	return s.hub.Follow(ctx, stream.Request{
		Tenant: scope.Tenant, Environment: scope.Environment, Age: s.streams.life(),
		At: stream.Position{Epoch: r.GetEpoch(), Revision: r.GetRevision()},
	})
}

// slow tells a reader that did not read from one that left.
func slow(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return &fsm.Error{Kind: KindSlowConsumer, Op: "send", Target: "frame", Err: err,
		Detail: "nothing was read for 10 s; reconnect from the last revision that was applied"}
}

// followError gives the errors of stream their kinds.
func (s *Server) followError(err error, scope fsm.Scope) error {
	_, revision := s.source.At(scope)
	e := &fsm.Error{Op: "follow", Target: scope.Environment, Revision: revision, Err: err}
	switch {
	case errors.Is(err, stream.ErrUnknown):
		return s.source.Missing(scope)
	case errors.Is(err, stream.ErrBehind):
		e.Kind, e.Detail = KindNodeBehind, "this node has not applied that revision yet; ask another node or wait"
	case errors.Is(err, stream.ErrRestored):
		e.Kind, e.Detail = fsm.KindRestored, "the state was replaced; follow again and take a snapshot"
	case errors.Is(err, stream.ErrClosed):
		e.Kind, e.Detail = KindNotReady, "this node is shutting down; follow another one"
	default:
		return err
	}
	return e
}
