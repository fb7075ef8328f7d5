package transport

import (
	"context"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// flagService answers hoist.v1.FlagService.
type flagService struct{ *Server }

func (s flagService) List(ctx context.Context, r *hoistv1.ListFlagsRequest) (*hoistv1.ListFlagsResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	records := env.Flags()
	out, now := &hoistv1.ListFlagsResponse{Position: s.position(state)}, leaderTime(state)
	for _, record := range records[after(len(records), r.GetPageToken(), func(i int) string { return records[i].Key }):] {
		if len(out.Flags) == size {
			out.NextPageToken = pageToken(out.Flags[size-1].GetFlag().GetKey())
			break
		}
		if flag, exposures := record.Flag(), env.Exposures(record.Key); wanted(r, flag, exposures) {
			out.Flags = append(out.Flags, wire.EncodeFlagState(record, flag, exposures, now))
		}
	}
	return out, nil
}

// wanted tells whether a flag passes the filter of a list request.
func wanted(r *hoistv1.ListFlagsRequest, f *evaluator.Flag, exposures []fsm.Exposure) bool {
	kind := f.Kind
	if kind == "" {
		kind = evaluator.KindFlag
	}
	switch {
	case f.Archived && !r.GetIncludeArchived(),
		r.GetOwner() != "" && r.GetOwner() != f.Owner,
		r.GetKind() != "" && r.GetKind() != string(kind),
		r.Enabled != nil && r.GetEnabled() != f.Enabled,
		r.Killed != nil && r.GetKilled() != wire.Killed(exposures),
		!fsm.MatchKey(r.GetKeyPattern(), f.Key),
		!mentions(r.GetQuery(), f.Key, f.Name, f.Description):
		return false
	}
	for _, tag := range r.GetTags() {
		if !contains(f.Tags, tag) {
			return false
		}
	}
	return true
}

// mentions tells whether any of the texts contains the query, in any case.
func mentions(query string, texts ...string) bool {
	query = strings.ToLower(query)
	for _, text := range texts {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}

func contains(list []string, text string) bool {
	for _, have := range list {
		if have == text {
			return true
		}
	}
	return false
}

func (s flagService) Get(ctx context.Context, r *hoistv1.GetFlagRequest) (*hoistv1.GetFlagResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	record, ok := env.Flag(r.GetKey())
	if !ok {
		return nil, missing("get flag", r.GetKey(), env)
	}
	return &hoistv1.GetFlagResponse{
		State: wire.EncodeFlagState(record, record.Flag(), env.Exposures(record.Key), leaderTime(state)), Position: s.position(state),
	}, nil
}

// leaderTime is the cluster's time, which decides when a temporary flag has expired.
func leaderTime(state *fsm.State) time.Time { return time.UnixMilli(state.Now()) }

func missing(op, key string, env *fsm.Environment) *fsm.Error {
	return &fsm.Error{Kind: fsm.KindNotFound, Op: op, Target: key, Detail: "environment " + env.Key() + " has no such key"}
}

func (s flagService) Put(ctx context.Context, r *hoistv1.PutFlagRequest) (*hoistv1.FlagReceipt, error) {
	flag, err := wire.DecodeFlag(r.GetFlag())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, r.GetEnvironment(), flag.Key, r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.PutFlag{Scope: scope, Flag: flag}
	})
}

func (s flagService) SetEnabled(ctx context.Context, r *hoistv1.SetEnabledRequest) (*hoistv1.FlagReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetKey(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.SetEnabled{Scope: scope, Key: r.GetKey(), Enabled: r.GetEnabled()}
	})
}

func (s flagService) SetArchived(ctx context.Context, r *hoistv1.SetArchivedRequest) (*hoistv1.FlagReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetKey(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.SetArchived{Scope: scope, Key: r.GetKey(), Archived: r.GetArchived()}
	})
}

func (s flagService) Kill(ctx context.Context, r *hoistv1.KillRequest) (*hoistv1.FlagReceipt, error) {
	if !presentable(r.GetReason(), maxComment) {
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "reason", Detail: "must be printable text of at most 512 bytes"}
	}
	return s.change(ctx, r.GetEnvironment(), r.GetKey(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.Kill{Scope: scope, Key: r.GetKey(), Reason: r.GetReason()}
	})
}

func (s flagService) Unkill(ctx context.Context, r *hoistv1.UnkillRequest) (*hoistv1.FlagReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetKey(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.Unkill{Scope: scope, Key: r.GetKey()}
	})
}

func (s flagService) Delete(ctx context.Context, r *hoistv1.DeleteFlagRequest) (*hoistv1.FlagReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetKey(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return fsm.DeleteFlag{Scope: scope, Key: r.GetKey()}
	})
}

func (s flagService) Restore(ctx context.Context, r *hoistv1.RestoreRequest) (*hoistv1.FlagReceipt, error) {
	return s.change(ctx, r.GetEnvironment(), r.GetKey(), r.GetWrite(), func(scope fsm.Scope) fsm.Command {
		return s.restoringOr(scope, fsm.ObjectFlag, r)
	})
}

func (s flagService) History(ctx context.Context, r *hoistv1.HistoryRequest) (*hoistv1.HistoryResponse, error) {
	return s.history(ctx, fsm.ObjectFlag, r)
}

// change writes one flag and answers with what it is now. A replay answers with the flag at the revision of the first
// call, as far as its history reaches.
func (s flagService) change(ctx context.Context, environment, key string, opts *hoistv1.WriteOptions, command func(fsm.Scope) fsm.Command) (*hoistv1.FlagReceipt, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	scope := who.scope(environment)
	receipt, err := s.write(ctx, who, command(scope), opts)
	if err != nil {
		return nil, err
	}
	out := &hoistv1.FlagReceipt{Receipt: receipt}
	state := s.cfg.Store.State()
	env, ok := state.Environment(scope.Tenant, scope.Environment)
	if !ok || receipt.GetDryRun() {
		return out, nil
	}
	if record, ok := env.Flag(key); ok {
		if receipt.GetReplayed() {
			record = atRevision(env, fsm.ObjectFlag, record, receipt.GetRevision())
		}
		out.State = wire.EncodeFlagState(record, state.Decode(record), env.Exposures(key), leaderTime(state))
	}
	return out, nil
}

// atRevision is a flag or segment as a request left it that is answered again.
func atRevision(env *fsm.Environment, object fsm.ObjectKind, current *fsm.FlagRecord, revision uint64) *fsm.FlagRecord {
	for _, version := range env.History(object, current.Key) {
		if version.Revision == revision && version.Record != nil {
			then := *current
			then.Record, then.Revision, then.UpdatedAt = version.Record, version.Revision, version.At
			return &then
		}
	}
	return current
}
