package transport

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// Plans reads the plans of rollouts. The doors do not know what makes a plan a good one.
type Plans interface {
	// Parse reads YAML or JSON strictly. Errors are fsm.Problems, each with the path of its field.
	Parse(document []byte) (plan *fsm.Plan, warnings []string, err error)
	// ParseBudget reads an error budget likewise.
	ParseBudget(document []byte) (*fsm.Budget, error)
}

// rolloutService answers hoist.v1.RolloutService.
type rolloutService struct{ *Server }

func (s rolloutService) Start(ctx context.Context, r *hoistv1.StartRolloutRequest) (*hoistv1.StartRolloutResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return s.start(ctx, who, r)
}

// start is Start for a caller of any door.
func (s rolloutService) start(ctx context.Context, who caller, r *hoistv1.StartRolloutRequest) (*hoistv1.StartRolloutResponse, error) {
	if s.cfg.Plans == nil {
		return nil, &fsm.Error{Kind: KindUnimplemented, Op: "rollout.start", Detail: "this node starts no rollouts"}
	}
	plan, warnings, err := s.cfg.Plans.Parse([]byte(r.GetPlan()))
	if err != nil {
		return nil, err
	}
	scope := who.scope(firstOf(r.GetEnvironment(), plan.Environment))
	receipt, err := s.write(ctx, who, fsm.StartRollout{Scope: scope, Plan: plan, Supersede: r.GetSupersede()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	out := &hoistv1.StartRolloutResponse{Warnings: warnings, Receipt: receipt}
	if receipt.GetChanged() && !receipt.GetDryRun() {
		out.Rollout, err = s.rollout(scope, fsm.RolloutID(plan.Name, receipt.GetRevision()))
	}
	return out, err
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// rollout finds one rollout of the newest state.
func (s rolloutService) rollout(scope fsm.Scope, id string) (*hoistv1.Rollout, error) {
	state := s.cfg.Store.State()
	env, err := environment(state, scope)
	if err != nil {
		return nil, err
	}
	r, ok := env.Rollout(id)
	if !ok {
		return nil, noRollout(env, id)
	}
	m, err := wire.EncodeRollout(env, r, true)
	if err != nil {
		return nil, err
	}
	m.Receivers = wire.EncodeReceivers(state, r.Plan())
	return m, nil
}

func noRollout(env *fsm.Environment, id string) error {
	return &fsm.Error{Kind: fsm.KindNotFound, Op: "get rollout", Target: id,
		Detail: "environment " + env.Key() + " has no such rollout; `hoist rollout list` shows those it has"}
}

func (s rolloutService) Get(ctx context.Context, r *hoistv1.GetRolloutRequest) (*hoistv1.GetRolloutResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	scope := who.scope(r.GetEnvironment())
	m, err := s.rollout(scope, r.GetId())
	if env, ok := s.cfg.Store.State().Environment(scope.Tenant, scope.Environment); ok && err == nil && r.GetRecords() {
		if one, ok := env.Rollout(r.GetId()); ok {
			m.Records, m.RecordHead = wire.EncodeRecords(one)
		}
	}
	return &hoistv1.GetRolloutResponse{Rollout: m, Position: s.position(s.cfg.Store.State())}, err
}

func (s rolloutService) List(ctx context.Context, r *hoistv1.ListRolloutsRequest) (*hoistv1.ListRolloutsResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	return s.list(who, r)
}

func (s rolloutService) list(who caller, r *hoistv1.ListRolloutsRequest) (*hoistv1.ListRolloutsResponse, error) {
	state := s.cfg.Store.State()
	env, err := environment(state, who.scope(r.GetEnvironment()))
	if err != nil {
		return nil, err
	}
	out := &hoistv1.ListRolloutsResponse{Position: s.position(state)}
	for _, one := range env.Rollouts() {
		if r.GetFlag() != "" && one.Flag != r.GetFlag() || r.GetLive() && !one.Phase.Live() {
			continue
		}
		m, err := wire.EncodeRollout(env, one, false)
		if err != nil {
			return nil, err
		}
		out.Rollouts = append(out.Rollouts, m)
	}
	return out, nil
}

func (s rolloutService) Move(ctx context.Context, r *hoistv1.MoveRolloutRequest) (*hoistv1.MoveRolloutResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return s.move(ctx, who, r)
}

func (s rolloutService) move(ctx context.Context, who caller, r *hoistv1.MoveRolloutRequest) (*hoistv1.MoveRolloutResponse, error) {
	scope := who.scope(r.GetEnvironment())
	receipt, err := s.write(ctx, who, fsm.MoveRollout{Scope: scope, ID: r.GetId(), Move: fsm.Move(r.GetMove()), Reason: r.GetReason()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	m, err := s.rollout(scope, r.GetId())
	return &hoistv1.MoveRolloutResponse{Rollout: m, Receipt: receipt}, err
}

// watchBeat is how often a silent watch says that it is alive.
const watchBeat = 15 * time.Second

// Watch is level-triggered: it sends the rollout whenever its revision, or the freeze around it, has moved.
func (s rolloutService) Watch(ctx context.Context, r *hoistv1.WatchRolloutRequest, out *connect.ServerStream[hoistv1.WatchRolloutResponse]) error {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return err
	}
	leave, err := s.streams.enter("rollout")
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := s.streams.bound(ctx)
	defer cancel()
	scope, sent := who.scope(r.GetEnvironment()), uint64(0)
	frozen, beat := []*fsm.Frozen(nil), time.NewTicker(watchBeat)
	defer beat.Stop()
	for idle := false; ; {
		news := s.cfg.Store.Changed()
		state := s.cfg.Store.State()
		m, err := s.rollout(scope, r.GetId())
		if err != nil {
			return err
		}
		env, _ := state.Environment(scope.Tenant, scope.Environment)
		if m.GetRevision() != sent || !slices.Equal(env.Freezes(), frozen) || idle {
			if err := out.Send(&hoistv1.WatchRolloutResponse{Rollout: m, Position: s.position(state)}); err != nil {
				return slow(ctx, err)
			}
			sent, frozen = m.GetRevision(), env.Freezes()
		}
		if m.GetEndedAt() != nil {
			return nil
		}
		select {
		case <-news:
			idle = false
		case <-beat.C:
			idle = true
		case <-ctx.Done():
			if s.streams.over(ctx) {
				return nil
			}
			return ctx.Err()
		}
	}
}

func (s rolloutService) KillAll(ctx context.Context, r *hoistv1.KillRolloutsRequest) (*hoistv1.KillRolloutsResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	scope := who.scope(r.GetEnvironment())
	env, err := environment(s.cfg.Store.State(), scope)
	if err != nil {
		return nil, err
	}
	out := &hoistv1.KillRolloutsResponse{}
	for _, one := range env.LiveRollouts() {
		out.Ended = append(out.Ended, one.ID)
	}
	out.Receipt, err = s.write(ctx, who, fsm.KillRollouts{Scope: scope, Reason: r.GetReason()}, r.GetWrite())
	return out, err
}

func (s rolloutService) Freeze(ctx context.Context, r *hoistv1.FreezeRequest) (*hoistv1.FreezeResponse, error) {
	c := fsm.Freeze{Reason: r.GetReason(), Of: fsm.FreezeOf(r.GetOf()), Flag: r.GetFlag(), Kind: fsm.FreezeKind(r.GetKind())}
	if text := strings.TrimSpace(r.GetFor()); text != "" {
		if err := c.For.UnmarshalText([]byte(text)); err != nil {
			return nil, fsm.Problems{{Field: "/for", Code: "decode.duration", Message: err.Error()}}
		}
	}
	return s.freeze(ctx, r.GetEnvironment(), r.GetWrite(), func(scope fsm.Scope) fsm.Command { c.Scope = scope; return c })
}

func (s rolloutService) Unfreeze(ctx context.Context, r *hoistv1.UnfreezeRequest) (*hoistv1.FreezeResponse, error) {
	return s.freeze(ctx, r.GetEnvironment(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.Unfreeze{Scope: scope, Of: fsm.FreezeOf(r.GetOf()), Flag: r.GetFlag()}
	})
}

func (s rolloutService) freeze(ctx context.Context, name string, opts *hoistv1.WriteOptions, command func(fsm.Scope) fsm.Command) (*hoistv1.FreezeResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	scope := who.scope(name)
	receipt, err := s.write(ctx, who, command(scope), opts)
	if err != nil {
		return nil, err
	}
	env, err := environment(s.cfg.Store.State(), scope)
	if err != nil {
		return nil, err
	}
	return &hoistv1.FreezeResponse{Freeze: wire.EncodeFreeze(standing(env, command(scope))), Receipt: receipt}, nil
}

// standing is the freeze that a command left where it acts; nil for none.
func standing(env *fsm.Environment, c fsm.Command) *fsm.Frozen {
	of, flag := fsm.OfEnvironment, ""
	switch c := c.(type) {
	case fsm.Freeze:
		of, flag = c.Of, c.Flag
	case fsm.Unfreeze:
		of, flag = c.Of, c.Flag
	}
	for _, f := range env.Freezes() {
		if f.Of == of && f.Flag == flag && f.Kind != fsm.FreezeBudget {
			return f
		}
	}
	return nil
}
