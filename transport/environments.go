package transport

import (
	"context"
	"slices"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// environmentService answers hoist.v1.EnvironmentService.
type environmentService struct{ *Server }

func (s environmentService) List(ctx context.Context, r *hoistv1.ListEnvironmentsRequest) (*hoistv1.ListEnvironmentsResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	out := &hoistv1.ListEnvironmentsResponse{Position: s.position(state)}
	for _, env := range who.environments(state) {
		out.Environments = append(out.Environments, environmentMessage(env))
	}
	return out, nil
}

func (s environmentService) Create(ctx context.Context, r *hoistv1.CreateEnvironmentRequest) (*hoistv1.CreateEnvironmentResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, who, fsm.CreateEnvironment{Tenant: who.tenant, Environment: r.GetKey(), Name: r.GetName()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	out := &hoistv1.CreateEnvironmentResponse{Receipt: receipt}
	if env, ok := s.cfg.Store.State().Environment(who.tenant, r.GetKey()); ok {
		out.Environment = environmentMessage(env)
	}
	return out, nil
}

func environmentMessage(env *fsm.Environment) *hoistv1.Environment {
	flags, segments := env.Len()
	return &hoistv1.Environment{
		Key: env.Key(), Name: env.Name(), Revision: env.Revision(), DeclaredHash: env.DeclaredHash(),
		Flags: int32(flags), Segments: int32(segments),
	}
}

// environments are those of the caller's tenant that its token is for.
func (c caller) environments(state *fsm.State) []*fsm.Environment {
	all := state.Environments(c.tenant)
	if c.pass == nil {
		return all
	}
	return slices.DeleteFunc(all, func(e *fsm.Environment) bool { return !c.pass.token.Covers(e.Key()) })
}
