package transport

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// Environments over plain HTTP: what they hold, their order and their policies.

func (s rest) environments(_ context.Context, r *call) (*reply, error) {
	var list [][]byte
	for _, env := range r.who.environments(r.state) {
		list = append(list, environmentBody(r.state, env))
	}
	return &reply{body: items(list, "", s.position(r.state)...)}, nil
}

func environmentBody(state *fsm.State, env *fsm.Environment, members ...evaluator.Attribute) []byte {
	flags, segments := env.Len()
	g, _ := state.Governance(env.Tenant(), env.Key())
	return object([]byte("{}"), append([]evaluator.Attribute{
		member("key", evaluator.String(env.Key())), member("name", evaluator.String(env.Name())),
		member("objectRevision", number(env.Revision())), member("declaredHash", evaluator.String(env.DeclaredHash())),
		member("flags", number(uint64(flags))), member("segments", number(uint64(segments))),
		member("policy", policyValue(g))}, members...)...)
}

func (s rest) environment(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, fsm.Scope{Tenant: r.who.tenant, Environment: r.key})
	if err != nil {
		return nil, err
	}
	if err := r.who.may(right{verb: fsm.VerbReadConfig}, r.key); err != nil {
		return nil, err
	}
	return &reply{body: environmentBody(r.state, env, s.position(r.state)...), object: env.Revision()}, nil
}

func (s rest) createEnvironment(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Key  string `json:"key"`
		Name string `json:"name"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, r.who, fsm.CreateEnvironment{Tenant: r.who.tenant, Environment: in.Key, Name: in.Name}, r.opts)
	if err != nil {
		return nil, err
	}
	position := placed(receipt)
	out := &reply{status: http.StatusCreated, receipt: receipt, object: receipt.GetObjectRevision(), location: configPath + "/environments/" + in.Key,
		body: object([]byte("{}"), position...)}
	state := s.cfg.Store.State()
	if env, ok := state.Environment(r.who.tenant, in.Key); ok {
		out.body = environmentBody(state, env, position...)
	}
	return out, nil
}

// setPolicy changes the fields that the body names; with ?defaults=true the others go back to their defaults.
func (s rest) setPolicy(ctx context.Context, r *call) (*reply, error) {
	var policy fsm.Policy
	if err := decodeBody(r.body, &policy); err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, r.who, fsm.SetPolicy{Scope: fsm.Scope{Tenant: r.who.tenant, Environment: r.key}, Policy: policy,
		Reset: r.http.URL.Query().Get("defaults") == "true"}, r.opts)
	if err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	env, err := environment(state, fsm.Scope{Tenant: r.who.tenant, Environment: r.key})
	if err != nil {
		return nil, err
	}
	return &reply{body: environmentBody(state, env, placed(receipt)...), object: env.Revision(), receipt: receipt}, nil
}

// orderEnvironments puts them into the order in which changes are promoted through them.
func (s rest) orderEnvironments(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Environments []string `json:"environments"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, r.who, fsm.OrderEnvironments{Tenant: r.who.tenant, Environments: in.Environments}, r.opts)
	if err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	var list [][]byte
	for _, env := range r.who.environments(state) {
		list = append(list, environmentBody(state, env))
	}
	return &reply{body: items(list, "", placed(receipt)...), receipt: receipt}, nil
}

// placed says where a write stands.
func placed(receipt *hoistv1.Receipt) []evaluator.Attribute {
	return []evaluator.Attribute{member("epoch", evaluator.String(receipt.GetEpoch())), member("revision", number(receipt.GetRevision()))}
}

// policyBody is a policy in force; shares are in thousandths of a percent, as everywhere in REST.
type policyBody struct {
	RequiredApprovals int      `json:"requiredApprovals"`
	Approvers         []string `json:"approvers"`
	AllowFrom         []string `json:"allowFrom"`
	Protected         bool     `json:"protected"`
	MaxStep           int      `json:"maxStep"`
	TemporaryOwner    bool     `json:"temporaryOwner"`
}

func policyValue(g fsm.Governance) (v evaluator.Value) {
	record, err := json.Marshal(policyBody{g.RequiredApprovals, orEmpty(g.Approvers), orEmpty(g.AllowFrom), g.Protected, g.MaxStep, g.TemporaryOwner})
	if err == nil {
		err = v.UnmarshalJSON(jsontext.Value(record))
	}
	if err != nil {
		return evaluator.Value{} // cannot be: the value is our own
	}
	return v
}
