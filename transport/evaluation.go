package transport

import (
	"context"

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
}

func (s evaluationService) subject(ctx context.Context, environment string, attributes *structpb.Struct, read *hoistv1.ReadOptions) (subject, error) {
	who, err := callerFrom(ctx)
	if err != nil {
		return subject{}, err
	}
	var out subject
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
	result := snapshot.Evaluate(r.GetKey(), &who.context)
	who.place.count(doorConnect, r.GetKey(), &result)
	if err := evaluationError(r.GetKey(), result); err != nil {
		return nil, err
	}
	flag, _, _ := snapshot.Flag(r.GetKey())
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
		return "a split decides this flag and the context has no usable attribute " + r.Detail
	}
	return r.Detail
}

func (s evaluationService) EvaluateAll(ctx context.Context, r *hoistv1.EvaluateAllRequest) (*hoistv1.EvaluateAllResponse, error) {
	who, err := s.subject(ctx, r.GetEnvironment(), r.GetContext(), r.GetRead())
	if err != nil {
		return nil, err
	}
	snapshot := who.place.live.Snapshot()
	out := &hoistv1.EvaluateAllResponse{Position: s.from(who.place.scope, snapshot)}
	for _, flag := range snapshot.Flags() {
		if flag.Archived() {
			continue
		}
		result := snapshot.EvaluateCompiled(flag, &who.context)
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
