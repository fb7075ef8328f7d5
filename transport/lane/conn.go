package lane

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// How long a connection may keep the lane waiting: for its first request and for the rest of one that has begun, for the
// next request, and for an answer to be read.
const (
	requestTime = 30 * time.Second
	idleTime    = 2 * time.Minute
	writeTime   = time.Minute
)

// The states of a connection.
const (
	idle   int32 = iota // between two requests: may be closed by others
	active              // within one
	closed
)

// conn is a connection in the lane.
type conn struct {
	net.Conn
	*space
	lane    *Listener
	state   atomic.Int32
	readBy  time.Time // the deadlines that are set
	writeBy time.Time
}

// space is what a connection works with. It is lent: a stream passes through here once and then stays elsewhere for long.
type space struct {
	request request
	answer  response
	data    []byte // what was read and not yet served
}

func newSpace(l *Listener) *space {
	s := &space{data: make([]byte, 0, 2<<10)}
	s.answer.header = make(http.Header, 8)
	s.request.http = (&http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, 8)}).WithContext(l.ctx)
	return s
}

// largestSpace is how much data a space may have grown to hold and still be lent again.
const largestSpace = 4 << 10

func (l *Listener) borrow(inner net.Conn) *space {
	s, _ := l.spaces.Get().(*space)
	if s == nil {
		s = newSpace(l)
	}
	s.request.http.RemoteAddr = inner.RemoteAddr().String()
	return s
}

func (l *Listener) giveBack(s *space) {
	if cap(s.data) <= largestSpace && cap(s.answer.body)+cap(s.answer.out) <= 2*largestSpace {
		s.data = s.data[:0]
		l.spaces.Put(s)
	}
}

// serve answers requests until the connection ends or goes to others.
func (c *conn) serve() {
	c.space = c.lane.borrow(c.Conn)
	defer c.lane.giveBack(c.space)
	patience := requestTime
	for {
		v, size := c.next(patience)
		if v == other {
			c.handOver()
			return
		}
		if v != taken || !c.handle(size) {
			_ = c.Close() // the client left, or was asked to
			return
		}
		patience = idleTime
	}
}

// next waits for a request. With more as its verdict there will be none.
func (c *conn) next(patience time.Duration) (verdict, int) {
	if len(c.data) == 0 && !c.rest(patience) {
		return more, 0
	}
	c.state.Store(active)
	for begun := false; ; begun = true {
		v, size := c.request.parse(c.data, &c.lane.cfg)
		if v != more {
			return v, size
		}
		if !begun { // the rest has its own time, as a whole: bytes that trickle in do not prolong it
			c.readBy = time.Now().Add(requestTime)
			_ = c.SetReadDeadline(c.readBy) // a connection that is gone says so when it is read
		}
		if !c.fill() {
			return more, 0
		}
	}
}

// rest waits for the first bytes of a request.
func (c *conn) rest(patience time.Duration) bool {
	c.state.Store(idle)
	select {
	case <-c.lane.closing:
		return false
	default:
	}
	move(&c.readBy, patience, c.SetReadDeadline)
	return c.fill() && c.state.CompareAndSwap(idle, active)
}

// move sets a deadline, unless the one that is set is about as far off: setting one costs as much as parsing a request.
func move(at *time.Time, patience time.Duration, set func(time.Time) error) {
	const slack = 8
	now := time.Now()
	if left := at.Sub(now); left < patience-patience/slack || left > patience {
		*at = now.Add(patience)
		_ = set(*at) // a connection that is gone says so when it is used
	}
}

// fill reads what has arrived, or waits for it.
func (c *conn) fill() bool {
	if len(c.data) == cap(c.data) {
		c.data = append(c.data, 0)[:len(c.data)]
	}
	n, err := c.Read(c.data[len(c.data):cap(c.data)])
	c.data = c.data[:len(c.data)+n]
	return n > 0 && err == nil
}

// handle serves the request at the beginning of the data; false when it was the connection's last one.
func (c *conn) handle(size int) (more bool) {
	defer func() {
		if caught := recover(); caught != nil {
			more = false
			if caught != http.ErrAbortHandler { //nolint:errorlint // net/http compares it the same way
				c.lane.cfg.Logger.Error("panic while serving", slog.String("path", c.request.url.Path), slog.Any("panic", caught))
			}
		}
	}()
	c.answer.reset()
	c.lane.cfg.Handler.ServeHTTP(&c.answer, c.request.http)
	last := false
	select {
	case <-c.lane.closing:
		last = true
	default:
	}
	move(&c.writeBy, writeTime, c.SetWriteDeadline)
	err := c.answer.send(c.Conn, &c.lane.clock, last)
	c.data = c.data[:copy(c.data, c.data[size:])]
	return err == nil && !last
}

// handOver gives the connection, with what was read, to whoever serves the others.
func (c *conn) handOver() {
	_ = c.SetDeadline(time.Time{}) // a connection that is gone says so when it is read
	if !c.lane.pass(&replay{Conn: c.Conn, data: bytes.Clone(c.data)}, nil) {
		_ = c.Close() // the server is closing
	}
}

// replay is a connection of which something was read already.
type replay struct {
	net.Conn
	data []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.data)
	if r.data = r.data[n:]; len(r.data) == 0 {
		r.data = nil // streams live long, and need this no more
	}
	return n, nil
}

// CloseWrite lets net/http end an answer whose request was not read to its end without a reset.
func (r *replay) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
