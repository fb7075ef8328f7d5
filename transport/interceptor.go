package transport

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// interceptor stands around every Connect call: it turns errors into codes with details, counts, and writes the one log
// line of a request.
type interceptor struct{ *Server }

func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		began := time.Now()
		procedure := req.Spec().Procedure
		who, err := i.enter(req.Header(), procedures[procedure], environmentOf(req.Any()))
		var res connect.AnyResponse
		if err == nil {
			res, err = next(ctx, req)
		}
		took := time.Since(began)
		i.meters.latency.WithLabelValues(procedure).Observe(took.Seconds())
		if err != nil {
			failed := i.connectError(err)
			i.finish(ctx, procedure, who, nil, err, failed, took)
			return nil, failed
		}
		written, _ := res.Any().(interface{ GetReceipt() *hoistv1.Receipt })
		var receipt *hoistv1.Receipt
		if written != nil {
			receipt = written.GetReceipt()
		}
		i.finish(ctx, procedure, who, receipt, nil, nil, took)
		return res, nil
	}
}

// environmentOf is the environment that a request names in its body.
func environmentOf(request any) string {
	if m, ok := request.(interface{ GetEnvironment() string }); ok {
		return m.GetEnvironment()
	}
	return ""
}

func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		began := time.Now()
		procedure := conn.Spec().Procedure
		who, err := i.callerOf(conn.RequestHeader())
		if err == nil && conn.Spec().StreamType != connect.StreamTypeServer {
			err = who.may(procedures[procedure], "") // what it is about comes in pieces, if at all: none is taken before
		}
		if err == nil {
			bounded, leave := i.gate.streams.guard(ctx, who.pass)
			err = endedBy(bounded, next(bounded, &guardedConn{conn, i.Server, who, procedures[procedure]}))
			leave()
		}
		if err == nil {
			i.finish(ctx, procedure, who, nil, nil, nil, time.Since(began))
			return nil
		}
		failed := i.connectError(err)
		i.finish(ctx, procedure, who, nil, err, failed, time.Since(began))
		return failed
	}
}

// guardedConn asks for the right of a stream when its request is there, and before anything is answered.
type guardedConn struct {
	connect.StreamingHandlerConn
	server *Server
	who    caller
	asks   right
}

// Receive reads the request.
func (c *guardedConn) Receive(m any) error {
	if err := c.StreamingHandlerConn.Receive(m); err != nil {
		return err
	}
	return c.who.may(c.asks, environmentOf(m))
}

// endedBy puts the end of a token in the place of what a stream says when its context ends.
func endedBy(ctx context.Context, err error) error {
	var ended *fsm.Error
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return err
}

// WrapStreamingClient leaves clients alone: the interceptor is for handlers.
func (i interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// finish counts a call and logs it: writes and faults of ours at info and above, refusals as denials, everything else at
// debug.
func (i interceptor) finish(ctx context.Context, procedure string, who caller, receipt *hoistv1.Receipt, cause error, failed *connect.Error, took time.Duration) {
	code, level := "ok", slog.LevelDebug
	if failed != nil {
		code = failed.Code().String()
	}
	i.meters.requests.WithLabelValues(procedure, code).Inc()
	switch {
	case failed != nil && (failed.Code() == connect.CodeUnauthenticated || failed.Code() == connect.CodePermissionDenied):
		i.denied(who, procedure, cause)
		return
	case failed != nil && failed.Code() == connect.CodeInternal:
		level = slog.LevelError
	case receipt != nil:
		level = slog.LevelInfo
	}
	if !i.logger.Enabled(ctx, level) {
		return
	}
	attrs := append(who.attrs(), slog.String("procedure", procedure), slog.String("code", code), slog.Duration("took", took))
	if receipt != nil {
		attrs = append(attrs, slog.Uint64("revision", receipt.GetRevision()), slog.String("request_id", receipt.GetRequestId()),
			slog.Bool("changed", receipt.GetChanged()), slog.Bool("replayed", receipt.GetReplayed()))
	}
	if cause != nil {
		attrs = append(attrs, slog.Any("error", cause))
	}
	i.logger.LogAttrs(ctx, level, "request", attrs...)
}
