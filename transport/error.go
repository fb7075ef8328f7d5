package transport

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// Kinds that only the doors know.
const (
	KindTooLarge      fsm.Kind = "TOO_LARGE"      // a body or a message is over its limit
	KindNotReady      fsm.Kind = "NOT_READY"      // this node has no state yet
	KindFlagNotFound  fsm.Kind = "FLAG_NOT_FOUND" // evaluating an unknown or archived flag
	KindUndecidable   fsm.Kind = "INVALID_CONTEXT"
	KindKeyMissing    fsm.Kind = "TARGETING_KEY_MISSING"
	KindUnimplemented fsm.Kind = "UNIMPLEMENTED"
	KindPrecondition  fsm.Kind = "PRECONDITION_FAILED" // If-Match or If-None-Match does not hold
	KindSlowConsumer  fsm.Kind = "SLOW_CONSUMER"       // a stream's reader did not read for 10 s
	KindNodeBehind    fsm.Kind = "NODE_BEHIND"         // a stream's position lies ahead of this node
)

// failure is how one kind of error looks at each door.
type failure struct {
	code   connect.Code
	status int
	title  string
	retry  time.Duration // when trying again may help; 0: not by itself
}

// failures is the one table from kinds to codes. The problem type of HTTP is "/problems/" and the kind in lower case.
var failures = map[fsm.Kind]failure{
	fsm.KindInvalid:        {connect.CodeInvalidArgument, http.StatusUnprocessableEntity, "The definition is refused", 0},
	fsm.KindMalformed:      {connect.CodeInvalidArgument, http.StatusBadRequest, "The request cannot be read", 0},
	fsm.KindNotFound:       {connect.CodeNotFound, http.StatusNotFound, "There is no such thing", 0},
	fsm.KindConflict:       {connect.CodeAborted, http.StatusConflict, "The object has changed", 0},
	fsm.KindExists:         {connect.CodeAlreadyExists, http.StatusConflict, "The object exists already", 0},
	fsm.KindIllegal:        {connect.CodeFailedPrecondition, http.StatusConflict, "Not possible in the phase it is in", 0},
	fsm.KindFrozen:         {connect.CodeFailedPrecondition, http.StatusLocked, "The environment is frozen", 0},
	fsm.KindDenied:         {connect.CodePermissionDenied, http.StatusForbidden, "Not allowed", 0},
	fsm.KindUnknownToken:   {connect.CodeUnauthenticated, http.StatusUnauthorized, "The token does not count", 0},
	KindNoToken:            {connect.CodeUnauthenticated, http.StatusUnauthorized, "A token is needed", 0},
	KindMalformedToken:     {connect.CodeUnauthenticated, http.StatusUnauthorized, "This is no token", 0},
	KindTenantRequired:     {connect.CodeInvalidArgument, http.StatusBadRequest, "The tenant is missing", 0},
	KindRateLimited:        {connect.CodeResourceExhausted, http.StatusTooManyRequests, "The token has used up its rate", time.Second},
	fsm.KindState:          {connect.CodeFailedPrecondition, http.StatusConflict, "Not possible in the state it is in", 0},
	fsm.KindStale:          {connect.CodeFailedPrecondition, http.StatusConflict, "Source or target moved since validation", 0},
	fsm.KindDrift:          {connect.CodeFailedPrecondition, http.StatusConflict, "Items were edited since", 0},
	fsm.KindPipeline:       {connect.CodeInvalidArgument, http.StatusUnprocessableEntity, "The pipeline does not lead this way", 0},
	fsm.KindSelfApproval:   {connect.CodePermissionDenied, http.StatusForbidden, "Nobody approves what they asked for", 0},
	fsm.KindProtected:      {connect.CodeFailedPrecondition, http.StatusConflict, "The environment is protected", 0},
	fsm.KindFenced:         {connect.CodeAborted, http.StatusConflict, "Another leader has taken over", 0},
	fsm.KindRequestReused:  {connect.CodeInvalidArgument, http.StatusUnprocessableEntity, "The request id belongs to another request", 0},
	fsm.KindRequestExpired: {connect.CodeInvalidArgument, http.StatusUnprocessableEntity, "The request id is too old", 0},
	fsm.KindNotLeader:      {connect.CodeUnavailable, http.StatusServiceUnavailable, "No leader took the write", time.Second},
	fsm.KindNoQuorum:       {connect.CodeUnavailable, http.StatusServiceUnavailable, "No quorum; evaluations keep working", time.Second},
	fsm.KindUnknownOutcome: {connect.CodeUnavailable, http.StatusServiceUnavailable, "The write may or may not have happened", time.Second},
	fsm.KindOverloaded:     {connect.CodeResourceExhausted, http.StatusTooManyRequests, "Too much at once", time.Second},
	fsm.KindRestored:       {connect.CodeAborted, http.StatusServiceUnavailable, "The state was replaced; read it again", 0},
	fsm.KindReadOnlyDisk:   {connect.CodeUnavailable, http.StatusServiceUnavailable, "The disk is nearly full; writes are refused", 10 * time.Second},
	fsm.KindBehind:         {connect.CodeFailedPrecondition, http.StatusServiceUnavailable, "This node is behind the revision asked for", time.Second},
	fsm.KindInternal:       {connect.CodeInternal, http.StatusInternalServerError, "Internal error", 0},
	KindSlowConsumer:       {connect.CodeResourceExhausted, http.StatusTooManyRequests, "The consumer did not read for too long", time.Second},
	KindNodeBehind:         {connect.CodeUnavailable, http.StatusServiceUnavailable, "This node is behind the position given", time.Second},
	KindTooLarge:           {connect.CodeResourceExhausted, http.StatusRequestEntityTooLarge, "The request is too large", 0},
	KindPrecondition:       {connect.CodeFailedPrecondition, http.StatusPreconditionFailed, "The object is not as the request expects", 0},
	KindNotReady:           {connect.CodeUnavailable, http.StatusServiceUnavailable, "This node has no state yet", time.Second},
	KindFlagNotFound:       {connect.CodeNotFound, http.StatusNotFound, "There is no such flag", 0},
	KindUndecidable:        {connect.CodeInvalidArgument, http.StatusBadRequest, "The context cannot be decided on", 0},
	KindKeyMissing:         {connect.CodeInvalidArgument, http.StatusBadRequest, "The context has no bucketing key", 0},
	KindUnimplemented:      {connect.CodeUnimplemented, http.StatusNotImplemented, "Not available on this node", 0},
}

