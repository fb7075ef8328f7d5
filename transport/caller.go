package transport

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
)

// Names of the request headers that say who acts and where, as net/http spells them.
const (
	headerEnvironment = "X-Hoist-Environment"
	headerTenant      = "X-Tenant-Id"
	headerUserID      = "X-User-Id"
	headerUserEmail   = "X-User-Email"
	headerIdempotency = "Idempotency-Key"
	headerCorrelation = "X-Correlation-Id"
)

const (
	defaultEnvironment = "dev"
	maxIdentity        = 256 // bytes of a user id or email
	maxCorrelation     = 128
)

// caller is who acts and in which tenant.
type caller struct {
	actor  fsm.Actor
	tenant string
	env    string // of the header; a request's own field wins
	pass   *pass  // nil: the door is open, and the headers are believed
	// correlation is what the caller calls its whole undertaking
	correlation string
}

// callerOf tells from request headers who calls. Errors are *fsm.Error.
func (s *Server) callerOf(h http.Header) (caller, error) {
	if s.cfg.NoAuth {
		return s.stranger(h)
	}
	p, err := s.gate.admit(h)
	if err != nil {
		return caller{}, err
	}
	c := caller{pass: p, tenant: first(h, headerTenant, p.token.Tenant), env: first(h, headerEnvironment, s.homeOf(p)),
		correlation: first(h, headerCorrelation, "")}
	id, email := first(h, headerUserID, ""), first(h, headerUserEmail, "")
	if err := shown(id, email, c); err != nil {
		return caller{}, err
	}
	c.actor = p.token.Actor(id, email)
	if err := p.token.Speaks(cmp.Or(id, p.token.Owner), cmp.Or(email, p.token.Email)); err != nil {
		return caller{}, &fsm.Error{Kind: fsm.KindDenied, Op: "read", Target: headerUserID, Detail: err.Error()}
	}
	return c, nil
}

// homeOf is the environment of requests that name none.
func (s *Server) homeOf(p *pass) string {
	switch {
	case p.scope.Environment != "":
		return p.scope.Environment
	case s.home != nil:
		return s.home.environment[0]
	}
	return defaultEnvironment
}

// stranger is a caller without a token: whoever the headers say.
func (s *Server) stranger(h http.Header) (caller, error) {
	c := caller{
		actor:  fsm.Actor{Kind: fsm.ActorAnonymous},
		tenant: first(h, headerTenant, fsm.DefaultTenant),
		env:    first(h, headerEnvironment, defaultEnvironment),

		correlation: first(h, headerCorrelation, ""),
	}
	id, email := first(h, headerUserID, ""), first(h, headerUserEmail, "")
	if err := shown(id, email, c); err != nil {
		return caller{}, err
	}
	if s.cfg.NoAuth && (id != "" || email != "") {
		c.actor = fsm.Actor{Kind: fsm.ActorUser, ID: id, Email: email}
	}
	return c, nil
}

// shown refuses headers that could not be shown to anybody.
func shown(id, email string, c caller) error {
	if !presentable(c.correlation, maxCorrelation) {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read header", Target: headerCorrelation,
			Detail: "must be printable UTF-8 of at most " + strconv.Itoa(maxCorrelation) + " bytes"}
	}
	for _, h := range [...]struct{ name, text string }{
		{headerUserID, id}, {headerUserEmail, email}, {headerTenant, c.tenant}, {headerEnvironment, c.env},
	} {
		if !presentable(h.text, maxIdentity) {
			return &fsm.Error{Kind: fsm.KindMalformed, Op: "read header", Target: h.name,
				Detail: "must be printable UTF-8 of at most " + strconv.Itoa(maxIdentity) + " bytes"}
		}
	}
	return nil
}

// callerFrom tells who makes a Connect call. Whether they may was asked before the call got here.
func (s *Server) callerFrom(ctx context.Context) (caller, error) {
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return caller{}, &fsm.Error{Kind: fsm.KindInternal, Detail: "the call has no headers"}
	}
	return s.callerOf(info.RequestHeader())
}

// client tells whether the caller sees results of client-visible flags only.
func (c caller) client() bool { return c.pass != nil && c.pass.client }

// scope is where the caller acts when the request names an environment, or leaves it to the header.
func (c caller) scope(environment string) fsm.Scope {
	if environment == "" {
		environment = c.env
	}
	return fsm.Scope{Tenant: c.tenant, Environment: environment}
}

func first(h http.Header, name, otherwise string) string {
	if v := h[name]; len(v) > 0 && v[0] != "" {
		return v[0]
	}
	return otherwise
}

// presentable tells whether text may be stored and shown: valid UTF-8 without control characters, not too long.
func presentable(text string, limit int) bool {
	if len(text) > limit || !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}
