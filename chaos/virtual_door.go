package chaos

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// wire carries HTTP requests to the doors of a virtual world: the handler is called directly, the answer streams through
// a pipe, and both break when the process ends.
type wire struct{ world *Virtual }

var errNoDoor = errors.New("chaos: connection refused")

// Do implements connect.HTTPClient.
func (w wire) Do(r *http.Request) (*http.Response, error) {
	node := r.URL.Host
	if gate := w.world.cluster.Network.Gate(node); gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	l := w.world.life(node)
	if l == nil {
		pause(r.Context(), 10*time.Millisecond)
		return nil, errNoDoor
	}
	ctx, cancel := context.WithCancel(r.Context())
	reader, writer := io.Pipe()
	breaks := context.AfterFunc(l.ctx, cancel)
	unblocks := context.AfterFunc(ctx, func() { _ = writer.CloseWithError(io.ErrUnexpectedEOF) }) // cannot fail
	a := &reply{header: http.Header{}, begun: make(chan struct{}), body: writer}
	in := r.Clone(ctx)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w.world.running.Go(func() {
		defer cancel()
		defer unblocks()
		defer breaks()
		l.server.ServeHTTP(a, in)
		a.WriteHeader(http.StatusOK)
		_ = writer.Close() // cannot fail
		_ = in.Body.Close()
	})
	select {
	case <-a.begun:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Header: a.sent, Body: &hangUp{reader, cancel}, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}, nil
}

// reply is the server's side of an answer.
type reply struct {
	header http.Header
	begun  chan struct{}
	body   *io.PipeWriter
	once   sync.Once
	status int
	sent   http.Header
}

func (a *reply) Header() http.Header { return a.header }

func (a *reply) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

func (a *reply) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// Flush implements http.Flusher: a pipe holds nothing back.
func (a *reply) Flush() { a.WriteHeader(http.StatusOK) }

// hangUp ends the request when the client has read enough.
type hangUp struct {
	io.Reader
	cancel context.CancelFunc
}

func (h *hangUp) Close() error {
	h.cancel()
	return h.Reader.(io.Closer).Close()
}
