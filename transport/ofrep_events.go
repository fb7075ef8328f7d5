package transport

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// commentEvery keeps an idle event stream alive, well below the inactivity that clients are told.
const commentEvery = 15 * time.Second

// events is the event stream: one event whenever the scope has changed, with the newest position. Events carry nothing
// but that position, so those that were missed fold into one.
func (o *ofrep) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	token, pass, ok := o.verify(query.Get("st"), time.Now())
	p := o.server.scopes.find(token.scope)
	if !ok || p == nil {
		o.unauthorized(w)
		return
	}
	leave, err := o.server.streams.enter("sse")
	if err != nil {
		o.unavailable(w, token.scope, "", err)
		return
	}
	defer leave()
	ctx, end := o.server.gate.streams.guard(r.Context(), pass)
	defer end()
	ctx, cancel := o.server.streams.bound(ctx)
	defer cancel()
	ctx, expire := context.WithDeadline(ctx, token.ends().Add(slotTolerance))
	defer expire()
	start := first(r.Header, "Last-Event-Id", query.Get("since"))
	paced := newPacedWriter(w)
	defer paced.end()
	o.openStream(paced, token.scope)
	s := eventStream{out: paced, client: token.client(), notified: o.server.meters.notified.Observe}
	s.run(ctx, p.live, start)
}

// openStream sends the header and the first bytes at once, so that the client knows that it is connected.
func (o *ofrep) openStream(w *pacedWriter, scope fsm.Scope) {
	h := w.Header()
	o.stampHeaders(h, scope)
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = []string{"no-store, no-transform"}
	h["X-Accel-Buffering"] = []string{"no"}
	w.WriteHeader(http.StatusOK)
	w.Write([]byte("retry: 2000\n:\n\n")) //nolint:errcheck // failed remembers it
	w.Flush()
}

// eventStream is one open stream.
type eventStream struct {
	out      *pacedWriter
	client   bool // hears of client-visible flags only
	buffer   []byte
	epoch    string
	sent     uint64 // scope revision that the client knows of
	notified func(seconds float64)
}

// run sends events until the context ends or the client does not take them.
func (s *eventStream) run(ctx context.Context, live *evaluator.Live, start string) {
	snapshot := live.Snapshot()
	if s.begin(snapshot, start) {
		s.notify(snapshot)
	}
	for !s.out.failed.Load() {
		quiet, cancel := context.WithTimeout(ctx, commentEvery)
		next, err := live.Wait(quiet, snapshot)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.write([]byte(":\n\n"))
			continue
		}
		snapshot = next
		if snapshot.Epoch() != s.epoch || snapshot.ScopeRevision(s.client) > s.sent {
			s.notify(snapshot)
			s.notified(time.Since(time.UnixMilli(snapshot.ChangedAt())).Seconds())
		}
	}
}

// begin places the stream and tells whether the client has missed something: everything that is not known to be the
// present, or a past of the same epoch in which nothing has changed since, counts as missed.
func (s *eventStream) begin(snapshot *evaluator.Snapshot, start string) (missed bool) {
	s.epoch, s.sent = snapshot.Epoch(), snapshot.ScopeRevision(s.client)
	if start == "" {
		return false
	}
	epoch, revision, ok := parsePosition(start)
	return !ok || epoch != s.epoch || revision != s.sent
}

// notify sends one event with the newest position.
func (s *eventStream) notify(snapshot *evaluator.Snapshot) {
	s.epoch, s.sent = snapshot.Epoch(), snapshot.ScopeRevision(s.client)
	id := s.epoch + "." + strconv.FormatUint(s.sent, 10)
	b := append(s.buffer[:0], "id: "...)
	b = append(b, id...)
	b = append(b, "\nevent: message\ndata: {\"type\":\"refetchEvaluation\",\"etag\":\"\\\""...)
	b = append(b, id...)
	b = append(b, "\\\"\",\"lastModified\":"...)
	b = strconv.AppendInt(b, snapshot.ChangedAt()/1000, 10)
	b = append(b, "}\n\n"...)
	s.buffer = b
	s.write(b)
}

// write sends what is there at once. A failure ends the stream; paced remembers it.
func (s *eventStream) write(b []byte) {
	s.out.Write(b) //nolint:errcheck // failed remembers it
	s.out.Flush()
}
