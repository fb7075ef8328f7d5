package cluster

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// session is one connection of the peer protocol with many calls under way. Answers come in any order.
type session struct {
	conn net.Conn
	out  chan frame
	done chan struct{} // closed when the connection is over

	mu      sync.Mutex
	pending map[uint64]chan []byte
	last    uint64
	once    sync.Once
	wg      sync.WaitGroup
}

const sessionQueue = 256

func newSession(conn net.Conn) *session {
	s := &session{conn: conn, out: make(chan frame, sessionQueue), done: make(chan struct{}), pending: map[uint64]chan []byte{}}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.end(writeFrames(conn, s.out, s.done))
	}()
	return s
}

// end closes the connection; everybody who waits is let go.
func (s *session) end(error) {
	s.once.Do(func() {
		close(s.done)
		_ = s.conn.Close() // nobody is left to be told
	})
}

// Close ends the session and waits for its goroutines.
func (s *session) Close() {
	s.end(nil)
	s.wg.Wait()
}

// writeFrames sends what is queued, and flushes when nothing more waits: frames that arrive together travel together.
func writeFrames(w io.Writer, out <-chan frame, done <-chan struct{}) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	var scratch []byte
	for {
		select {
		case f := <-out:
			for more := true; more; {
				scratch = f.append(scratch[:0])
				if _, err := buffered.Write(scratch); err != nil {
					return err
				}
				select {
				case f = <-out:
				default:
					more = false
				}
			}
			if err := buffered.Flush(); err != nil {
				return err
			}
		case <-done:
			return nil
		}
	}
}

// receive hands answers to their callers, until the connection ends.
func (s *session) receive() {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		r := bufio.NewReaderSize(s.conn, 64<<10)
		for {
			f, err := readFrame(r)
			if err != nil {
				s.end(err)
				return
			}
			s.mu.Lock()
			answer := s.pending[f.call]
			delete(s.pending, f.call)
			s.mu.Unlock()
			if answer != nil {
				answer <- f.body
			}
		}
	}()
}

var (
	errNotSent  = errors.New("the peer could not be reached")
	errNoAnswer = errors.New("the peer was asked, but did not answer")
)

// call asks and waits for the answer. errNotSent says that the peer certainly has not seen the question; gone (may be
// nil) ends the wait like the context.
func (s *session) call(ctx context.Context, gone <-chan struct{}, kind byte, body []byte) ([]byte, error) {
	answer := make(chan []byte, 1)
	s.mu.Lock()
	s.last++
	id := s.last
	s.pending[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.pending, id)
		s.mu.Unlock()
	}()
	select {
	case <-s.done:
		return nil, errNotSent
	default:
	}
	select {
	case s.out <- frame{kind: kind, call: id, body: body}:
	case <-s.done:
		return nil, errNotSent
	case <-ctx.Done():
		return nil, errNotSent
	}
	select {
	case b := <-answer:
		return b, nil
	case <-s.done:
		select {
		case b := <-answer: // it came with the last bytes
			return b, nil
		default:
			return nil, errNoAnswer
		}
	case <-gone:
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, errNoAnswer
	}
}

// serve answers questions until the connection ends. Each runs on its own goroutine, at most as many at a time as may be in flight.
func (s *session) serve(ctx context.Context, handle func(ctx context.Context, kind byte, body []byte) []byte) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.end(nil) })
	defer stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	room := make(chan struct{}, windowEntries)
	r := bufio.NewReaderSize(s.conn, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			s.end(err)
			return
		}
		select {
		case room <- struct{}{}:
		case <-s.done:
			return
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			defer func() { <-room }()
			answer := handle(ctx, f.kind, f.body)
			if answer == nil { // not understood: the connection is of no use
				s.end(errMalformed)
				return
			}
			select {
			case s.out <- frame{kind: f.kind, call: f.call, body: answer}:
			case <-s.done:
			}
		}()
	}
}
