package transport

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	"github.com/hoistflags/hoist/transport/wire"
)

const evaluateProcedure = hoistv1connect.EvaluationServiceEvaluateProcedure

// plainEvaluation answers the plainest calls of EvaluationService.Evaluate over Connect without the library: no reflection,
// no message, no interceptor. It only ever succeeds. Whatever is unusual or wrong goes on to the handler that Connect
// serves, from its first byte and with nothing noted, so every error and every other protocol are that one's.
type plainEvaluation struct {
	server *Server
	jobs   sync.Pool // *plainJob

	json, proto, gzip []string // header values that every answer shares
}

// plainJob is the working space of one call.
type plainJob struct {
	job
	call wire.EvaluateCall
}

func newPlainEvaluation(s *Server) *plainEvaluation {
	p := &plainEvaluation{server: s, json: []string{"application/json"}, proto: []string{"application/proto"}, gzip: []string{"gzip"}}
	p.jobs.New = func() any { return new(plainJob) }
	return p
}

// plainCall tells whether a request may be one of the plainest calls, and in which encoding.
func plainCall(r *http.Request) (json, ok bool) {
	h := r.Header
	content, version := h["Content-Type"], h["Connect-Protocol-Version"]
	if r.Method != http.MethodPost || r.URL.RawQuery != "" || len(content) != 1 || len(h["Content-Encoding"]) > 0 ||
		!plainTimeout(h["Connect-Timeout-Ms"]) || len(version) > 1 || len(version) == 1 && version[0] != "1" {
		return false, false
	}
	json = content[0] == "application/json"
	return json, json || content[0] == "application/proto"
}

// plainTimeout tells whether a call has no time limit, or one that does not matter here because a plain call waits for
// nothing.
func plainTimeout(h []string) bool {
	if len(h) == 0 {
		return true
	}
	ms, err := strconv.ParseUint(h[0], 10, 31)
	return len(h) == 1 && err == nil && ms > 0
}

// serve answers a call; when it is false nothing was answered, and the request is as it was.
func (p *plainEvaluation) serve(w http.ResponseWriter, r *http.Request) bool {
	began := time.Now()
	json, ok := plainCall(r)
	if !ok {
		return false
	}
	who, err := p.server.callerOf(r.Header)
	if err != nil {
		return false
	}
	j := p.jobs.Get().(*plainJob)
	defer p.jobs.Put(j)
	original := r.Body
	if j.fill(original, maxSingleBody) != nil || !p.answer(j, r, who, json) {
		// A copy, as the job is others' by the time that it is read.
		r.Body = &again{io.MultiReader(bytes.NewReader(bytes.Clone(j.body)), original), original}
		return false
	}
	h := w.Header()
	h["Accept-Encoding"], h["Content-Type"] = p.gzip, p.proto
	if json {
		h["Content-Type"] = p.json
	}
	if len(j.out) > chunked {
		h["Content-Length"] = []string{strconv.Itoa(len(j.out))}
	}
	w.Write(j.out) //nolint:errcheck // the client is gone; nobody is left to tell
	took := time.Since(began)
	p.server.meters.evaluateLatency.Observe(took.Seconds())
	interceptor{p.server}.finish(r.Context(), evaluateProcedure, who, nil, nil, nil, took)
	return true
}

// again is a body of which something was read already.
type again struct {
	io.Reader
	io.Closer
}

// answer makes the answer, or says that this is not a call for here. Only with the answer is anything counted.
func (p *plainEvaluation) answer(j *plainJob, r *http.Request, who caller, json bool) (ok bool) {
	defer func() {
		if caught := recover(); caught != nil {
			p.server.logger.Error("panic while serving", slog.String("path", r.URL.Path), slog.Any("panic", caught))
			ok = false
		}
	}()
	read := j.call.ReadProto
	if json {
		read = j.call.ReadJSON
	}
	if !read(j.body) {
		return false
	}
	environment := string(j.call.Environment)
	if who.may(procedures[evaluateProcedure], environment) != nil {
		return false
	}
	place, err := p.server.place(who.scope(environment))
	if err != nil {
		return false
	}
	snapshot := place.live.Snapshot()
	flag, _, ok := snapshot.Flag(string(j.call.Key))
	subject := subject{place: place, client: who.client()}
	if !ok || !subject.sees(flag) {
		return false
	}
	result := subject.shown(snapshot.EvaluateCompiled(flag, &j.call.Context))
	if result.ErrorCode != "" || !utf8.ValidString(result.Label) {
		return false
	}
	at := p.server.placeOf(place.scope, snapshot)
	if json {
		j.out = wire.AppendEvaluateJSON(j.out[:0], flag, &result, at)
	} else {
		j.out = wire.AppendEvaluateProto(j.out[:0], flag, &result, at)
	}
	if len(j.out) >= compressFrom && len(r.Header["Accept-Encoding"]) > 0 || who.meter() != nil {
		return false
	}
	place.use.Named(flag)
	place.count(doorConnect, flag.Key(), &result)
	return true
}

// placeOf is from without a message.
func (s *Server) placeOf(scope fsm.Scope, snapshot *evaluator.Snapshot) wire.Place {
	_, revision := s.source.At(scope)
	return wire.Place{Epoch: snapshot.Epoch(), Revision: max(revision, snapshot.Revision()), AgeMs: s.source.Age(scope).Milliseconds()}
}
