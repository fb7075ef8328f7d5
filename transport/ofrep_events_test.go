package transport_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
)

// sse is an open event stream, read line by line.
type sse struct {
	t    *testing.T
	res  *http.Response
	in   *bufio.Scanner
	stop context.CancelFunc
}

func listen(t *testing.T, web *http.Client, url string, headers ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := web.Do(req) // sse.close closes it
	require.NoError(t, err)
	return &sse{t, res, bufio.NewScanner(res.Body), cancel}
}

func (s *sse) close() {
	s.stop()
	s.res.Body.Close()
}

// opening reads the first bytes: the retry time and a comment.
func (s *sse) opening() *sse {
	s.t.Helper()
	require.Equal(s.t, http.StatusOK, s.res.StatusCode)
	require.Equal(s.t, "text/event-stream", s.res.Header.Get("Content-Type"))
	require.Equal(s.t, "no-store, no-transform", s.res.Header.Get("Cache-Control"))
	require.Equal(s.t, "no", s.res.Header.Get("X-Accel-Buffering"))
	require.Equal(s.t, []string{"retry: 2000", ":"}, s.block())
	return s
}

// block reads up to the next empty line; nil at the end of the stream.
func (s *sse) block() []string {
	var lines []string
	for s.in.Scan() {
		if s.in.Text() == "" {
			return lines
		}
		lines = append(lines, s.in.Text())
	}
	return nil
}

// event reads the next event and returns its id.
func (s *sse) event() string {
	s.t.Helper()
	for {
		lines := s.block()
		require.NotNil(s.t, lines, "the stream ended")
		if lines[0] == ":" {
			continue
		}
		require.Len(s.t, lines, 3)
		id := strings.TrimPrefix(lines[0], "id: ")
		require.Equal(s.t, "event: message", lines[1])
		var data struct {
			Type, Etag   string
			LastModified int64
		}
		require.NoError(s.t, json.Unmarshal([]byte(strings.TrimPrefix(lines[2], "data: ")), &data))
		require.Equal(s.t, "refetchEvaluation", data.Type)
		require.Equal(s.t, `"`+id+`"`, data.Etag)
		require.Positive(s.t, data.LastModified)
		return id
	}
}

// bulkIn evaluates all flags in a bubble.
func bulkIn(t *testing.T, web *http.Client, query string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://node/ofrep/v1/evaluate/flags"+query, strings.NewReader(`{"context":{"targetingKey":"user-1"}}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := web.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	var text strings.Builder
	_, err = bufio.NewReader(res.Body).WriteTo(&text)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header, text.String()}
}

func streamURI(t *testing.T, bulk answer) string {
	t.Helper()
	first := field(t, bulk.body, "eventStreams").([]any)[0].(map[string]any)
	return "http://node" + first["endpoint"].(map[string]any)["requestUri"].(string)
}

