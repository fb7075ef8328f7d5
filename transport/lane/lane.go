package lane

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// Config says what the lane serves. Handler and Prefixes are required.
type Config struct {
	// Handler must be done with request and response when it returns. Its ResponseWriter is nothing more than that, and the
	// context of its requests does not end when the client leaves.
	Handler  http.Handler
	Prefixes []string // of the paths taken
	// Takes looks at the path and the header of a request that the lane could serve; false leaves it to others. It must
	// not keep the request. nil: all are taken.
	Takes  func(*http.Request) bool
	Logger *slog.Logger // nil: discard
}

// Listener is a net.Listener whose Accept returns the connections that the lane does not serve.
type Listener struct {
	net.Listener
	cfg     Config
	clock   clock
	passing chan passed
	closing chan struct{} // closed by Close
	stop    sync.Once
	ctx     context.Context // of all requests; ends when Shutdown loses patience
	cancel  context.CancelFunc
	running sync.WaitGroup
	spaces  sync.Pool // *space

	mu   sync.Mutex
	open map[*conn]struct{}
}

// passed is what Accept returns.
type passed struct {
	conn net.Conn
	err  error
}

// Listen takes connections from inner until Close.
func Listen(inner net.Listener, cfg Config) *Listener {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Listener{Listener: inner, cfg: cfg, passing: make(chan passed), closing: make(chan struct{}), open: map[*conn]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.running.Go(l.accept)
	return l
}

// accept starts a goroutine per connection. Errors go to whoever calls Accept, and are waited for: that is where pauses
// between two tries are made.
func (l *Listener) accept() {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			if !l.pass(nil, err) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		c := &conn{Conn: inner, lane: l}
		if !l.enter(c) {
			_ = inner.Close() // nobody serves it
			return
		}
		l.running.Go(func() {
			defer l.leave(c)
			c.serve()
		})
	}
}

// pass hands a connection or an error to Accept; false when nobody will ask again.
func (l *Listener) pass(c net.Conn, err error) bool {
	select {
	case l.passing <- passed{c, err}:
		return true
	case <-l.closing:
		return false
	}
}

// Accept returns the next connection for others.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case p := <-l.passing:
		return p.conn, p.err
	case <-l.closing:
		return nil, net.ErrClosed
	}
}

// Close takes no more connections; those that are open go on until Shutdown. It may be called twice.
func (l *Listener) Close() error {
	var err error
	l.stop.Do(func() {
		close(l.closing)
		err = l.Listener.Close()
	})
	return err
}

// Shutdown closes idle connections, lets the others finish their answers, and closes what is left when ctx ends; its error
// is then returned.
func (l *Listener) Shutdown(ctx context.Context) error {
	err := l.Close()
	for _, c := range l.all() {
		if c.state.CompareAndSwap(idle, closed) {
			_ = c.Close() // ends its read
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); l.running.Wait() }()
	select {
	case <-done:
		l.cancel()
		return err
	case <-ctx.Done():
	}
	l.cancel()
	for _, c := range l.all() {
		_ = c.Close() // ends what it does
	}
	<-done
	return ctx.Err()
}

func (l *Listener) all() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*conn, 0, len(l.open))
	for c := range l.open {
		all = append(all, c)
	}
	return all
}

func (l *Listener) enter(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closing:
		return false
	default:
		l.open[c] = struct{}{}
		return true
	}
}

func (l *Listener) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}
