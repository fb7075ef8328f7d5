package lane_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport/lane"
)

// pipes is a listener without a network, so that time can be virtual.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.accepted <- there
	return here
}

// serve runs a lane and an http.Server on one handler. Both say in X-By who answered.
func serve(t *testing.T, p net.Listener, h http.HandlerFunc) (*lane.Listener, func()) {
	t.Helper()
	l := lane.Listen(p, lane.Config{Prefixes: []string{"/flags", "/rpc/"}, Takes: plainHeader, Handler: by("lane", h)})
	server := &http.Server{Handler: by("net/http", h)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }() // ends with the listener
	return l, func() {
		require.NoError(t, l.Shutdown(t.Context()))
		require.NoError(t, server.Close())
		<-done
	}
}

// plainHeader leaves requests with a header of their own to net/http.
func plainHeader(r *http.Request) bool { return r.Header.Get("X-Strange") == "" }

func by(who string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-By"] = []string{who}
		h(w, r)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a test sees what is missing
	fmt.Fprintf(w, "%s %s %s", r.URL.Path, r.Header.Get("X-Name"), body)
}

func post(path, header, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", path, header, len(body), body)
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func receive(t *testing.T, in *bufio.Reader) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r, string(body)
}

func TestConnectionsServeUntilARequestIsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		_, stop := serve(t, p, echo)
		defer stop()
		c := p.dial()
		defer c.Close()
		in := bufio.NewReader(c)
		for i := range 3 {
			go send(t, c, post("/flags/a", "X-Name: n\r\n", fmt.Sprint(i)))
			r, body := receive(t, in)
			require.Equal(t, "lane", r.Header.Get("X-By"))
			require.Equal(t, fmt.Sprint("/flags/a n ", i), body)
			require.NotEmpty(t, r.Header.Get("Date"))
		}
		go send(t, c, post("/flags/b", "", "4")+post("/other", "X-Name: m\r\n", "5")) // in one write
		_, body := receive(t, in)
		require.Equal(t, "/flags/b  4", body)
		r, body := receive(t, in)
		require.Equal(t, "net/http", r.Header.Get("X-By"))
		require.Equal(t, "/other m 5", body)
		go send(t, c, post("/flags/c", "", "6"))
		r, _ = receive(t, in)
		require.Equal(t, "net/http", r.Header.Get("X-By"), "there is no way back")
	})
}

func TestRequestsArriveInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		_, stop := serve(t, p, echo)
		defer stop()
		c := p.dial()
		defer c.Close()
		go func() {
			for _, b := range []byte(post("/flags/a", "", strings.Repeat("x", 5000))) {
				_, _ = c.Write([]byte{b}) // the answer would be missing
			}
		}()
		_, body := receive(t, bufio.NewReader(c))
		require.Len(t, body, len("/flags/a  ")+5000)
	})
}

func TestSlowAndSilentClientsAreLeft(t *testing.T) {
	for name, c := range map[string]struct {
		sent string
		want time.Duration
	}{
		"nothing is sent":        {"", 30 * time.Second},
		"half a request is sent": {"POST /flags", 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipes()
				_, stop := serve(t, p, echo)
				defer stop()
				conn := p.dial()
				began := time.Now()
				if c.sent != "" {
					send(t, conn, c.sent)
				}
				_, err := conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, c.want, time.Since(began))
			})
		})
	}
}

func TestIdleConnectionsEndAfterTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		_, stop := serve(t, p, echo)
		defer stop()
		c := p.dial()
		in := bufio.NewReader(c)
		for range 10 {
			go send(t, c, post("/flags", "", ""))
			receive(t, in)
			time.Sleep(100 * time.Second)
		}
		began := time.Now()
		_, err := in.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		require.LessOrEqual(t, time.Since(began), 20*time.Second)
	})
}

func TestShutdownWaitsForAnswersAndNotForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		l, stop := serve(t, p, func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Second); echo(w, r) })
		silent, busy := p.dial(), p.dial()
		send(t, busy, post("/flags", "", ""))
		synctest.Wait()
		began := time.Now()
		done := make(chan error)
		go func() { done <- l.Shutdown(t.Context()) }()
		_, err := silent.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.Zero(t, time.Since(began))
		r, _ := receive(t, bufio.NewReader(busy))
		require.True(t, r.Close, "the client is told to come back on another connection")
		require.NoError(t, <-done)
		require.Equal(t, time.Second, time.Since(began))
		stop()
	})
}

func TestShutdownLosesPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		l, stop := serve(t, p, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := p.dial()
		send(t, c, post("/flags", "", ""))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Shutdown(ctx), context.DeadlineExceeded)
		_ = c.Close()
		stop()
	})
}

func TestAnswersCarryNothingThatWasSlippedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		_, stop := serve(t, p, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-A", "a\r\nX-B: b")
			w.WriteHeader(http.StatusNotModified)
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "a 304 has no body") // is what is tested
		})
		defer stop()
		c := p.dial()
		defer c.Close()
		in := bufio.NewReader(c)
		for range 2 {
			go send(t, c, post("/flags", "", ""))
			r, body := receive(t, in)
			require.Equal(t, http.StatusNotModified, r.StatusCode)
			require.Equal(t, "a  X-B: b", r.Header.Get("X-A"))
			require.Empty(t, r.Header.Get("X-B"))
			require.Empty(t, body)
		}
	})
}

func TestAPanicEndsItsConnectionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		_, stop := serve(t, p, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/flags/bad" {
				panic("bad")
			}
		})
		defer stop()
		bad, good := p.dial(), p.dial()
		defer good.Close()
		send(t, bad, post("/flags/bad", "", ""))
		_, err := bad.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		go send(t, good, post("/flags", "", ""))
		r, _ := receive(t, bufio.NewReader(good))
		require.Equal(t, http.StatusOK, r.StatusCode)
	})
}

func TestNetHTTPClientsOverTCP(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	long := strings.Repeat("long ", 10_000)
	_, stop := serve(t, inner, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, long) }) // the client compares
	defer stop()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 3 {
		r, err := client.Post("http://"+inner.Addr().String()+"/flags", "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, "lane", r.Header.Get("X-By"))
		require.Equal(t, long, string(body))
	}
}
