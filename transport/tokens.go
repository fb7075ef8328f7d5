package transport

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// tokenService answers hoist.v1.TokenService. Secrets are made here: the log and the state see their hashes only.
type tokenService struct{ *Server }

// newSecret is a token before anybody has granted it anything: its text, its id and what is stored of it. The same seed
// gives the same token, so that a retry asks for what the first attempt asked for.
func newSecret(kind fsm.TokenKind, seed []byte) (text, id, digest string, err error) {
	switch len(seed) {
	case 0:
		seed = make([]byte, seedLength)
		rand.Read(seed) // never fails: without randomness it ends the process
	case seedLength:
	default:
		return "", "", "", &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "seed", Detail: "must be 32 random bytes, or nothing"}
	}
	id = spell(seed, "id", fsm.TokenIDLength)
	text = fsm.FormatCredential(kind, id, spell(seed, "secret", fsm.TokenSecretLength))
	sum := fsm.CredentialDigest(text)
	return text, id, hex.EncodeToString(sum[:]), nil
}

const seedLength = 32

// spell makes letters and digits of a seed, each as likely as the others, by HMAC-SHA256 in counter mode.
func spell(seed []byte, purpose string, length int) string {
	const fair = 256 - 256%len(fsm.Alphabet) // bytes from here on would favour the first letters
	out := make([]byte, 0, length)
	for block := byte(0); len(out) < length; block++ {
		mac := hmac.New(sha256.New, seed)
		mac.Write(append([]byte("hoist token "+purpose), block))
		for _, c := range mac.Sum(nil) {
			if int(c) < fair && len(out) < length {
				out = append(out, fsm.Alphabet[int(c)%len(fsm.Alphabet)])
			}
		}
	}
	return string(out)
}

// Bootstrap is answered for callers on this machine only: whoever reaches the port of a fresh cluster first would
// otherwise own it.
func (s tokenService) Bootstrap(ctx context.Context, r *hoistv1.BootstrapTokenRequest) (*hoistv1.TokenSecret, error) {
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok || !fromHere(ctx, info.Peer().Addr) {
		return nil, &fsm.Error{Kind: fsm.KindDenied, Op: fsm.BootstrapToken{}.Verb(), Target: "the cluster",
			Detail: "the first token is made on the machine of a server; run `hoist token bootstrap` there"}
	}
	who, err := s.stranger(info.RequestHeader())
	if err != nil {
		return nil, err
	}
	text, id, digest, err := newSecret(fsm.TokenAdmin, r.GetSeed())
	if err != nil {
		return nil, err
	}
	return s.make(ctx, who, text, fsm.BootstrapToken{ID: id, Digest: digest, Owner: firstOf(r.GetOwner(), "admin")}, r.GetWrite())
}

// fromHere tells whether the caller's address is this machine's: loopback, or the address that the server was reached at.
func fromHere(ctx context.Context, peer string) bool {
	remote, err := netip.ParseAddrPort(peer)
	if err != nil {
		return peer == "pipe" // inside the process
	}
	if remote.Addr().Unmap().IsLoopback() {
		return true
	}
	local, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	own, err := netip.ParseAddrPort(local.String())
	return err == nil && own.Addr().Unmap() == remote.Addr().Unmap()
}

func (s tokenService) Create(ctx context.Context, r *hoistv1.CreateTokenRequest) (*hoistv1.TokenSecret, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	text, id, digest, err := newSecret(fsm.TokenKind(r.GetKind()), r.GetSeed())
	if err != nil {
		return nil, err
	}
	return s.make(ctx, who, text, fsm.CreateToken{ID: id, Digest: digest, For: fsm.Duration(r.GetExpiresInMs()), Grant: fsm.Grant{
		Tenant: who.tenant, Kind: fsm.TokenKind(r.GetKind()), Name: r.GetName(), Environments: r.GetEnvironments(), Everywhere: r.GetEverywhere(),
		Role: fsm.Role(r.GetRole()), Groups: r.GetGroups(), Owner: firstOf(r.GetOwner(), who.actor.ID), Email: r.GetEmail(),
		ActAs: r.GetActAs(), Origins: r.GetOrigins(), Rate: r.GetRate(),
	}}, r.GetWrite())
}

// make proposes the token and answers with its secret, this once.
func (s tokenService) make(ctx context.Context, who caller, text string, c fsm.Command, opts *hoistv1.WriteOptions) (*hoistv1.TokenSecret, error) {
	receipt, err := s.write(ctx, who, c, opts)
	if err != nil {
		return nil, err
	}
	out := &hoistv1.TokenSecret{Receipt: receipt}
	_, id, err := fsm.ParseCredential(text)
	if err != nil {
		return nil, err
	}
	if t, ok := s.cfg.Store.State().Token(id); ok && !opts.GetDryRun() {
		out.Secret, out.Token = text, wire.EncodeToken(t)
	}
	return out, nil
}

func (s tokenService) Get(ctx context.Context, r *hoistv1.GetTokenRequest) (*hoistv1.GetTokenResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	t, ok := state.Token(r.GetId())
	if !ok || t.Tenant != who.tenant {
		return nil, &fsm.Error{Kind: fsm.KindNotFound, Op: "get", Target: "token " + r.GetId(), Detail: "there is no such token; `hoist token list --all` shows them"}
	}
	return &hoistv1.GetTokenResponse{Token: wire.EncodeToken(t), Position: s.position(state)}, nil
}

func (s tokenService) List(ctx context.Context, r *hoistv1.ListTokensRequest) (*hoistv1.ListTokensResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	out := &hoistv1.ListTokensResponse{Position: s.position(state)}
	for _, t := range state.Tokens(who.tenant) {
		if r.GetEnded() || !t.Ended(time.Now().UnixMilli()) {
			out.Tokens = append(out.Tokens, wire.EncodeToken(t))
		}
	}
	return out, nil
}

func (s tokenService) Revoke(ctx context.Context, r *hoistv1.RevokeTokenRequest) (*hoistv1.RevokeTokenResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, who, fsm.RevokeToken{Tenant: who.tenant, ID: r.GetId(), Reason: r.GetReason()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	out := &hoistv1.RevokeTokenResponse{Receipt: receipt}
	if t, ok := s.cfg.Store.State().Token(r.GetId()); ok {
		out.Token = wire.EncodeToken(t)
	}
	return out, nil
}

// Follow implements hoistv1connect.TokenServiceHandler.
func (s tokenService) Follow(ctx context.Context, r *hoistv1.FollowTokensRequest, out *connect.ServerStream[hoistv1.FollowTokensResponse]) error {
	return s.followTokens(ctx, r, out, s.cfg.Store.Changed)
}
