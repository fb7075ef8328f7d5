package transport

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// single answers for one flag.
func (o *ofrep) single(w http.ResponseWriter, r *http.Request, v visitor, key string) {
	j := o.jobs.Get().(*job)
	defer o.jobs.Put(j)
	scope := v.scope
	if err := j.read(r, maxSingleBody); err != nil {
		o.refuse(w, scope, key, err)
		return
	}
	p, err := o.ready(r, scope)
	if err != nil {
		o.unavailable(w, scope, key, err)
		return
	}
	snapshot := p.live.Snapshot()
	flag, _, ok := snapshot.Flag(key)
	if !ok || !v.sees(flag) {
		p.counts[doorOFREP].count("", evaluator.ErrorFlagNotFound)
		o.fail(w, scope, http.StatusNotFound, key, evaluator.ErrorFlagNotFound, "there is no such flag")
		return
	}
	result := o.evaluate(snapshot, flag, &j.context)
	p.use.Named(flag)
	p.count(doorOFREP, key, &result) // the label tells which rollout it belongs to; clients are not shown it
	result = v.shown(result)
	if result.ErrorCode != "" {
		o.fail(w, scope, http.StatusBadRequest, key, result.ErrorCode, evaluationDetail(result))
		return
	}
	j.out = appendEvaluation(j.out[:0], flag, &result, snapshot.ScopeRevision(v.client))
	o.answer(w, scope, http.StatusOK, j.out)
}

// evaluate evaluates, and times one in sampleEvery.
func (o *ofrep) evaluate(s *evaluator.Snapshot, flag *evaluator.Compiled, c *evaluator.Context) evaluator.Result {
	if rand.Uint32()%sampleEvery != 0 {
		return s.EvaluateCompiled(flag, c)
	}
	began := time.Now()
	result := s.EvaluateCompiled(flag, c)
	o.server.meters.ofrepDuration.Observe(time.Since(began).Seconds())
	return result
}

// refuse answers a request that cannot be read.
func (o *ofrep) refuse(w http.ResponseWriter, scope fsm.Scope, key string, err error) {
	var known *refusal
	if !errors.As(err, &known) {
		known = &refusal{http.StatusInternalServerError, evaluator.ErrorGeneral, "internal error"}
	}
	o.fail(w, scope, known.status, key, known.code, known.detail)
}

// ready finds the environment of a request and waits for the revision it demands.
func (o *ofrep) ready(r *http.Request, scope fsm.Scope) (*place, error) {
	if demanded := r.Header["Hoist-Min-Revision"]; len(demanded) > 0 {
		if err := o.awaitDemanded(r, scope, demanded[0]); err != nil {
			return nil, err
		}
	}
	return o.server.place(scope)
}

func (o *ofrep) awaitDemanded(r *http.Request, scope fsm.Scope, demanded string) error {
	epoch, revision, ok := parsePosition(demanded)
	now, applied := o.server.source.At(scope)
	switch {
	case !ok:
		return &fsm.Error{Kind: fsm.KindMalformed, Detail: "Hoist-Min-Revision must be <epoch>.<revision>"}
	case epoch != now:
		return restoredTo(epoch, now, applied)
	}
	return o.server.awaitRevision(r.Context(), scope, revision, minRevisionWait)
}

// unavailable answers a request that this node cannot evaluate now, or whose environment does not exist.
func (o *ofrep) unavailable(w http.ResponseWriter, scope fsm.Scope, key string, err error) {
	known := asError(err)
	if known == nil { // the client left
		known = &fsm.Error{Kind: fsm.KindBehind, Detail: "the request was given up"}
	}
	status := lookup(known.Kind).status
	switch known.Kind {
	case fsm.KindNotFound:
		o.fail(w, scope, http.StatusNotFound, key, evaluator.ErrorFlagNotFound, known.Detail)
	case fsm.KindMalformed:
		o.fail(w, scope, status, key, evaluator.ErrorInvalidContext, known.Detail)
	default:
		o.fail(w, scope, status, key, evaluator.ErrorGeneral, known.Detail)
	}
}

// appendEvaluation appends {"key","value"?,"reason","variant"?,"metadata"}. A result without a value has no member
// value, never null: the caller's own default is meant.
func appendEvaluation(dst []byte, flag *evaluator.Compiled, r *evaluator.Result, scopeRevision uint64) []byte {
	dst = append(dst, `{"key":"`...) // a stored key needs no escape
	dst = append(dst, flag.Key()...)
	dst = append(dst, '"')
	if r.HasValue {
		dst = append(dst, `,"value":`...)
		dst = r.Value.AppendJSON(dst)
	}
	dst = append(dst, `,"reason":"`...)
	dst = append(dst, r.Reason...)
	dst = append(dst, '"')
	if r.Variant != "" {
		dst = append(dst, `,"variant":"`...)
		dst = append(dst, r.Variant...)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"metadata":{`...)
	for _, member := range flag.Metadata() {
		dst = evaluator.String(member.Name).AppendJSON(dst)
		dst = append(dst, ':')
		dst = member.Value.AppendJSON(dst)
		dst = append(dst, ',')
	}
	dst = append(dst, `"hoist.revision":`...)
	dst = strconv.AppendUint(dst, scopeRevision, 10)
	if r.RuleID != "" {
		dst = append(dst, `,"hoist.rule":"`...)
		dst = append(dst, r.RuleID...)
		dst = append(dst, '"')
	}
	if r.Label != "" {
		dst = append(dst, `,"hoist.label":`...)
		dst = evaluator.String(strings.ToValidUTF8(r.Label, "\uFFFD")).AppendJSON(dst)
	}
	return append(dst, "}}"...)
}
