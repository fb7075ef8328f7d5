package transport

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
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
		out.Environments = append(out.Environments, environmentMessage(state, env))
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
	state := s.cfg.Store.State()
	if env, ok := state.Environment(who.tenant, r.GetKey()); ok {
		out.Environment = environmentMessage(state, env)
	}
	return out, nil
}

func environmentMessage(state *fsm.State, env *fsm.Environment) *hoistv1.Environment {
	flags, segments := env.Len()
	g, _ := state.Governance(env.Tenant(), env.Key())
	return &hoistv1.Environment{
		Key: env.Key(), Name: env.Name(), Revision: env.Revision(), DeclaredHash: env.DeclaredHash(), DeclaredRevision: env.DeclaredRevision(),
		Flags: int32(flags), Segments: int32(segments), Policy: wire.EncodeGovernance(g),
	}
}

// SetPolicy implements hoistv1connect.EnvironmentServiceHandler.
func (s environmentService) SetPolicy(ctx context.Context, r *hoistv1.SetPolicyRequest) (*hoistv1.SetPolicyResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	policy, err := policyOf(r.GetPolicy(), r.GetFields())
	if err != nil {
		return nil, err
	}
	scope := who.scope(r.GetEnvironment())
	receipt, err := s.write(ctx, who, fsm.SetPolicy{Scope: scope, Policy: policy, Reset: r.GetDefaults()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	env, err := environment(state, scope)
	if err != nil {
		return nil, err
	}
	return &hoistv1.SetPolicyResponse{Environment: environmentMessage(state, env), Receipt: receipt}, nil
}

// policyOf takes the named fields of a message.
func policyOf(m *hoistv1.EnvironmentPolicy, fields []string) (p fsm.Policy, err error) {
	for i, field := range fields {
		switch field {
		case "requiredApprovals":
			p.RequiredApprovals = new(int)
			*p.RequiredApprovals = int(m.GetRequiredApprovals())
		case "approvers":
			list := append([]string{}, m.GetApprovers()...)
			p.Approvers = &list
		case "allowFrom":
			list := append([]string{}, m.GetAllowFrom()...)
			p.AllowFrom = &list
		case "protected":
			on := m.GetProtected()
			p.Protected = &on
		case "maxStep":
			step := int(math.Round(m.GetMaxStep() * 1000))
			p.MaxStep = &step
		case "temporaryOwner":
			on := m.GetTemporaryOwner()
			p.TemporaryOwner = &on
		default:
			return p, fsm.Problems{{Field: "/fields/" + strconv.Itoa(i), Code: "policy.field", Message: field + " is no field of a policy"}}
		}
	}
	return p, nil
}

// Order implements hoistv1connect.EnvironmentServiceHandler.
func (s environmentService) Order(ctx context.Context, r *hoistv1.OrderEnvironmentsRequest) (*hoistv1.OrderEnvironmentsResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, who, fsm.OrderEnvironments{Tenant: who.tenant, Environments: r.GetEnvironments()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	out := &hoistv1.OrderEnvironmentsResponse{Receipt: receipt}
	for _, env := range who.environments(state) {
		out.Environments = append(out.Environments, environmentMessage(state, env))
	}
	return out, nil
}

// environments are those of the caller's tenant that its token is for.
func (c caller) environments(state *fsm.State) []*fsm.Environment {
	all := state.Environments(c.tenant)
	if c.pass == nil {
		return all
	}
	return slices.DeleteFunc(all, func(e *fsm.Environment) bool { return !c.pass.token.Covers(e.Key()) })
}
