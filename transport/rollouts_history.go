package transport

import (
	"context"
	"time"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// What one answer holds at most, and how long it waits for files that are a moment behind the state.
const (
	historyRows  = 100
	historyBytes = 1 << 20
	historyWait  = 2 * time.Second
)

func (s rolloutService) History(ctx context.Context, r *hoistv1.RolloutHistoryRequest) (*hoistv1.RolloutHistoryResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	return s.history(ctx, who, r)
}

func (s rolloutService) history(ctx context.Context, who caller, r *hoistv1.RolloutHistoryRequest) (*hoistv1.RolloutHistoryResponse, error) {
	state, scope := s.cfg.Store.State(), who.scope(r.GetEnvironment())
	env, err := environment(state, scope)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(r.GetLimit())
	if err != nil {
		return nil, err
	}
	if s.cfg.Rollouts == nil {
		return nil, &fsm.Error{Kind: KindUnimplemented, Op: "rollout.history", Target: r.GetId(),
			Detail: "this node keeps no log of rollouts, because it has no data directory; the newest events are in the rollout itself"}
	}
	s.settle(ctx, state)
	out := &hoistv1.RolloutHistoryResponse{Position: s.position(state)}
	want := fsm.AuditFilter{Tenant: scope.Tenant, Environment: env.Key(), Target: string(fsm.ObjectRollout) + "/" + r.GetId()}
	for before, size := r.GetBefore(), 0; ; {
		chunk := min(historyRows, limit-len(out.Rows))
		rows, err := s.cfg.Rollouts.Find(want, before, chunk)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if size += len(row.Record); size > historyBytes && len(out.Rows) > 0 {
				out.More = true
				return out, nil
			}
			before = row.Seq
			out.Rows = append(out.Rows, &hoistv1.RolloutHistoryRow{Row: wire.EncodeAudit(row.Audit), Record: row.Record})
		}
		if out.More = len(rows) == chunk; !out.More || len(out.Rows) == limit {
			return out, s.known(env, r, out)
		}
	}
}

// known tells a rollout that never was from one of which there is nothing more.
func (s rolloutService) known(env *fsm.Environment, r *hoistv1.RolloutHistoryRequest, out *hoistv1.RolloutHistoryResponse) error {
	if _, ok := env.Rollout(r.GetId()); ok || len(out.Rows) > 0 || r.GetBefore() > 0 {
		return nil
	}
	return noRollout(env, r.GetId())
}

// settle waits until the files hold what the state has already seen, or as long as that is worth.
func (s rolloutService) settle(ctx context.Context, state *fsm.State) {
	seq, _ := state.RolloutLog().AuditHead()
	ctx, cancel := context.WithTimeout(ctx, historyWait)
	defer cancel()
	for {
		if kept, _ := s.cfg.Rollouts.Head(); kept >= seq {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}
