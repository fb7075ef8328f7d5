package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/hoistflags/hoist/fsm"
)

// streamRate is how many new streams a node takes per second: the 5,000 of a restarted neighbour are current again
// within 10 s, and the node still answers evaluations meanwhile.
const streamRate = 2000

// admission lets streams in, bounds their number and their life, and tells them when the server shuts down.
type admission struct {
	limit   int64
	age     time.Duration
	meters  *meters
	pace    *rate.Limiter
	open    atomic.Int64
	closing context.Context // the server's life, not a request's
	drain   context.CancelFunc
}

func newAdmission(limit int, age time.Duration, m *meters) *admission {
	a := &admission{limit: int64(limit), age: age, meters: m, pace: rate.NewLimiter(streamRate, streamRate)}
	a.closing, a.drain = context.WithCancel(context.Background())
	return a
}

// enter counts a stream in, or refuses it as OVERLOADED. Call leave when it ends.
func (a *admission) enter(name string) (leave func(), err error) {
	if a.open.Add(1) > a.limit || !a.pace.Allow() {
		a.open.Add(-1)
		return nil, &fsm.Error{Kind: fsm.KindOverloaded, Op: "open stream", Target: name,
			Detail: "this node has as many streams as it takes (" + strconv.FormatInt(a.limit, 10) + " open, 2000 new per second); ask another node or wait"}
	}
	gauge := a.meters.streams.WithLabelValues(name)
	gauge.Inc()
	return func() { a.open.Add(-1); gauge.Dec() }, nil
}

// life is how long a stream may live: the mean +-20 %, so that streams opened together do not end together.
func (a *admission) life() time.Duration {
	return time.Duration(float64(a.age) * (0.8 + 0.4*rand.Float64()))
}

// bound ends a stream's context at the end of its life, and when the server shuts down.
func (a *admission) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.life(), errLifeOver)
	stop := context.AfterFunc(a.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// errLifeOver is why a stream's context ends when nothing is wrong.
var errLifeOver = errors.New("the stream has reached its age")

// over tells a stream that ended as planned, so that the client comes back, from one that the client left or broke.
func (a *admission) over(ctx context.Context) bool {
	return a.closing.Err() != nil || errors.Is(context.Cause(ctx), errLifeOver)
}

// pacedWriter gives every write of a stream its own deadline, and lifts those that the server set for whole requests.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	failed  atomic.Bool
	by      time.Time // the deadline that is set
}

func newPacedWriter(w http.ResponseWriter) *pacedWriter {
	p := &pacedWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	// A writer without deadlines (a recorder in a test) is none the worse for it.
	_ = p.control.SetReadDeadline(time.Time{})
	_ = p.control.SetWriteDeadline(time.Time{})
	return p
}

// hurry gives the client 10 s from now, or a second less: setting a deadline is a good part of sending a frame.
func (p *pacedWriter) hurry() {
	if now := time.Now(); p.by.Sub(now) < writeDeadline-time.Second {
		p.by = now.Add(writeDeadline)
		_ = p.control.SetWriteDeadline(p.by)
	}
}

// Write gives the client 10 s to take b.
func (p *pacedWriter) Write(b []byte) (int, error) {
	p.hurry()
	n, err := p.ResponseWriter.Write(b)
	if err != nil {
		p.failed.Store(true)
	}
	return n, err
}

// Flush sends what was written. A failure shows at the next write.
func (p *pacedWriter) Flush() {
	p.hurry()
	if p.control.Flush() != nil {
		p.failed.Store(true)
	}
}

// end gives the last bytes of the response, which net/http writes after the handler, their own 10 s: the deadline of the
// last write has long passed on a quiet stream.
func (p *pacedWriter) end() { _ = p.control.SetWriteDeadline(time.Now().Add(writeDeadline)) }

// Unwrap lets http.ResponseController reach the connection.
func (p *pacedWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }
