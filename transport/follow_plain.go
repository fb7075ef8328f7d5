package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	"github.com/hoistflags/hoist/transport/stream"
)

const plainContentType = "application/connect+proto"

// plainFollow serves Follow to those who speak Connect in protobuf over HTTP/1.1 or 2, which is what the Go client and
// edges do, without a Connect handler between: a frame is one write of bytes that all followers share. Everybody else
// goes on to next.
func (s *Server) plainFollow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !plainRequest(r) {
			next.ServeHTTP(w, r)
			return
		}
		p := &plainFollowing{server: s, sent: plainStream{ResponseWriter: w}, request: r, began: time.Now()}
		p.finish(p.serve())
	})
}

// plainFollowing is one such stream. What begins and ends it has functions of its own, and what it knows is here and not on
// the stack: thousands of streams rest in serve, and a stack of which a quarter is used never shrinks again.
type plainFollowing struct {
	server  *Server
	sent    plainStream
	request *http.Request
	began   time.Time
	who     caller
	asked   hoistv1.FollowRequest
}

// finish ends the stream with its error, if any, and notes it.
func (p *plainFollowing) finish(err error) {
	var failed *connect.Error
	if err != nil {
		failed = p.server.connectError(err)
		// The error is the last message of the stream; the client may be gone already.
		_ = connect.NewErrorWriter().Write(lastWords{&p.sent}, p.request, failed)
	} else {
		_ = p.sent.send(endOfStream) // as above
	}
	interceptor{p.server}.finish(p.request.Context(), hoistv1connect.SyncServiceFollowProcedure, p.who, nil, err, failed, time.Since(p.began))
}

// plainRequest tells whether the request is one that needs nothing of Connect but its envelope.
func plainRequest(r *http.Request) bool {
	encoding := first(r.Header, "Connect-Content-Encoding", "identity")
	return r.Method == http.MethodPost && first(r.Header, "Content-Type", "") == plainContentType && encoding == "identity" &&
		first(r.Header, "Connect-Timeout-Ms", "") == ""
}

// endOfStream is the message that ends a stream without an error.
var endOfStream = append([]byte{2, 0, 0, 0, 2}, "{}"...)

// serve sends frames until the stream ends.
func (p *plainFollowing) serve() error {
	if err := p.begin(); err != nil {
		return err
	}
	ctx, leave := p.server.gate.streams.guard(p.request.Context(), p.who.pass)
	defer leave()
	return endedBy(ctx, p.server.followTo(ctx, p.who.scope(p.asked.GetEnvironment()), &p.asked, p.send))
}

// begin lets the follower in and reads what it asks for.
func (p *plainFollowing) begin() (err error) {
	if p.who, err = p.server.callerOf(p.request.Header); err != nil {
		return err
	}
	if err := readEnvelope(p.request.Body, &p.asked); err != nil {
		return err
	}
	if err := p.who.may(procedures[hoistv1connect.SyncServiceFollowProcedure], p.asked.GetEnvironment()); err != nil {
		return err
	}
	p.asked.ReportsUse = p.server.reports(p.who, &p.asked)
	p.sent.Header()["Content-Type"] = []string{plainContentType}
	return nil
}

func (p *plainFollowing) send(f *stream.Frame) error { return p.sent.send(f.Envelope()) }

// readEnvelope reads the one message of the request.
func readEnvelope(body io.Reader, into proto.Message) error {
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "request", Detail: "the stream's request is missing", Err: err}
	}
	size := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || size > maxManagementBody {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "request", Detail: "the request must be one plain message of at most 1 MiB"}
	}
	data := make([]byte, size)
	_, err := io.ReadFull(body, data)
	if err == nil {
		_, err = io.ReadFull(body, head[:1])
		if errors.Is(err, io.EOF) {
			err = proto.Unmarshal(data, into)
		} else {
			err = errors.New("something follows the request")
		}
	}
	if err != nil {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "request", Detail: "the request is not a hoist.v1.FollowRequest", Err: err}
	}
	return nil
}

// plainStream is a response of which the header goes out once, with the first message.
type plainStream struct {
	http.ResponseWriter
	started bool
}

// WriteHeader lets an error follow messages in the same stream.
func (p *plainStream) WriteHeader(status int) {
	if !p.started {
		p.started = true
		p.ResponseWriter.WriteHeader(status)
	}
}

// lastWords is a response whose writing cannot fail: nobody is left to tell, and Connect's writer of errors, which has no
// context, panics when it is told.
type lastWords struct{ http.ResponseWriter }

func (l lastWords) Write(b []byte) (int, error) {
	_, _ = l.ResponseWriter.Write(b)
	return len(b), nil
}

// send writes one message and what the connection holds back.
func (p *plainStream) send(envelope []byte) error {
	p.started = true
	if _, err := p.Write(envelope); err != nil {
		return err
	}
	return http.NewResponseController(p.ResponseWriter).Flush()
}
