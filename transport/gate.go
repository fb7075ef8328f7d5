package transport

import (
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Kinds of refused credentials.
const (
	KindNoToken        fsm.Kind = "AUTH_REQUIRED"  // none was sent
	KindMalformedToken fsm.Kind = "AUTH_MALFORMED" // what was sent cannot be a token
	KindTenantRequired fsm.Kind = "VAL_TENANT_REQUIRED"
	KindRateLimited    fsm.Kind = "RATE_LIMITED"
)

// keys is where the tokens of a server come from. Its answers belong together: all tokens at one version.
type keys interface {
	// Version moves whenever a token changes.
	Version() (epoch string, revision uint64)
	// Tokens are all, with their version.
	Tokens() (epoch string, revision uint64, all []*fsm.Token)
}

// gate tells who is at the door. Tokens are looked up in a book that is made anew when any of them changes, so a request
// costs one atomic load, one look into a map and one SHA-256, and no secret is ever kept.
type gate struct {
	keys    keys
	book    atomic.Pointer[book]
	renew   sync.Mutex
	streams streamsOfTokens
}

// book is every token at one version. It is immutable.
type book struct {
	epoch    string
	revision uint64
	passes   map[string]*pass // by id
	origins  map[string]bool  // of all cli tokens
}

// pass is a token as the doors use it.
type pass struct {
	token  *fsm.Token
	digest [32]byte
	scope  fsm.Scope  // of its only environment; empty when it has several
	client bool       // sees results of client-visible flags only
	rate   *allowance // nil: no limit
}

func newGate(k keys) *gate {
	g := &gate{keys: k}
	g.book.Store(&book{})
	g.streams.ended = func(id string) error {
		p, ok := g.current().passes[id]
		if !ok {
			return unknownToken()
		}
		return p.counts(time.Now())
	}
	return g
}

// current is the book of now.
func (g *gate) current() *book {
	b := g.book.Load()
	if epoch, revision := g.keys.Version(); b.revision == revision && b.epoch == epoch && b.passes != nil {
		return b
	}
	return g.reread()
}

func (g *gate) reread() *book {
	g.renew.Lock()
	defer g.renew.Unlock()
	old := g.book.Load()
	epoch, revision, all := g.keys.Tokens()
	if old.epoch == epoch && old.revision == revision && old.passes != nil {
		return old
	}
	next := &book{epoch: epoch, revision: revision, passes: make(map[string]*pass, len(all)), origins: map[string]bool{}}
	for _, t := range all {
		p := old.passes[t.ID]
		if p == nil || p.token != t {
			p = newPass(t, p)
		}
		next.passes[t.ID] = p
		if t.RevokedAt == 0 {
			for _, origin := range t.Origins {
				next.origins[origin] = true
			}
		}
	}
	g.book.Store(next)
	return next
}

// newPass keeps the meter of the one before it, so that a change of the token gives nobody a new allowance.
func newPass(t *fsm.Token, before *pass) *pass {
	p := &pass{token: t, client: t.Kind == fsm.TokenClient}
	if n, err := hex.Decode(p.digest[:], []byte(t.Digest)); err != nil || n != len(p.digest) {
		p.token = &fsm.Token{ID: t.ID, Grant: t.Grant, RevokedAt: 1} // no text has this digest
	}
	if len(t.Environments) == 1 {
		p.scope = fsm.Scope{Tenant: t.Tenant, Environment: t.Environments[0]}
	}
	if before != nil && before.rate != nil && before.token.Rate == t.Rate {
		p.rate = before.rate
	} else if t.Rate > 0 {
		p.rate = newAllowance(t.Rate)
	}
	return p
}

// counts says whether the token still counts. The clock of this node ends it too: the leader's time stands still while
// nothing is written.
func (p *pass) counts(now time.Time) error {
	detail := ""
	switch {
	case p.token.RevokedAt > 0:
		detail = "the token was revoked; ask for a new one"
	case p.token.Ended(now.UnixMilli()):
		detail = "the token has expired; ask for a new one"
	default:
		return nil
	}
	return &fsm.Error{Kind: fsm.KindUnknownToken, Op: "read", Target: "token " + p.token.ID, Detail: detail}
}

func unknownToken() *fsm.Error {
	return &fsm.Error{Kind: fsm.KindUnknownToken, Op: "read", Target: "token", Detail: "the token is not known here; check that it belongs to this cluster"}
}

// admit finds the token of a request. Errors are *fsm.Error of a kind AUTH_….
func (g *gate) admit(h http.Header) (*pass, error) {
	text, err := credential(h)
	if err != nil {
		return nil, err
	}
	p, ok := g.current().passes[fsm.CredentialID(text)]
	digest := fsm.CredentialDigest(text)
	if !ok || subtle.ConstantTimeCompare(p.digest[:], digest[:]) != 1 {
		if _, _, err := fsm.ParseCredential(text); err != nil {
			return nil, &fsm.Error{Kind: KindMalformedToken, Op: "read", Target: "token", Detail: err.Error()}
		}
		return nil, unknownToken()
	}
	if p.token.RevokedAt > 0 || p.token.Expires > 0 {
		if err := p.counts(time.Now()); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// credential is the text of the token in Authorization or X-API-Key. Two that differ are none.
func credential(h http.Header) (string, error) {
	bearer, key := h["Authorization"], h["X-Api-Key"]
	text := ""
	switch {
	case len(bearer) > 1 || len(key) > 1:
		return "", &fsm.Error{Kind: KindMalformedToken, Op: "read", Target: "Authorization", Detail: "there is more than one; send one token"}
	case len(bearer) == 1:
		scheme, rest, _ := strings.Cut(bearer[0], " ")
		if !strings.EqualFold(scheme, "bearer") {
			return "", &fsm.Error{Kind: KindMalformedToken, Op: "read", Target: "Authorization", Detail: "must be Bearer and a token"}
		}
		if text = strings.TrimLeft(rest, " "); len(key) == 1 && key[0] != text {
			return "", &fsm.Error{Kind: KindMalformedToken, Op: "read", Target: "X-API-Key", Detail: "it differs from the token in Authorization; send one of them"}
		}
	case len(key) == 1:
		text = key[0]
	default:
		return "", &fsm.Error{Kind: KindNoToken, Op: "read", Target: "Authorization",
			Detail: "a token is needed: Authorization: Bearer hst_… (`hoist token create` makes one)"}
	}
	return text, nil
}

// stateKeys are the tokens of a node's own state.
type stateKeys struct{ store *fsm.Store }

// Version implements keys.
func (k stateKeys) Version() (epoch string, revision uint64) {
	state := k.store.State()
	return state.Epoch(), state.TokensRevision()
}

// Tokens implements keys.
func (k stateKeys) Tokens() (epoch string, revision uint64, all []*fsm.Token) {
	state := k.store.State()
	state.EachToken(func(t *fsm.Token) { all = append(all, t) })
	return state.Epoch(), state.TokensRevision(), all
}