// asError finds what an error means. Problems and context errors are what callers send; anything unknown is our fault and
// its text stays in the log.
func asError(err error) *fsm.Error {
	var known *fsm.Error
	var problems evaluator.Problems
	var badContext *evaluator.ContextError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &problems):
		return refused(problems)
	case errors.As(err, &badContext):
		return &fsm.Error{Kind: fsm.Kind(badContext.Code), Op: "read context", Detail: badContext.Detail, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return nil
	}
	return &fsm.Error{Kind: fsm.KindInternal, Detail: "internal error", Err: err}
}

// refused turns problems into an error: MALFORMED when the body did not decode, otherwise INVALID.
func refused(problems evaluator.Problems) *fsm.Error {
	kind := fsm.KindInvalid
	for _, p := range problems {
		if strings.HasPrefix(p.Code, "decode.") {
			kind = fsm.KindMalformed
		}
	}
	detail := "the definition is refused"
	if len(problems) > 0 {
		detail = strings.TrimPrefix(problems[0].Field+": "+problems[0].Message, ": ")
	}
	if len(problems) > 1 {
		detail += " (and " + strconv.Itoa(len(problems)-1) + " more)"
	}
	return &fsm.Error{Kind: kind, Detail: detail, Problems: problems}
}

// lookup returns how a kind looks; context errors of evaluator are kinds too.
func lookup(kind fsm.Kind) failure {
	if f, ok := failures[kind]; ok {
		return f
	}
	if kind == fsm.Kind(evaluator.ErrorParse) {
		return failures[fsm.KindMalformed]
	}
	return failures[fsm.KindInternal]
}

