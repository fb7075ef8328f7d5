package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// TokenKind is what a token is for; it is the second part of its text.
type TokenKind string

// The kinds of tokens.
const (
	TokenAdmin      TokenKind = "adm" // people and their programs: what its role may
	TokenServer     TokenKind = "srv" // a backend: evaluates every flag of one environment and follows it
	TokenClient     TokenKind = "cli" // browsers and apps: results of the client-visible flags of one environment
	TokenEdge       TokenKind = "edg" // an edge: follows environments and those who may ask there
	TokenBreakGlass TokenKind = "brk" // emergencies: reads, and switches off with a reason
)

// TokenKinds lists the kinds.
func TokenKinds() []TokenKind {
	return []TokenKind{TokenAdmin, TokenServer, TokenClient, TokenEdge, TokenBreakGlass}
}

// Grant is what a token is given.
type Grant struct {
	Tenant       string    `json:"tenant"`
	Kind         TokenKind `json:"kind"`
	Name         string    `json:"name,omitempty"`         // for those who read lists
	Environments []string  `json:"environments,omitempty"` // none: every one of the tenant, later ones too
	Everywhere   bool      `json:"everywhere,omitzero"`    // every tenant, and the cluster itself
	Role         Role      `json:"role,omitempty"`         // of an adm token
	Groups       []string  `json:"groups,omitempty"`       // in which its user counts as an approver
	Owner        string    `json:"owner"`                  // the user it belongs to and acts as
	Email        string    `json:"email,omitempty"`        // of the owner
	ActAs        bool      `json:"actAs,omitzero"`         // may name other users (gateways)
	Origins      []string  `json:"origins,omitempty"`      // of web pages that a cli token may be used from
	Rate         uint32    `json:"rate,omitzero"`          // evaluations per second and node of a srv or cli token; 0: no limit
}

// Token is a grant that somebody holds the secret of. It is immutable; a change makes a new one.
type Token struct {
	ID     string `json:"id"`
	Digest string `json:"digest"` // SHA-256 of its text, hex; the text itself is nowhere
	Grant
	Created   uint64 `json:"created"`  // revision
	Revision  uint64 `json:"revision"` // of the last change
	CreatedAt int64  `json:"createdAt"`
	CreatedBy Actor  `json:"createdBy"`
	Expires   int64  `json:"expires,omitzero"` // leader time, unix ms; 0: never
	RevokedAt int64  `json:"revokedAt,omitzero"`
	RevokedBy Actor  `json:"revokedBy,omitzero"`
	Reason    string `json:"reason,omitempty"` // of the revocation
}

// Ended tells whether the token does not count any more at a time, unix ms.
func (t *Token) Ended(now int64) bool { return t.RevokedAt > 0 || t.Expires > 0 && now >= t.Expires }

// Covers tells whether the token is for an environment of its tenant.
func (t *Token) Covers(environment string) bool {
	return len(t.Environments) == 0 || slices.Contains(t.Environments, environment)
}

// role is what the token may as one of a person.
func (t *Token) role() Role {
	if t.Kind == TokenBreakGlass {
		return RoleViewer
	}
	return t.Role
}

// Actor is who acts with the token: its owner, or the user that a token with ActAs names.
func (t *Token) Actor(user, email string) Actor {
	a := Actor{Kind: ActorUser, ID: t.Owner, Email: t.Email, Token: t.ID, Owner: t.Owner}
	if t.Kind == TokenBreakGlass {
		a.Kind = ActorBreakGlass
	}
	if t.ActAs && (user != "" || email != "") {
		a.ID, a.Email = cmp.Or(user, t.Owner), email
	}
	return a
}

// The commands of tokens. Their secrets are made at the door; the law knows hashes.
type (
	// BootstrapToken makes the first token of a cluster: role admin, everywhere. There is one first token, ever.
	BootstrapToken struct {
		ID     string `json:"id"`
		Digest string `json:"digest"`
		Owner  string `json:"owner"`
	}
	// CreateToken makes a token.
	CreateToken struct {
		ID     string `json:"id"`
		Digest string `json:"digest"`
		Grant
		For Duration `json:"for,omitzero"` // how long it counts; 0: until it is revoked
	}
	// RevokeToken ends a token for ever. Revoking twice is the same as once.
	RevokeToken struct {
		Tenant string `json:"tenant"`
		ID     string `json:"id"`
		Reason string `json:"reason,omitempty"`
	}
)

