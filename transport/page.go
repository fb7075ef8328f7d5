package transport

import (
	"context"
	"encoding/base64"
	"sort"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// open finds the environment of a read, in a state as current as the caller asked for.
func (s *Server) open(ctx context.Context, name string, opts *hoistv1.ReadOptions) (*fsm.State, *fsm.Environment, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := s.await(ctx, opts); err != nil {
		return nil, nil, err
	}
	state := s.cfg.Store.State()
	env, err := environment(state, who.scope(name))
	return state, env, err
}

// history answers both History methods: flags and segments keep the same versions.
func (s *Server) history(ctx context.Context, object fsm.ObjectKind, r *hoistv1.HistoryRequest) (*hoistv1.HistoryResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	limit := defaultVersions
	if r.GetLimit() != 0 {
		if limit, err = pageSize(r.GetLimit()); err != nil {
			return nil, err
		}
	}
	versions, err := s.versions(env, object, r.GetKey(), r.GetBefore(), limit)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 && r.GetBefore() == 0 {
		return nil, missing("read history", r.GetKey(), env)
	}
	out := &hoistv1.HistoryResponse{Position: s.position(state)}
	for _, v := range versions {
		out.Versions = append(out.Versions, wire.EncodeVersion(v))
	}
	return out, nil
}

func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "pageSize", Detail: "must be between 1 and 1000"}
	}
	return int(asked), nil
}

// pageToken names the last key of a page. It holds across changes: the next page starts at the first key after it.
func pageToken(lastKey string) string { return base64.RawURLEncoding.EncodeToString([]byte(lastKey)) }

// after returns where the page that follows token starts, in n items sorted by key. A token that cannot be read is the
// start of everything rather than an error: it only ever comes from us.
func after(n int, token string, key func(int) string) int {
	last, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(last) == 0 {
		return 0
	}
	return sort.Search(n, func(i int) bool { return key(i) > string(last) })
}