// connectError turns an error into what Connect, gRPC and gRPC-Web send: the code, one sentence, and an ErrorInfo.
func (s *Server) connectError(err error) *connect.Error {
	var ready *connect.Error
	if errors.As(err, &ready) {
		return ready
	}
	var written writeError
	if w := (*writeError)(nil); errors.As(err, &w) {
		written = *w
	}
	known := asError(err)
	if known == nil { // the caller's own deadline or cancellation
		code := connect.CodeCanceled
		if errors.Is(err, context.DeadlineExceeded) {
			code = connect.CodeDeadlineExceeded
		}
		return connect.NewError(code, err)
	}
	f := lookup(known.Kind)
	out := connect.NewError(f.code, errors.New(sentence(known, f)))
	epoch, revision := s.source.At(fsm.Scope{})
	info := &hoistv1.ErrorInfo{
		Code: string(known.Kind), Epoch: epoch, Revision: known.Revision,
		Problems: wire.EncodeProblems(known.Problems), RetryAfterMs: f.retry.Milliseconds(), RequestId: written.requestID,
	}
	if info.Revision == 0 {
		info.Revision = revision
	}
	if f.status == http.StatusUnauthorized {
		out.Meta().Set("WWW-Authenticate", "Bearer")
	}
	if detail, err := connect.NewErrorDetail(info); err == nil {
		out.AddDetail(detail)
	}
	return out
}

func sentence(e *fsm.Error, f failure) string {
	text := e.Detail
	if text == "" {
		text = f.title
	}
	if e.Op != "" && e.Target != "" {
		return e.Op + " " + e.Target + ": " + text
	}
	return text
}

// writeProblem answers with application/problem+json (RFC 9457).
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, e *fsm.Error) {
	f := lookup(e.Kind)
	if f.status == http.StatusUnauthorized || f.status == http.StatusForbidden {
		who, _ := s.callerOf(r.Header) // nobody in particular, when even that is not known
		s.denied(who, r.Method+" "+r.URL.Path, e)
	}
	epoch, revision := s.source.At(fsm.Scope{})
	slug := strings.ReplaceAll(strings.ToLower(string(e.Kind)), "_", "-")
	if name, ok := strings.CutPrefix(slug, "prom-"); ok {
		slug = "promotion-" + name
	}
	body := append([]byte(`{"type":"/problems/`), slug...)
	body = append(body, `","title":`...)
	body = evaluator.String(f.title).AppendJSON(body)
	body = append(body, `,"status":`...)
	body = strconv.AppendInt(body, int64(f.status), 10)
	body = append(body, `,"detail":`...)
	body = evaluator.String(sentence(e, f)).AppendJSON(body)
	body = append(body, `,"instance":`...)
	body = evaluator.String(strings.ToValidUTF8(r.URL.Path, "\uFFFD")).AppendJSON(body)
	body = append(body, `,"code":`...)
	body = evaluator.String(string(e.Kind)).AppendJSON(body)
	body = append(body, `,"epoch":`...)
	body = evaluator.String(epoch).AppendJSON(body)
	body = append(body, `,"revision":`...)
	body = strconv.AppendUint(body, revision, 10)
	h := w.Header()
	if key := h.Get(headerIdempotency); key != "" {
		body = append(body, `,"requestId":`...)
		body = evaluator.String(key).AppendJSON(body)
	}
	body = append(appendState(appendProblems(body, e.Problems), e), "}\n"...)
	h.Set("Hoist-Epoch", epoch)
	h.Set("Hoist-Revision", strconv.FormatUint(revision, 10))
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if f.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(max(f.retry/time.Second, 1))))
	}
	w.WriteHeader(f.status)
	w.Write(body) //nolint:errcheck // the client is gone; nobody is left to tell
}

// appendState adds where the object stands and what is possible instead, where an error says so.
func appendState(body []byte, e *fsm.Error) []byte {
	if e.State == "" {
		return body
	}
	body = evaluator.String(e.State).AppendJSON(append(body, `,"currentState":`...))
	body = append(body, `,"allowed":[`...)
	for i, move := range e.Allowed {
		if i > 0 {
			body = append(body, ',')
		}
		body = evaluator.String(move).AppendJSON(body)
	}
	return append(body, ']')
}

// appendProblems adds the member errors: one object per field that is wrong.
func appendProblems(body []byte, problems evaluator.Problems) []byte {
	for i, p := range problems {
		if i == 0 {
			body = append(body, `,"errors":[`...)
		} else {
			body = append(body, ',')
		}
		body = append(body, `{"field":`...)
		body = evaluator.String(p.Field).AppendJSON(body)
		body = append(body, `,"code":`...)
		body = evaluator.String(p.Code).AppendJSON(body)
		body = append(body, `,"message":`...)
		body = append(evaluator.String(p.Message).AppendJSON(body), '}')
	}
	if len(problems) > 0 {
		body = append(body, ']')
	}
	return body
}