// ObjectToken is the kind of a token.
const ObjectToken ObjectKind = "token"

const (
	verbBootstrapToken = "token.bootstrap"
	verbCreateToken    = "token.create"
	verbRevokeToken    = "token.revoke"
)

// Verb names the change for audit rows and rights.
func (BootstrapToken) Verb() string { return verbBootstrapToken }

// Verb names the change for audit rows and rights.
func (CreateToken) Verb() string { return verbCreateToken }

// Verb names the change for audit rows and rights.
func (RevokeToken) Verb() string { return verbRevokeToken }

func (c BootstrapToken) target() Target {
	return Target{Tenant: DefaultTenant, Object: ObjectToken, Key: c.ID}
}
func (c CreateToken) target() Target { return Target{Tenant: c.Tenant, Object: ObjectToken, Key: c.ID} }
func (c RevokeToken) target() Target { return Target{Tenant: c.Tenant, Object: ObjectToken, Key: c.ID} }

// maxTokens is how many tokens a tenant may have. Ended ones make room, the oldest first.
const maxTokens = 10_000

// tokenTable holds the tokens of all tenants by id. It is persistent.
type tokenTable struct {
	byID     *evaluator.Index[*Token]
	revision uint64 // of the last change of any
}

// Token finds a token by its id, whether or not it still counts.
func (s *State) Token(id string) (*Token, bool) {
	if s.tokens.byID == nil {
		return nil, false
	}
	return s.tokens.byID.Get(id)
}

// Tokens lists the tokens of a tenant, the newest first.
func (s *State) Tokens(tenant string) []*Token {
	var list []*Token
	s.EachToken(func(t *Token) {
		if t.Tenant == tenant {
			list = append(list, t)
		}
	})
	slices.SortFunc(list, func(a, b *Token) int { return cmp.Or(cmp.Compare(b.Created, a.Created), cmp.Compare(a.ID, b.ID)) })
	return list
}

// TokensRevision is the revision of the last change of any token: what was read of tokens holds until it moves, or time
// ends one.
func (s *State) TokensRevision() uint64 { return s.tokens.revision }

// Bootstrapped tells whether the first token was made.
func (s *State) Bootstrapped() bool { return s.tokens.byID != nil && s.tokens.byID.Len() > 0 }

// EachToken goes through the tokens of all tenants in no particular order.
func (s *State) EachToken(do func(*Token)) {
	if s.tokens.byID != nil {
		s.tokens.byID.All(func(_ string, t *Token, _ uint64) bool { do(t); return true })
	}
}

// authenticate finds the actor's token and checks that it counts and that the actor is who it says.
func (s *State) authenticate(a Actor, verb string, target Target) (*Token, error) {
	refuse := func(kind Kind, detail string) (*Token, error) {
		return nil, &Error{Kind: kind, Op: verb, Target: target.String(), Detail: detail}
	}
	t, ok := s.Token(a.Token)
	switch {
	case !ok:
		return refuse(KindUnknownToken, "the token is not known here; ask for a new one")
	case t.RevokedAt > 0:
		return refuse(KindUnknownToken, "the token was revoked; ask for a new one")
	case t.Ended(s.now):
		return refuse(KindUnknownToken, "the token has expired; ask for a new one")
	case a.Owner != t.Owner || a.Kind != t.Actor("", "").Kind:
		return refuse(KindDenied, "the token belongs to another user")
	}
	if err := t.Speaks(a.ID, a.Email); err != nil {
		return refuse(KindDenied, err.Error())
	}
	return t, nil
}

// Speaks says whether the token may be used in the name of a user: of its owner, or with ActAs of anybody. The email of a
// token that has none is the owner's to say; it proves nothing.
func (t *Token) Speaks(user, email string) error {
	if t.ActAs || user == t.Owner && (t.Email == "" || email == t.Email) {
		return nil
	}
	return fmt.Errorf("the token is of %s and may not act for other users; leave X-User-ID and X-User-Email out, or use a token with act-as", t.Owner)
}
