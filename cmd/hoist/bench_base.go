package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// baseDecode and baseConstant are the two handlers on net/http that evaluations are compared with. The first does the
// least that a handler written in an afternoon does: it decodes the request with encoding/json and writes a constant. The
// second reads the body without looking at it; no handler that looks at its request can be faster.
const (
	baseDecode   = "base: decode, constant answer"
	baseConstant = "bound: constant answer"
)

// bases serves answer from both handlers. requests are what the others are asked too.
func bases(ctx context.Context, answer []byte, requests func(int) [][]byte) (targets []target, stop func(), err error) {
	decode, stopDecode, err := bareServer(ctx, answer, func(r *http.Request) error {
		var body struct {
			Context map[string]any `json:"context"`
		}
		return json.NewDecoder(r.Body).Decode(&body)
	})
	if err != nil {
		return nil, nil, err
	}
	discard, stopDiscard, err := bareServer(ctx, answer, func(r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})
	if err != nil {
		stopDecode()
		return nil, nil, err
	}
	return []target{
		{name: baseDecode, addr: decode, requests: requests, base: true},
		{name: baseConstant, addr: discard, requests: requests},
	}, func() { stopDecode(); stopDiscard() }, nil
}

// bareServer serves answer to whatever take accepts.
func bareServer(ctx context.Context, answer []byte, take func(*http.Request) error) (addr string, stop func(), err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("opening the baseline: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := take(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a client that has gone needs no answer
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	return listener.Addr().String(), func() { _ = server.Close(); <-done }, nil
}
