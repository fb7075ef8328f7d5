package transport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// rest is the one adapter between routes of plain HTTP and what they do: it reads the caller, the body and the conditions
// of a request, waits for the revision that a reader asked for, and writes the answer or the problem.
type rest struct{ *Server }

// call is one request as a route sees it.
type call struct {
	http  *http.Request
	who   caller
	scope fsm.Scope // environment of ?environment= or the header
	key   string    // of the path, if it has one
	body  []byte
	opts  *hoistv1.WriteOptions
	state *fsm.State // after waiting
}

// reply is what a route answers: one JSON value.
type reply struct {
	status   int // 0: 200
	body     []byte
	location string
	object   uint64 // revision of the object, for the ETag; 0: none
	fresh    bool   // the object was made by this request
	receipt  *hoistv1.Receipt
}

// handle makes a handler of a route that asks for a right.
func (s rest) handle(asks right, route func(context.Context, *call) (*reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.read(w, r, asks)
		var out *reply
		if err == nil {
			out, err = route(r.Context(), c)
		}
		if err != nil {
			s.failed(w, r, err)
			return
		}
		s.answer(w, out)
	}
}

func (s rest) read(w http.ResponseWriter, r *http.Request, asks right) (*call, error) {
	who, err := s.enter(r.Header, asks, r.URL.Query().Get("environment"))
	if err != nil {
		return nil, err
	}
	c := &call{http: r, who: who, scope: who.scope(r.URL.Query().Get("environment")), key: r.PathValue("key")}
	if c.body, err = readBody(w, r, maxManagementBody); err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet {
		if c.opts, err = conditions(w, r); err != nil {
			return nil, err
		}
	}
	minimum, err := minRevision(r)
	if err != nil {
		return nil, err
	}
	if err := s.awaitRevision(r.Context(), c.scope, minimum, minRevisionWait); err != nil {
		return nil, err
	}
	c.state = s.cfg.Store.State()
	return c, nil
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &fsm.Error{Kind: KindTooLarge, Op: "read", Target: "body", Detail: "at most " + strconv.FormatInt(limit>>20, 10) + " MiB"}
	case err != nil:
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: "the body is cut off", Err: err}
	}
	return body, nil
}

func minRevision(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("minRevision")
	if text == "" {
		text = r.Header.Get("Hoist-Min-Revision")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, malformedQuery("minRevision", "must be a revision, such as 42")
	}
	return n, nil
}

func malformedQuery(name, detail string) error {
	return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: name, Detail: detail}
}

// conditions reads what makes a write conditional and repeatable. The request id is made of method, path and
// Idempotency-Key, so that one key on two paths is two requests; a key that the caller did not send is made here and
// returned, for the retry.
func conditions(w http.ResponseWriter, r *http.Request) (*hoistv1.WriteOptions, error) {
	opts := &hoistv1.WriteOptions{Comment: r.Header.Get("Hoist-Comment"), DryRun: r.URL.Query().Get("dryRun") == "true",
		ChangeTitle: r.Header.Get("Hoist-Change"), ChangeId: r.Header.Get("Hoist-Change-Id")}
	key := r.Header.Get(headerIdempotency)
	if key == "" {
		key = fsm.NewRequestID(time.Now().UnixMilli(), uuid.New())
	}
	if !presentable(key, maxRequestID) {
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: headerIdempotency, Detail: "must be printable text of at most 64 bytes"}
	}
	w.Header().Set(headerIdempotency, key)
	sum := sha256.Sum256([]byte(r.Method + "\x00" + r.URL.Path + "\x00" + key))
	opts.RequestId = "rest-" + hex.EncodeToString(sum[:16])
	switch match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match"); {
	case none == "*" && match == "":
		opts.ExpectedRevision = new(uint64)
	case none != "":
		return nil, malformedQuery("If-None-Match", "only * is known here: the object must not exist")
	case match != "":
		n, err := strconv.ParseUint(strings.Trim(match, `"`), 10, 64)
		if err != nil {
			return nil, malformedQuery("If-Match", `must be the ETag of the object, such as "42"`)
		}
		opts.ExpectedRevision = &n
	}
	return opts, nil
}

func (s rest) answer(w http.ResponseWriter, out *reply) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	state := s.cfg.Store.State()
	epoch, revision := state.Epoch(), state.Index()
	if out.receipt != nil {
		epoch, revision = out.receipt.GetEpoch(), out.receipt.GetRevision()
		if out.receipt.GetReplayed() {
			h.Set("Idempotent-Replay", "true")
		}
	}
	h.Set("Hoist-Epoch", epoch)
	h.Set("Hoist-Revision", strconv.FormatUint(revision, 10))
	if out.object > 0 {
		h.Set("ETag", `"`+strconv.FormatUint(out.object, 10)+`"`)
	}
	if out.location != "" {
		h.Set("Location", s.cfg.PublicPrefix+out.location)
	}
	if out.status == 0 {
		out.status = http.StatusOK
	}
	w.WriteHeader(out.status)
	w.Write(append(out.body, '\n')) //nolint:errcheck // the client is gone; nobody is left to tell
}

// failed answers with the problem. A condition of the request that does not hold is 412, a conflict without one 409.
func (s rest) failed(w http.ResponseWriter, r *http.Request, err error) {
	known := asError(err)
	if known == nil { // the client left, or its deadline passed
		known = &fsm.Error{Kind: fsm.KindUnknownOutcome, Detail: "the request was given up; read again to see what happened"}
	}
	conditional := r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != ""
	if conditional && (known.Kind == fsm.KindConflict || known.Kind == fsm.KindExists) {
		copied := *known
		copied.Kind = KindPrecondition
		known = &copied
	}
	s.writeProblem(w, r, known)
}

// object appends members to the JSON of a definition, which keeps its own members first.
func object(record []byte, members ...evaluator.Attribute) []byte {
	out := append([]byte{}, record[:len(record)-1]...)
	for _, m := range members {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(evaluator.String(m.Name).AppendJSON(out), ':')
		out = m.Value.AppendJSON(out)
	}
	return append(out, '}')
}

// member is one member of an answer.
func member(name string, v evaluator.Value) evaluator.Attribute {
	return evaluator.Attribute{Name: name, Value: v}
}

func number(n uint64) evaluator.Value { return evaluator.Number(float64(n)) }

// items is the body of a list.
func items(list [][]byte, next string, members ...evaluator.Attribute) []byte {
	out := []byte(`{"items":[`)
	for i, item := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, item...)
	}
	out = append(out, ']')
	if next != "" {
		members = append(members, member("nextCursor", evaluator.String(next)))
	}
	for _, m := range members {
		out = append(evaluator.String(m.Name).AppendJSON(append(out, ',')), ':')
		out = m.Value.AppendJSON(out)
	}
	return append(out, '}')
}
