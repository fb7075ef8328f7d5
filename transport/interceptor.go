package transport

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// interceptor stands around every Connect call: it turns errors into codes with details, counts, and writes the one log
// line of a request.
type interceptor struct{ *Server }

func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		began := time.Now()
		res, err := next(ctx, req)
		took := time.Since(began)
		procedure := req.Spec().Procedure
		i.meters.latency.WithLabelValues(procedure).Observe(took.Seconds())
		if err != nil {
			failed := i.connectError(err)
			i.finish(ctx, procedure, req.Header(), nil, err, failed, took)
			return nil, failed
		}
		written, _ := res.Any().(interface{ GetReceipt() *hoistv1.Receipt })
		var receipt *hoistv1.Receipt
		if written != nil {
			receipt = written.GetReceipt()
		}
		i.finish(ctx, procedure, req.Header(), receipt, nil, nil, took)
		return res, nil
	}
}

func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		began := time.Now()
		err := next(ctx, conn)
		procedure := conn.Spec().Procedure
		if err == nil {
			i.finish(ctx, procedure, conn.RequestHeader(), nil, nil, nil, time.Since(began))
			return nil
		}
		failed := i.connectError(err)
		i.finish(ctx, procedure, conn.RequestHeader(), nil, err, failed, time.Since(began))
		return failed
	}
}

// WrapStreamingClient leaves clients alone: the interceptor is for handlers.
func (i interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// finish counts a call and logs it: writes and faults of ours at info and above, everything else at debug.
func (i interceptor) finish(ctx context.Context, procedure string, header map[string][]string, receipt *hoistv1.Receipt, cause error, failed *connect.Error, took time.Duration) {
	code, level := "ok", slog.LevelDebug
	if failed != nil {
		code = failed.Code().String()
	}
	i.meters.requests.WithLabelValues(procedure, code).Inc()
	switch {
	case failed != nil && failed.Code() == connect.CodeInternal:
		level = slog.LevelError
	case receipt != nil:
		level = slog.LevelInfo
	}
	if !i.logger.Enabled(ctx, level) {
		return
	}
	who, err := callerOf(header)
	if err != nil {
		who = caller{}
	}
	attrs := []slog.Attr{
		slog.String("procedure", procedure), slog.String("code", code), slog.Duration("took", took),
		slog.String("actor", who.actor.Kind), slog.String("actor_id", who.actor.ID),
	}
	if receipt != nil {
		attrs = append(attrs, slog.Uint64("revision", receipt.GetRevision()), slog.String("request_id", receipt.GetRequestId()),
			slog.Bool("changed", receipt.GetChanged()), slog.Bool("replayed", receipt.GetReplayed()))
	}
	if cause != nil {
		attrs = append(attrs, slog.Any("error", cause))
	}
	i.logger.LogAttrs(ctx, level, "request", attrs...)
}
