package lane

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// together is up to which length a body is copied behind the header, to be written at once; a longer one is written beside it.
const together = 2 << 10

// response is the one response of a connection. The header is read when the handler has returned.
type response struct {
	header http.Header
	status int
	body   []byte
	out    []byte
	pieces [2][]byte
}

// Header returns the header to be sent.
func (w *response) Header() http.Header { return w.header }

// WriteHeader sets the status; the first one counts.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write adds to the body.
func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *response) reset() {
	clear(w.header)
	w.status, w.body = 0, w.body[:0]
}

// send writes everything with one call to the system.
func (w *response) send(to net.Conn, clock *clock, last bool) error {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.out = w.appendHead(w.out[:0], clock, last)
	if len(w.body) <= together {
		w.out = append(w.out, w.body...)
		_, err := to.Write(w.out)
		return err
	}
	w.pieces = [2][]byte{w.out, w.body}
	both := net.Buffers(w.pieces[:])
	_, err := both.WriteTo(to)
	return err
}

func (w *response) appendHead(b []byte, clock *clock, last bool) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(w.status)...)
	b = append(b, "\r\nDate: "...)
	b = append(b, clock.date()...)
	if w.status != http.StatusNotModified && w.status != http.StatusNoContent {
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(w.body)), 10)
	} else {
		w.body = w.body[:0] // there is none by definition
	}
	if last {
		b = append(b, "\r\nConnection: close"...)
	}
	for name, values := range w.header {
		if name == "Content-Length" || name == "Date" || name == "Connection" {
			continue // said above
		}
		for _, value := range values {
			b = append(b, "\r\n"...)
			b = append(b, name...)
			b = append(b, ": "...)
			if strings.ContainsAny(value, "\r\n") { // nothing that was sent to us may begin a line of ours
				value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
			}
			b = append(b, value...)
		}
	}
	return append(b, "\r\n\r\n"...)
}

// clock is the value of Date, made once a second for all connections.
type clock struct{ now atomic.Pointer[instant] }

type instant struct {
	second int64
	text   string
}

func (c *clock) date() string {
	now := time.Now()
	if i := c.now.Load(); i != nil && i.second == now.Unix() {
		return i.text
	}
	i := &instant{now.Unix(), now.UTC().Format(http.TimeFormat)}
	c.now.Store(i)
	return i.text
}
