package transport

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// tokensBeat is how often a follower of tokens hears that the stream is alive.
const tokensBeat = 5 * time.Second

// followTokens sends the tokens that count in some environments, at once and whenever one changes. An edge lets its clients
// in by them, so that it asks nobody while it serves and goes on when its upstream is gone.
func (s *Server) followTokens(ctx context.Context, r *hoistv1.FollowTokensRequest, out *connect.ServerStream[hoistv1.FollowTokensResponse], changed func() <-chan struct{}) error {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return err
	}
	if len(r.GetEnvironments()) == 0 {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "environments", Detail: "name the environments to follow the tokens of"}
	}
	for _, environment := range r.GetEnvironments() {
		if err := who.may(right{verb: fsm.VerbFollowTokens}, environment); err != nil {
			return err
		}
	}
	leave, err := s.streams.enter("tokens")
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := s.streams.bound(ctx)
	defer cancel()
	beat := time.NewTicker(tokensBeat)
	defer beat.Stop()
	for last, alive := (*book)(nil), false; ; {
		news := changed()
		if now := s.gate.current(); now != last || alive {
			if err := out.Send(s.tokensFor(who, r.GetEnvironments(), now, now != last)); err != nil {
				return slow(ctx, err)
			}
			last = now
		}
		select {
		case <-news:
			alive = false
		case <-beat.C:
			alive = true
		case <-ctx.Done():
			if s.streams.over(ctx) {
				return nil
			}
			return ctx.Err()
		}
	}
}

// tokensFor is one message: everything, or a sign of life.
func (s *Server) tokensFor(who caller, environments []string, b *book, complete bool) *hoistv1.FollowTokensResponse {
	m := &hoistv1.FollowTokensResponse{Complete: complete, Open: s.cfg.NoAuth}
	if !complete {
		return m
	}
	for _, p := range b.passes {
		if t := p.token; t.RevokedAt == 0 && (t.Everywhere || t.Tenant == who.tenant) && coversAny(t, environments) {
			m.Tokens = append(m.Tokens, tokenRecord(t))
		}
	}
	return m
}

func coversAny(t *fsm.Token, environments []string) bool {
	for _, environment := range environments {
		if t.Covers(environment) {
			return true
		}
	}
	return false
}

// tokenRecord is what an edge needs of a token. Who made it and why is nobody's business there.
func tokenRecord(t *fsm.Token) []byte {
	short := *t
	short.CreatedBy, short.Name, short.Groups = fsm.Actor{}, "", nil
	record, err := json.Marshal(&short, json.Deterministic(true))
	if err != nil {
		panic("transport: a token does not encode: " + err.Error()) // it came out of such a record
	}
	return record
}

// edgeTokens is the TokenService of an edge: edges behind it follow its tokens, the rest is for servers.
type edgeTokens struct {
	hoistv1connect.UnimplementedTokenServiceHandler
	server  *Server
	keyring *Keyring
}

// Follow implements hoistv1connect.TokenServiceHandler.
func (e edgeTokens) Follow(ctx context.Context, r *hoistv1.FollowTokensRequest, out *connect.ServerStream[hoistv1.FollowTokensResponse]) error {
	return e.server.followTokens(ctx, r, out, e.keyring.Changed)
}