func TestGoldenEvents(t *testing.T) {
	theme := fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false}
	t.Run("23 the next slot renews the URL although nothing changed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web, _, stop := bubble(t, golden(t))
			defer stop()
			first := bulkIn(t, web, "")
			time.Sleep(time.Minute)
			require.Equal(t, 304, bulkIn(t, web, "", "If-None-Match", first.header.Get("ETag")).status)
			time.Sleep(15 * time.Minute)
			next := bulkIn(t, web, "", "If-None-Match", first.header.Get("ETag"))
			require.Equal(t, 200, next.status)
			require.NotEqual(t, streamURI(t, first), streamURI(t, next))
			require.Equal(t, field(t, first.body, "flags"), field(t, next.body, "flags"))
		})
	})
	t.Run("24 a change sends one event", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := golden(t)
			web, _, stop := bubble(t, n)
			defer stop()
			s := listen(t, web, streamURI(t, bulkIn(t, web, ""))).opening()
			defer s.close()
			n.write(t, theme)
			require.Equal(t, testEpoch+".43", s.event())
		})
	})
	t.Run("25 and 26 what was missed folds into one event at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := golden(t)
			web, _, stop := bubble(t, n)
			defer stop()
			uri := streamURI(t, bulkIn(t, web, ""))
			for _, on := range []bool{false, true, false} {
				n.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: on})
			}
			for _, last := range []string{testEpoch + ".42", testEpoch + ".44", "X.9", testEpoch + ".99", "garbage", testEpoch + ".x"} {
				s := listen(t, web, uri, "Last-Event-ID", last).opening()
				require.Equal(t, testEpoch+".45", s.event(), last)
				s.close()
			}
			s := listen(t, web, uri, "Last-Event-ID", testEpoch+".45").opening()
			defer s.close()
			began := time.Now()
			require.Equal(t, []string{":"}, s.block(), "nothing newer: comments only")
			require.Equal(t, 15*time.Second, time.Since(began))
			since := listen(t, web, uri).opening()
			defer since.close()
			require.Equal(t, testEpoch+".45", since.event(), "since closes the gap when there is no Last-Event-ID")
		})
	})
	t.Run("a change that nobody sees sends nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := golden(t)
			web, _, stop := bubble(t, n)
			defer stop()
			s := listen(t, web, streamURI(t, bulkIn(t, web, ""))).opening()
			defer s.close()
			hidden := n.flag(t, "hidden")
			hidden.Metadata = nil
			hidden.Off = "off"
			n.write(t, fsm.PutFlag{Scope: dev, Flag: hidden})
			require.Equal(t, []string{":"}, s.block())
		})
	})
	t.Run("27 expired or foreign token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web, _, stop := bubble(t, golden(t))
			defer stop()
			uri := streamURI(t, bulkIn(t, web, ""))
			for _, st := range []string{"", "x", "x.y", strings.Replace(uri[strings.Index(uri, "st=")+3:], ".", "A.", 1)} {
				s := listen(t, web, "http://node/ofrep/v1/stream?st="+st)
				require.Equal(t, 401, s.res.StatusCode)
				require.Equal(t, "Bearer", s.res.Header.Get("WWW-Authenticate"))
				s.close()
			}
			time.Sleep(33 * time.Minute)
			s := listen(t, web, uri)
			defer s.close()
			require.Equal(t, 401, s.res.StatusCode)
		})
	})
	t.Run("a stream ends at the latest when its token does", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web, _, stop := bubble(t, golden(t), func(cfg *transport.Config) { cfg.StreamAge = 24 * time.Hour })
			defer stop()
			s := listen(t, web, streamURI(t, bulkIn(t, web, ""))).opening()
			defer s.close()
			began := time.Now()
			for s.block() != nil {
			}
			require.NoError(t, s.in.Err(), "an orderly end")
			require.InDelta(t, 23.5, time.Since(began).Minutes(), 8)
		})
	})
	t.Run("28 wait for the revision of the event", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := golden(t)
			web, _, stop := bubble(t, n)
			defer stop()
			event := "?flagConfigEtag=%22" + testEpoch + ".43%22&flagConfigLastModified=1771622898"
			began := time.Now()
			late := bulkIn(t, web, event)
			require.Equal(t, 503, late.status)
			require.Equal(t, "1", late.header.Get("Retry-After"))
			require.Equal(t, 5*time.Second, time.Since(began))
			time.AfterFunc(time.Second, func() { n.write(t, theme) })
			reached := bulkIn(t, web, event)
			require.Equal(t, 200, reached.status)
			require.EqualValues(t, 43, field(t, reached.body, "metadata", "hoist.revision"))
			require.Equal(t, 6*time.Second, time.Since(began))
			for _, ignored := range []string{"?flagConfigEtag=%22X.99%22", "?flagConfigEtag=nonsense", "?flagConfigEtag=%", "?flagConfigLastModified=1"} {
				require.Equal(t, 200, bulkIn(t, web, ignored).status, ignored)
			}
			require.Equal(t, 6*time.Second, time.Since(began))
			both := bulkIn(t, web, event, "If-None-Match", reached.header.Get("ETag"))
			require.Equal(t, 304, both.status)
		})
	})
	t.Run("shutdown ends streams in order", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			web, _, stop := bubble(t, golden(t))
			s := listen(t, web, streamURI(t, bulkIn(t, web, ""))).opening()
			stopped := make(chan struct{})
			go func() { stop(); close(stopped) }()
			require.Nil(t, s.block())
			require.NoError(t, s.in.Err())
			s.close()
			<-stopped
		})
	})
}

func TestEventStreamUnderAPublicPrefix(t *testing.T) {
	web, _ := serve(t, golden(t), func(cfg *transport.Config) { cfg.PublicPrefix = "/flags" })
	bulk := post(t, web.URL+"/ofrep/v1/evaluate/flags", `{}`)
	first := field(t, bulk.body, "eventStreams").([]any)[0].(map[string]any)
	require.True(t, strings.HasPrefix(first["endpoint"].(map[string]any)["requestUri"].(string), "/flags/ofrep/v1/stream?st="))
}
