package transport

import (
	"context"
	"errors"
	"math"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// What only feature flags have: their switches and an evaluation.

func (c collection) enabled(_ context.Context, r *call) (*reply, error) {
	_, record, err := c.record(r.state, r.scope, r.key)
	if err != nil {
		return nil, err
	}
	members := append([]evaluator.Attribute{member("enabled", evaluator.Bool(record.Flag().Enabled))}, c.position(r.state)...)
	return &reply{body: object([]byte("{}"), members...), object: record.Revision}, nil
}

// toggle switches to what the body says, or to the other side.
func (c collection) toggle(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Enabled *bool `json:"enabled"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	_, record, err := c.record(r.state, r.scope, r.key)
	if err != nil {
		return nil, err
	}
	write := func(enabled bool) (*reply, error) {
		return c.write(ctx, r, r.key, fsm.SetEnabled{Scope: r.scope, Key: r.key, Enabled: enabled})
	}
	if in.Enabled != nil {
		return write(*in.Enabled)
	}
	return eitherWay(!record.Flag().Enabled, write)
}

// eitherWay writes the other side of what this node has. It does not have it any more when the request was made before, by
// a caller who repeats it or at another node at the same time: then the law knows the request by the other command, and
// that one is asked again.
func eitherWay(enabled bool, write func(enabled bool) (*reply, error)) (*reply, error) {
	out, err := write(enabled)
	var e *fsm.Error
	if errors.As(err, &e) && e.Kind == fsm.KindRequestReused {
		return write(!enabled)
	}
	return out, err
}

func (c collection) kill(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Reason string `json:"reason"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	return c.write(ctx, r, r.key, fsm.Kill{Scope: r.scope, Key: r.key, Reason: in.Reason})
}

func (c collection) unkill(ctx context.Context, r *call) (*reply, error) {
	return c.write(ctx, r, r.key, fsm.Unkill{Scope: r.scope, Key: r.key})
}

// evaluate answers for the context of the body what OFREP would, without its counters.
func (c collection) evaluate(_ context.Context, r *call) (*reply, error) {
	in := struct {
		Context jsontext.Value `json:"context"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	if in.Context == nil {
		in.Context = jsontext.Value("{}")
	}
	var subject evaluator.Context
	if err := evaluator.ParseContext(in.Context, &subject); err != nil {
		return nil, err
	}
	p, err := c.place(r.scope)
	if err != nil {
		return nil, err
	}
	snapshot := p.live.Snapshot()
	result := snapshot.Evaluate(r.key, &subject)
	if err := evaluationError(r.key, result); err != nil {
		return nil, err
	}
	members := []evaluator.Attribute{member("key", evaluator.String(r.key)), member("reason", evaluator.String(string(result.Reason)))}
	if result.HasValue {
		members = append(members, member("value", result.Value))
	}
	if result.Variant != "" {
		members = append(members, member("variant", evaluator.String(result.Variant)))
	}
	if result.RuleID != "" {
		members = append(members, member("rule", evaluator.String(result.RuleID)))
	}
	members = append(members, member("epoch", evaluator.String(snapshot.Epoch())), member("revision", number(result.Revision)))
	return &reply{body: object([]byte("{}"), members...)}, nil
}

// export gives every config of the environment, ready for imports.
func (c collection) export(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, record := range env.Flags() {
		if kindOf(record.Flag()) == evaluator.KindConfig {
			list = append(list, record.Record)
		}
	}
	return &reply{body: items(list, "", c.position(r.state)...), object: env.Revision()}, nil
}

// imports writes many configs in one step.
func (c collection) imports(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Items []jsontext.Value `json:"items"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	var content fsm.Content
	for _, item := range in.Items {
		command, _, err := c.definition(item, "")
		if err != nil {
			return nil, err
		}
		if put, ok := command.(fsm.PutFlag); ok {
			content.Flags = append(content.Flags, put.Flag)
		}
	}
	commands := fsm.Diff(r.scope, env, content, false)
	if receipt, ok := repeated(r.state, r.who, r.opts); ok && len(commands) == 0 {
		return imported(receipt, rowsAt(r.state, receipt.GetRevision())), nil
	}
	if len(commands) == 0 {
		return &reply{body: object([]byte(`{"changed":0}`), c.position(r.state)...), object: env.Revision()}, nil
	}
	receipt, err := c.Server.write(ctx, r.who, fsm.Batch{Scope: r.scope, Since: env.Revision(), Commands: commands}, r.opts)
	if err != nil {
		return nil, err
	}
	return imported(receipt, len(commands)), nil
}

func imported(receipt *hoistv1.Receipt, changed int) *reply {
	return &reply{receipt: receipt, object: receipt.GetObjectRevision(), body: object([]byte("{}"), member("changed", number(uint64(changed))),
		member("epoch", evaluator.String(receipt.GetEpoch())), member("revision", number(receipt.GetRevision())))}
}

// rowsAt counts the items that the entry at a revision changed, as far as the state remembers.
func rowsAt(state *fsm.State, revision uint64) (n int) {
	for _, row := range state.Audit(0, math.MaxInt) {
		if row.Index == revision {
			n++
		}
	}
	return n
}
