package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// target is a server under measurement and what it is asked. requests returns the requests client number i repeats in
// turn, ready to be written.
type target struct {
	name     string
	addr     string
	requests func(client int) [][]byte
}

// burst is one round against one target.
type burst struct {
	perSecond float64
	latency   quantiles
}

// rawPost is a complete HTTP/1.1 request.
func rawPost(path, contentType string, body []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		path, contentType, len(body), body)
}

// pump keeps one request in flight on each of the connections for the given time.
func (t target) pump(ctx context.Context, clients int, length time.Duration) (burst, error) {
	connections := make([]net.Conn, clients)
	for i := range connections {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", t.addr)
		if err != nil {
			return burst{}, err
		}
		defer func() { _ = connection.Close() }() // measured is measured
		connections[i] = connection
	}
	var all sync.WaitGroup
	times, errs := make([][]time.Duration, clients), make([]error, clients)
	start := time.Now()
	end := start.Add(length)
	for i, connection := range connections {
		all.Go(func() { times[i], errs[i] = pumpOne(ctx, connection, t.requests(i), end) })
	}
	all.Wait()
	took := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return burst{}, err
	}
	var together []time.Duration
	for _, list := range times {
		together = append(together, list...)
	}
	return burst{perSecond: float64(len(together)) / took.Seconds(), latency: quantilesOf(together)}, ctx.Err()
}

func pumpOne(ctx context.Context, connection net.Conn, requests [][]byte, end time.Time) ([]time.Duration, error) {
	reader := bufio.NewReaderSize(connection, 8<<10)
	var times []time.Duration
	for turn := 0; ctx.Err() == nil; turn++ {
		from := time.Now()
		if !from.Before(end) {
			break
		}
		if _, err := connection.Write(requests[turn%len(requests)]); err != nil {
			return nil, err
		}
		if _, err := readAnswer(reader, io.Discard); err != nil {
			return nil, err
		}
		times = append(times, time.Since(from))
	}
	return times, nil
}

// once asks once and returns the body of the answer.
func (t target) once(ctx context.Context) ([]byte, error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }() // the answer is here
	if _, err := connection.Write(t.requests(0)[0]); err != nil {
		return nil, err
	}
	var body bytes.Buffer
	_, err = readAnswer(bufio.NewReader(connection), &body)
	return body.Bytes(), err
}

// readAnswer reads one HTTP/1.1 response with a Content-Length; net/http's own client would cost more than the server.
func readAnswer(r *bufio.Reader, body io.Writer) (int64, error) {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	line := string(bytes.TrimSpace(status[:min(len(status), 40)]))
	length := int64(-1)
	for {
		header, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		header = bytes.TrimSpace(header)
		if len(header) == 0 {
			break
		}
		if name, value, found := bytes.Cut(header, []byte(":")); found && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("the server sent no Content-Length (%s)", line)
	}
	if !ok {
		var text bytes.Buffer
		_, _ = io.CopyN(&text, r, min(length, 300)) // the status alone is an answer too
		return 0, fmt.Errorf("the server answered %s: %s", line, text.String())
	}
	return io.CopyN(body, r, length)
}
