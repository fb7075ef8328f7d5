package transport

import (
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
)

const (
	defaultEnvironment = "dev"
	maxIdentity        = 256 // bytes of a user id or email
)

// caller is who acts and in which tenant. It is the seam for credentials: until tokens exist the headers are believed.
type caller struct {
	actor  fsm.Actor
	tenant string
	env    string // of the header; a request's own field wins
}

// callerOf reads the caller from request headers.
func callerOf(h http.Header) (caller, error) {
	c := caller{
		actor:  fsm.Actor{Kind: "anonymous"},
		tenant: first(h, headerTenant, fsm.DefaultTenant),
		env:    first(h, headerEnvironment, defaultEnvironment),
	}
	id, email := first(h, headerUserID, ""), first(h, headerUserEmail, "")
	for name, text := range map[string]string{headerUserID: id, headerUserEmail: email, headerTenant: c.tenant, headerEnvironment: c.env} {
		if !presentable(text, maxIdentity) {
			return caller{}, &fsm.Error{Kind: fsm.KindMalformed, Op: "read header", Target: name,
				Detail: "must be printable UTF-8 of at most " + strconv.Itoa(maxIdentity) + " bytes"}
		}
	}
	if id != "" || email != "" {
		c.actor = fsm.Actor{Kind: "user", ID: id, Email: email}
	}
	return c, nil
}

// callerFrom reads the caller of a Connect call.
func callerFrom(ctx context.Context) (caller, error) {
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return caller{}, &fsm.Error{Kind: fsm.KindInternal, Detail: "the call has no headers"}
	}
	return callerOf(info.RequestHeader())
}

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
