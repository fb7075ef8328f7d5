package transport

import (
	"context"
	"strings"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

func (s rolloutService) SetBudget(ctx context.Context, r *hoistv1.SetBudgetRequest) (*hoistv1.SetBudgetResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	c := fsm.PutBudget{Scope: who.scope(r.GetEnvironment())}
	if strings.TrimSpace(r.GetBudget()) != "" {
		if s.cfg.Plans == nil {
			return nil, &fsm.Error{Kind: KindUnimplemented, Op: "environment.budget", Detail: "this node keeps no budgets"}
		}
		if c.Budget, err = s.cfg.Plans.ParseBudget([]byte(r.GetBudget())); err != nil {
			return nil, err
		}
	}
	receipt, err := s.write(ctx, who, c, r.GetWrite())
	if err != nil {
		return nil, err
	}
	env, err := environment(s.cfg.Store.State(), c.Scope)
	if err != nil {
		return nil, err
	}
	return &hoistv1.SetBudgetResponse{Budget: wire.EncodeBudget(env), Receipt: receipt}, nil
}

func (s rolloutService) GetBudget(ctx context.Context, r *hoistv1.GetBudgetRequest) (*hoistv1.GetBudgetResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	env, err := environment(state, who.scope(r.GetEnvironment()))
	if err != nil {
		return nil, err
	}
	out := &hoistv1.GetBudgetResponse{Budget: wire.EncodeBudget(env), Position: s.position(state)}
	for _, f := range env.Freezes() {
		out.Freezes = append(out.Freezes, wire.EncodeFreeze(f))
	}
	return out, nil
}
