package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// askUntil asks the leader, and gives up with errNoAnswer when gone closes: it leads no more.
func (w *network) askUntil(ctx context.Context, gone <-chan struct{}, id string, kind byte, body []byte) ([]byte, error) {
	s, err := w.session(ctx, id, w.addressOf(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	return s.call(ctx, gone, kind, body)
}

// ask calls a member over the session kept for it, dialing when there is none.
func (w *network) ask(ctx context.Context, id, address string, kind byte, body []byte) ([]byte, error) {
	s, err := w.session(ctx, id, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	return s.call(ctx, nil, kind, body)
}

// dialing is a session that exists or is being made; those who want it meanwhile wait for one dial.
type dialing struct {
	ready   chan struct{}
	session *session
	err     error
}

func (d *dialing) close() {
	<-d.ready
	if d.session != nil {
		d.session.Close()
	}
}

func (d *dialing) over() bool {
	select {
	case <-d.ready:
	default:
		return false
	}
	if d.err != nil {
		return true
	}
	select {
	case <-d.session.done:
		return true
	default:
		return false
	}
}

const dialTime = 2 * time.Second

func (w *network) session(ctx context.Context, id, address string) (*session, error) {
	if address == "" {
		return nil, errors.New("its address is not known")
	}
	key := id + "@" + address
	w.mu.Lock()
	d := w.sessions[key]
	if d == nil || d.over() {
		select {
		case <-w.done:
			w.mu.Unlock()
			return nil, errClosing
		default:
		}
		d = &dialing{ready: make(chan struct{})}
		w.sessions[key] = d
		w.wg.Add(1)
		go w.makeSession(d, id, address)
	}
	w.mu.Unlock()
	select {
	case <-d.ready:
		return d.session, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *network) makeSession(d *dialing, id, address string) {
	defer w.wg.Done()
	defer close(d.ready)
	conn, err := w.connect(protocolPeer, id, address, dialTime)
	if err != nil {
		d.err = err
		return
	}
	d.session = newSession(conn)
	d.session.receive()
}
