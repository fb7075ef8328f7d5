package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"time"
)

// target is a server under measurement and what it is asked. requests returns the requests client number i repeats in
// turn, ready to be written.
type target struct {
	name     string
	addr     string
	tls      string // name to expect in the certificate; empty: no TLS
	status   int    // of the answers; 0: 200
	base     bool   // others are compared with it
	requests func(client int) [][]byte
}

// burst is one round against one target.
type burst struct {
	perSecond float64
	latency   quantiles
	times     []time.Duration
}

// rawPost is a complete HTTP/1.1 request.
func rawPost(path, contentType string, body []byte) []byte {
	return rawPostWith("", path, contentType, body)
}

// rawPostWith is rawPost with more header lines, each with its end.
func rawPostWith(header, path, contentType string, body []byte) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		path, contentType, header, len(body), body)
}

func (t target) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	if t.tls == "" {
		return dialer.DialContext(ctx, "tcp", t.addr)
	}
	secure := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{ServerName: t.tls, MinVersion: tls.VersionTLS12}}
	return secure.DialContext(ctx, "tcp", t.addr)
}

// pump keeps one request in flight on each of the connections for the given time. With a rate, each connection sends at
// fixed moments instead, and a time counts from the moment at which the request was due: a server that stalls is not
// spared the requests that would have arrived meanwhile.
func (t target) pump(ctx context.Context, clients int, length time.Duration, rate int) (burst, error) {
	connections := make([]net.Conn, clients)
	for i := range connections {
		connection, err := t.dial(ctx)
		if err != nil {
			return burst{}, err
		}
		defer func() { _ = connection.Close() }() // measured is measured
		connections[i] = connection
	}
	var all sync.WaitGroup
	times, errs := make([][]time.Duration, clients), make([]error, clients)
	start := time.Now()
	pace := &pace{start: start, end: start.Add(length)}
	if rate > 0 {
		pace.every = time.Duration(clients) * time.Second / time.Duration(rate)
	}
	for i, connection := range connections {
		all.Go(func() {
			mine := *pace
			mine.start = start.Add(mine.every * time.Duration(i) / time.Duration(clients)) // they take turns
			times[i], errs[i] = t.pumpOne(ctx, connection, t.requests(i), &mine)
		})
	}
	all.Wait()
	took := time.Since(start)
	for _, err := range errs {
		if err != nil { // the others failed alike
			return burst{}, err
		}
	}
	b := burst{}
	for _, list := range times {
		b.times = append(b.times, list...)
	}
	b.perSecond, b.latency = float64(len(b.times))/took.Seconds(), quantilesOf(b.times)
	return b, ctx.Err()
}

// pace says when the requests of one connection are due.
type pace struct {
	start, end time.Time
	every      time.Duration // 0: as soon as the one before is answered
}

// due waits for the moment of request number turn and returns it; false when there is none.
func (p *pace) due(turn int) (time.Time, bool) {
	if p.every == 0 {
		now := time.Now()
		return now, now.Before(p.end)
	}
	at := p.start.Add(p.every * time.Duration(turn))
	if !at.Before(p.end) {
		return at, false
	}
	time.Sleep(time.Until(at))
	return at, true
}

func (t target) pumpOne(ctx context.Context, connection net.Conn, requests [][]byte, p *pace) ([]time.Duration, error) {
	reader := bufio.NewReaderSize(connection, 32<<10)
	var times []time.Duration
	for turn := 0; ctx.Err() == nil; turn++ {
		from, ok := p.due(turn)
		if !ok {
			break
		}
		if _, err := connection.Write(requests[turn%len(requests)]); err != nil {
			return nil, err
		}
		if _, err := t.readAnswer(reader, io.Discard); err != nil {
			return nil, err
		}
		times = append(times, time.Since(from))
	}
	return times, nil
}

// answered is one answer: its body, and its ETag if it has one.
type answered struct {
	body []byte
	etag string
}

// once asks once.
func (t target) once(ctx context.Context) (answered, error) {
	connection, err := t.dial(ctx)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = connection.Close() }() // the answer is here
	if _, err := connection.Write(t.requests(0)[0]); err != nil {
		return answered{}, err
	}
	var body bytes.Buffer
	etag, err := t.readAnswer(bufio.NewReader(connection), &body)
	return answered{body.Bytes(), etag}, err
}

// readAnswer reads one HTTP/1.1 response; net/http's own client would cost more than the server.
func (t target) readAnswer(r *bufio.Reader, body io.Writer) (etag string, err error) {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	code, line := 0, ""
	if len(status) > 12 {
		code, _ = strconv.Atoi(string(status[9:12])) // what is no number is no status that was asked for
	}
	expected := code == t.status || code == http.StatusOK && t.status == 0
	if !expected {
		line = string(bytes.TrimSpace(status[:min(len(status), 60)]))
	}
	length, chunked, etag, err := readHeader(r)
	switch {
	case err != nil:
		return "", err
	case !expected:
		var text bytes.Buffer
		_, _ = io.CopyN(&text, r, min(max(length, 0), 300)) // the status alone is an answer too
		return "", fmt.Errorf("the server answered %s: %s", line, text.String())
	case code == http.StatusNotModified:
		return etag, nil
	case chunked:
		if _, err := io.Copy(body, httputil.NewChunkedReader(r)); err != nil {
			return "", err
		}
		_, err = r.Discard(len("\r\n")) // what follows the last chunk, when there are no trailers
		return etag, err
	case length < 0:
		return "", errors.New("the server sent neither Content-Length nor chunks")
	case body == io.Discard:
		_, err = r.Discard(int(length))
		return etag, err
	}
	_, err = io.CopyN(body, r, length)
	return etag, err
}

// readHeader reads up to the empty line. length is -1 when none is told.
func readHeader(r *bufio.Reader) (length int64, chunked bool, etag string, err error) {
	for length = -1; ; {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, false, "", err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return length, chunked, etag, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return 0, false, "", err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("ETag")):
			etag = string(value)
		}
	}
}
