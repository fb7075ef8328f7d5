package transport

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

const (
	ofrepPrefix = "/ofrep/v1/"
	flagsPath   = "evaluate/flags"
	streamPath  = "stream"

	maxSingleBody = 64 << 10
	maxBulkBody   = 256 << 10
	agesKept      = 1024
	chunked       = 2 << 10 // beyond it net/http sends chunks, unless it is told the length
)

// ofrep serves the OpenFeature Remote Evaluation Protocol 0.3.0. It is written on net/http by hand and for speed: request
// state is pooled, header values that repeat are shared slices, and answers are appended to a buffer, not marshalled.
type ofrep struct {
	server *Server
	jobs   sync.Pool // *job
	stamp  atomic.Pointer[stamp]
	fixed  fixedHeaders
	ages   [agesKept][]string // header values of 0 ms, 1 ms, …

	lastSigned atomic.Pointer[signing]
}

// fixedHeaders are header values that every answer shares; net/http only reads them.
type fixedHeaders struct {
	json, noStore, origin, nosniff, expose, bearer []string
}

// stamp is the header values of one applied revision.
type stamp struct {
	epochText       string
	number          uint64
	epoch, revision []string
}

// job is the working space of one request. What it holds is valid until it goes back to the pool.
type job struct {
	body    []byte
	context evaluator.Context
	out     []byte
	scratch []byte
	gzip    gzipBody
}

func newOFREP(s *Server) *ofrep {
	o := &ofrep{server: s, fixed: fixedHeaders{
		json: []string{"application/json"}, noStore: []string{"no-store"}, origin: []string{"Origin"},
		nosniff: []string{"nosniff"}, bearer: []string{"Bearer"}, expose: []string{"ETag, Retry-After, Hoist-Epoch, Hoist-Revision, Hoist-Age-Ms"},
	}}
	o.jobs.New = func() any { return new(job) }
	for i := range o.ages {
		o.ages[i] = []string{strconv.Itoa(i)}
	}
	return o
}

// ServeHTTP routes by the path as it was sent, decoded once and otherwise untouched.
func (o *ofrep) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer o.recovered(w, r)
	path := r.URL.Path[len(ofrepPrefix):]
	methods := "POST, OPTIONS"
	if path == streamPath {
		methods = "GET, OPTIONS"
	} else if rest, ok := strings.CutPrefix(path, flagsPath); !ok || rest != "" && rest[0] != '/' {
		o.server.notFound(w, r)
		return
	}
	if r.Method == http.MethodOptions {
		o.preflight(w, r)
		return
	}
	o.allowOrigin(w.Header(), r)
	if r.Method != methods[:len(methods)-len(", OPTIONS")] {
		w.Header().Set("Allow", methods)
		o.stampHeaders(w.Header(), fsm.Scope{})
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if path == streamPath {
		o.events(w, r)
		return
	}
	v, ok := o.visitor(w, r)
	switch {
	case !ok:
	case len(path) <= len(flagsPath)+1:
		o.bulk(w, r, v)
	default:
		o.single(w, r, v, path[len(flagsPath)+1:])
	}
}

// recovered answers for a request whose handling panicked; the process and its other requests go on.
func (o *ofrep) recovered(w http.ResponseWriter, r *http.Request) {
	caught := recover()
	if caught == nil {
		return
	}
	if caught == http.ErrAbortHandler { //nolint:errorlint // net/http compares it the same way
		panic(caught)
	}
	// The query can hold a stream token and is never logged.
	o.server.logger.Error("panic while serving", slog.String("path", r.URL.Path), slog.Any("panic", caught))
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, ofrepPrefix+flagsPath), "/")
	o.fail(w, fsm.Scope{}, http.StatusInternalServerError, key, evaluator.ErrorGeneral, "internal error")
}

// stampHeaders sets what every answer carries.
func (o *ofrep) stampHeaders(h http.Header, scope fsm.Scope) {
	epoch, revision := o.server.source.At(scope)
	s := o.stamp.Load()
	if s == nil || s.number != revision || s.epochText != epoch {
		s = &stamp{epochText: epoch, number: revision, epoch: []string{epoch}, revision: []string{formatRevision(revision)}}
		o.stamp.Store(s)
	}
	h["Hoist-Epoch"] = s.epoch
	h["Hoist-Revision"] = s.revision
	h["Hoist-Age-Ms"] = o.age(scope)
	h["Cache-Control"] = o.fixed.noStore
	h["Vary"] = o.fixed.origin
	h["X-Content-Type-Options"] = o.fixed.nosniff
}

func (o *ofrep) age(scope fsm.Scope) []string {
	ms := o.server.source.Age(scope) / time.Millisecond
	if ms >= 0 && ms < agesKept {
		return o.ages[ms]
	}
	return []string{strconv.FormatInt(int64(ms), 10)}
}

// answer sends a JSON body.
func (o *ofrep) answer(w http.ResponseWriter, scope fsm.Scope, status int, body []byte) {
	h := w.Header()
	o.stampHeaders(h, scope)
	h["Content-Type"] = o.fixed.json
	if len(body) > chunked {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	w.Write(body) //nolint:errcheck // the client is gone; nobody is left to tell
}

// fail sends an error body. JS clients need the key in it; the bulk route has none.
func (o *ofrep) fail(w http.ResponseWriter, scope fsm.Scope, status int, key string, code evaluator.ErrorCode, detail string) {
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header()["Retry-After"] = []string{"1"}
	}
	o.answer(w, scope, status, appendFailure(nil, key, code, detail))
}

// appendFailure appends {"key","errorCode","errorDetails"}; without a key the member is left out.
func appendFailure(dst []byte, key string, code evaluator.ErrorCode, detail string) []byte {
	dst = append(dst, '{')
	if key != "" {
		dst = append(dst, `"key":`...)
		dst = evaluator.String(strings.ToValidUTF8(key, "\uFFFD")).AppendJSON(dst)
		dst = append(dst, ',')
	}
	dst = append(dst, `"errorCode":"`...)
	dst = append(dst, code...)
	dst = append(dst, `","errorDetails":`...)
	dst = evaluator.String(detail).AppendJSON(dst)
	return append(dst, '}')
}
