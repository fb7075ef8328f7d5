package transport_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport"
)

const benchBody = `{"context":{"targetingKey":"user-1","country":"FR","plan":"pro"}}`

// BenchmarkOFREP measures one flag over 64 keep-alive connections beside a bare handler that reads the body and writes a
// constant of the same size. The goal is at least 75 % of it.
func BenchmarkOFREP(b *testing.B) {
	n := golden(b)
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
	require.NoError(b, err)
	b.Cleanup(func() { server.Close() })
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags/theme", strings.NewReader(benchBody))
	request.Header.Set("Content-Type", "application/json")
	server.ServeHTTP(recorder, request)
	require.Equal(b, 200, recorder.Code)
	b.Run("bare", func(b *testing.B) {
		bare := &http.Server{Handler: transport.NewBaseline(recorder.Body.Bytes())}
		defer bare.Close()
		drive(b, bare.Serve)
	})
	b.Run("single", func(b *testing.B) { drive(b, server.Serve) })
}

// BenchmarkOFREPHandler is the handler alone, without net/http around it.
func BenchmarkOFREPHandler(b *testing.B) {
	n := golden(b)
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
	require.NoError(b, err)
	defer server.Close()
	body := strings.NewReader(benchBody)
	r := httptest.NewRequest(http.MethodPost, "/ofrep/v1/evaluate/flags/theme", io.NopCloser(body))
	r.Header.Set("Content-Type", "application/json")
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Seek(0, io.SeekStart) // cannot fail
		clear(w.header)
		server.ServeHTTP(w, r)
	}
}

type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

// drive sends b.N requests over 64 connections, with a client that costs as little as possible.
func drive(b *testing.B, serve func(net.Listener) error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer listener.Close()
	go serve(listener) // ends with the listener
	request := []byte("POST /ofrep/v1/evaluate/flags/theme HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(benchBody)) + "\r\n\r\n" + benchBody)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				if err := skipResponse(in); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// skipResponse reads one response with a Content-Length.
func skipResponse(in *bufio.Reader) error {
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	_, err := in.Discard(length)
	return err
}
