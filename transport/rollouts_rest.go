package transport

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// rolloutREST is the service over plain HTTP: POST and GET /api/v1/rollouts, GET /api/v1/rollouts/ID and
// POST /api/v1/rollouts/ID/{pause,resume,promote,skip,approve,abort,dismiss,retry}.
type rolloutREST struct{ rolloutService }

const rolloutPath = "/api/v1/rollouts"

func (s *Server) mountRollouts(d *routeTable) {
	rest := rolloutREST{rolloutService{s}}
	d.plain("POST "+rolloutPath, fsm.StartRollout{}.Verb(), rest.create, asksLaw)
	d.plain("GET "+rolloutPath, fsm.VerbReadConfig, rest.index)
	d.plain("GET "+rolloutPath+"/{id}", fsm.VerbReadConfig, rest.show)
	d.plain("POST "+rolloutPath+"/{id}/{move}", fsm.MoveRollout{Move: fsm.MoveAbort}.Verb(), rest.act)
}

// create answers 201 with the rollout, or 200 with none when the seat already serves the target.
func (s rolloutREST) create(w http.ResponseWriter, r *http.Request, who caller) {
	body, err := s.body(w, r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	out, err := s.start(r.Context(), who, &hoistv1.StartRolloutRequest{Environment: r.URL.Query().Get("environment"), Plan: string(body),
		Supersede: r.URL.Query().Get("supersede") == "true", Write: restWrite(r, "")})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	status := http.StatusOK
	if out.GetRollout() != nil {
		status = http.StatusCreated
		w.Header().Set("Location", s.cfg.PublicPrefix+rolloutPath+"/"+out.GetRollout().GetId())
	}
	s.answer(w, r, status, out)
}

func (s rolloutREST) index(w http.ResponseWriter, r *http.Request, who caller) {
	q := r.URL.Query()
	out, err := s.list(who, &hoistv1.ListRolloutsRequest{Environment: q.Get("environment"), Flag: q.Get("flag"), Live: q.Get("live") == "true"})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, out)
}

func (s rolloutREST) show(w http.ResponseWriter, r *http.Request, who caller) {
	m, err := s.rollout(who.scope(r.URL.Query().Get("environment")), r.PathValue("id"))
	if err != nil {
		s.failed(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, m)
}

// act makes a move. Its body may hold a reason, and for promote `"full": true`.
func (s rolloutREST) act(w http.ResponseWriter, r *http.Request, who caller) {
	move := r.PathValue("move")
	if !slices.Contains([]string{"pause", "resume", "promote", "skip", "approve", "abort", "dismiss", "retry"}, move) {
		s.notFound(w, r)
		return
	}
	body, err := s.body(w, r)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	in := struct {
		Reason string `json:"reason"`
		Full   bool   `json:"full"`
	}{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			s.failed(w, r, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: `must be JSON such as {"reason":"…"}`, Err: err})
			return
		}
	}
	if in.Full && move == "promote" {
		move = string(fsm.MovePromoteFull)
	}
	out, err := s.move(r.Context(), who, &hoistv1.MoveRolloutRequest{Environment: r.URL.Query().Get("environment"), Id: r.PathValue("id"),
		Move: move, Reason: in.Reason, Write: restWrite(r, in.Reason)})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	s.answer(w, r, http.StatusOK, out)
}

// restWrite makes the request id of method, path and Idempotency-Key, so that one key on two endpoints is two requests.
func restWrite(r *http.Request, comment string) *hoistv1.WriteOptions {
	out := &hoistv1.WriteOptions{Comment: comment}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		sum := sha256.Sum256([]byte(r.Method + "\x00" + r.URL.Path + "\x00" + key))
		out.RequestId = "rest-" + hex.EncodeToString(sum[:16])
	}
	return out
}

func (s rolloutREST) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManagementBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &fsm.Error{Kind: KindTooLarge, Op: "read", Target: "body", Detail: "at most 1 MiB"}
	}
	if err != nil {
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: "the body is cut off", Err: err}
	}
	return body, nil
}

func (s rolloutREST) answer(w http.ResponseWriter, r *http.Request, status int, m proto.Message) {
	body, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client is gone; nobody is left to tell
}

func (s rolloutREST) failed(w http.ResponseWriter, r *http.Request, err error) {
	known := asError(err)
	if known == nil { // the client left, or its deadline passed
		known = &fsm.Error{Kind: fsm.KindUnknownOutcome, Detail: "the request was given up; ask for the rollout to see what happened"}
	}
	if known.Kind == fsm.KindMalformed && len(known.Problems) > 0 { // a plan that reads, but not as a plan
		copied := *known
		copied.Kind = fsm.KindInvalid
		known = &copied
	}
	s.writeProblem(w, r, known)
}
