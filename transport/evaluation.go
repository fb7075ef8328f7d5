package transport

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// evaluationService answers hoist.v1.EvaluationService.
type evaluationService struct{ *Server }

// subject is who an evaluation is about, and where.
type subject struct {
	place   *place
	context evaluator.Context
	client  bool // sees results of client-visible flags only
}

// sees tells whether there is such a flag for the subject.
func (s *subject) sees(flag *evaluator.Compiled) bool {
	return !flag.Archived() && (!s.client || flag.ClientVisible())
}

// shown is the result as the subject may know it.
func (s *subject) shown(r evaluator.Result) evaluator.Result {
	if s.client {
		return forClient(r)
	}
	return r
}

// forClient leaves out what tells how a flag is built: which rule decided, what a split buckets by, and that it was a
// prerequisite that failed and not a rule.
func forClient(r evaluator.Result) evaluator.Result {
	r.RuleID, r.Label = "", ""
	if r.Reason == evaluator.ReasonPrerequisiteFailed {
		r.Reason = evaluator.ReasonDefault
	}
	if r.ErrorCode == evaluator.ErrorInvalidContext {
		r.Detail = ""
	}
	return r
}

func (s evaluationService) subject(ctx context.Context, environment string, attributes *structpb.Struct, read *hoistv1.ReadOptions) (subject, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return subject{}, err
	}
	out := subject{client: who.client()}
	if err := who.meter(); err != nil {
		return subject{}, err
	}
	if err := wire.DecodeContext(attributes, &out.context); err != nil {
		return subject{}, err
	}
	scope := who.scope(environment)
	if err := s.awaitIn(ctx, scope, read); err != nil {
		return subject{}, err
	}
	out.place, err = s.place(scope)
	return out, err
}

// place finds where to evaluate, or says why that is not possible.
func (s *Server) place(scope fsm.Scope) (*place, error) {
	p := s.scopes.find(scope)
	if p == nil || p.live.Snapshot().Epoch() == "" {
		return nil, s.source.Missing(scope)
	}
	return p, nil
}

// from says which snapshot answered: its epoch, and how far the node had applied when it did.
func (s *Server) from(scope fsm.Scope, snapshot *evaluator.Snapshot) *hoistv1.Position {
	_, revision := s.source.At(scope)
	return &hoistv1.Position{
		Epoch: snapshot.Epoch(), Revision: max(revision, snapshot.Revision()), AgeMs: s.source.Age(scope).Milliseconds(),
	}
}

func (s evaluationService) Evaluate(ctx context.Context, r *hoistv1.EvaluateRequest) (*hoistv1.EvaluateResponse, error) {
	who, err := s.subject(ctx, r.GetEnvironment(), r.GetContext(), r.GetRead())
	if err != nil {
		return nil, err
	}
	snapshot := who.place.live.Snapshot()
	flag, _, ok := snapshot.Flag(r.GetKey())
	result := evaluator.Result{Reason: evaluator.ReasonError, ErrorCode: evaluator.ErrorFlagNotFound}
	if ok && who.sees(flag) {
		result = who.shown(snapshot.EvaluateCompiled(flag, &who.context))
		who.place.use.Named(flag)
	}
	who.place.count(doorConnect, r.GetKey(), &result)
	if err := evaluationError(r.GetKey(), result); err != nil {
		return nil, err
	}
	return &hoistv1.EvaluateResponse{
		Evaluation: wire.EncodeResult(r.GetKey(), flag, result), Position: s.from(who.place.scope, snapshot),
	}, nil
}

// evaluationError turns the error code of a result into an error, or nil.
func evaluationError(key string, r evaluator.Result) error {
	if r.ErrorCode == "" {
		return nil
	}
	return &fsm.Error{Kind: fsm.Kind(r.ErrorCode), Op: "evaluate", Target: key, Detail: evaluationDetail(r)}
}

// evaluationDetail is the sentence that goes with an error code, at every door.
func evaluationDetail(r evaluator.Result) string {
	switch r.ErrorCode {
	case evaluator.ErrorFlagNotFound:
		return "there is no such flag"
	case evaluator.ErrorTargetingKeyMissing:
		return "a split decides this flag and the context has no targetingKey"
	case evaluator.ErrorInvalidContext:
		return strings.TrimSuffix("a split decides this flag and the context has no usable attribute "+r.Detail, " ")
	}
	return r.Detail
}

func (s evaluationService) EvaluateAll(ctx context.Context, r *hoistv1.EvaluateAllRequest) (*hoistv1.EvaluateAllResponse, error) {
	who, err := s.subject(ctx, r.GetEnvironment(), r.GetContext(), r.GetRead())
	if err != nil {
		return nil, err
	}
	snapshot := who.place.live.Snapshot()
	who.place.use.Whole()
	out := &hoistv1.EvaluateAllResponse{Position: s.from(who.place.scope, snapshot)}
	for _, flag := range snapshot.Flags() {
		if !who.sees(flag) {
			continue
		}
		result := who.shown(snapshot.EvaluateCompiled(flag, &who.context))
		who.place.count(doorConnect, flag.Key(), &result)
		out.Evaluations = append(out.Evaluations, evaluationMessage(flag, result))
	}
	return out, nil
}

func evaluationMessage(flag *evaluator.Compiled, result evaluator.Result) *hoistv1.Evaluation {
	m := wire.EncodeResult(flag.Key(), flag, result)
	if result.ErrorCode != "" {
		m.ErrorDetail = evaluationDetail(result)
	}
	return m
}

func (s evaluationService) Explain(ctx context.Context, r *hoistv1.ExplainRequest) (*hoistv1.ExplainResponse, error) {
	who, err := s.subject(ctx, r.GetEnvironment(), r.GetContext(), r.GetRead())
	if err != nil {
		return nil, err
	}
	snapshot := who.place.live.Snapshot()
	if r.GetAt() != 0 {
		if snapshot, err = s.source.Past(who.place.scope, r.GetKey(), r.GetAt()); err != nil {
			return nil, err
		}
	}
	flag, _, ok := snapshot.Flag(r.GetKey())
	if !ok || flag.Archived() {
		return nil, evaluationError(r.GetKey(), evaluator.Result{ErrorCode: evaluator.ErrorFlagNotFound})
	}
	return &hoistv1.ExplainResponse{
		Evaluation: evaluationMessage(flag, snapshot.EvaluateCompiled(flag, &who.context)),
		Steps:      wire.EncodeExplanation(snapshot.Explain(r.GetKey(), &who.context)),
		Position:   s.from(who.place.scope, snapshot),
	}, nil
}

// meter counts an evaluation against the rate of the caller's token.
func (c caller) meter() error {
	if c.pass == nil || c.pass.rate == nil {
		return nil
	}
	if wait, ok := c.pass.rate.take(time.Now()); !ok {
		return &fsm.Error{Kind: KindRateLimited, Op: "evaluate", Target: "token " + c.pass.token.ID,
			Detail: "it may evaluate " + strconv.FormatUint(uint64(c.pass.token.Rate), 10) + " times per second here; wait " + strconv.Itoa(wait) + " s"}
	}
	return nil
}
