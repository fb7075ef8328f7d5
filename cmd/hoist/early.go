package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hoistflags/hoist/transport"
)

// early answers at the door while the node behind it is being opened. The door is open before the node is there, so that a
// taken port is noticed first and the members hear the right address.
type early struct {
	listener *net.TCPListener
	server   *http.Server
	done     chan error
}

// borrowed is the listener without its end: it is wanted afterwards.
type borrowed struct{ *net.TCPListener }

// Close ends a running Accept.
func (b borrowed) Close() error { return b.SetDeadline(time.Unix(1, 0)) }

func answerEarly(l net.Listener) (*early, error) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("the door is a %T", l)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	e := &early{listener: tcp, done: make(chan error, 1),
		server: &http.Server{Handler: transport.Starting(), Protocols: protocols, ReadTimeout: 5 * time.Second}}
	go func() { e.done <- e.server.Serve(borrowed{tcp}) }()
	return e, nil
}

// end leaves the door to the node.
func (e *early) end() error {
	err := e.server.Close()
	if ended := <-e.done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, e.listener.SetDeadline(time.Time{}))
}
