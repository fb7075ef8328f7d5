package fsm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// bootstrapToken makes the first token. Whoever comes second is told how to go on.
func (d *draft) bootstrapToken(c BootstrapToken) error {
	if d.state.Bootstrapped() {
		return &Error{Kind: KindExists, Op: c.Verb(), Target: "the cluster",
			Detail: "the first token was made already; use it to create others, or, if it is lost, start one server on loopback with --insecure-no-auth and create one there"}
	}
	return d.addToken(c, c.Digest, 0, Grant{Tenant: DefaultTenant, Kind: TokenAdmin, Name: "bootstrap", Everywhere: true,
		Role: RoleAdmin, Owner: c.Owner, ActAs: true})
}

func (d *draft) createToken(c CreateToken) error {
	s := d.state
	if err := d.expectOwn(c, s.tokenRevision(c.ID)); err != nil {
		return err
	}
	if _, exists := s.tenantAt(c.Tenant); !exists {
		return notFound(c, fmt.Sprintf("there is no tenant %q; create it first", c.Tenant))
	}
	if _, taken := s.Token(c.ID); taken {
		return &Error{Kind: KindExists, Op: c.Verb(), Target: c.target().String(), Detail: "the id is taken; make another"}
	}
	for _, key := range c.Environments {
		if _, ok := s.Environment(c.Tenant, key); !ok {
			return notFound(c, fmt.Sprintf("there is no environment %q in tenant %q; create it or name another", key, c.Tenant))
		}
	}
	if by, ok := s.Token(d.proposal.Actor.Token); ok && c.Everywhere && !by.Everywhere {
		return denied(c.Verb(), c.target(), "a token for every tenant is made with one that is for every tenant")
	}
	if err := d.roomForToken(c); err != nil {
		return err
	}
	return d.addToken(c, c.Digest, c.For, c.Grant)
}

// roomForToken drops the oldest token that ended when the tenant has as many as it may.
func (d *draft) roomForToken(c CreateToken) error {
	count := 0
	d.state.EachToken(func(t *Token) {
		if t.Tenant == c.Tenant {
			count++
		}
	})
	if count < maxTokens {
		return nil
	}
	for _, t := range slices.Backward(d.state.Tokens(c.Tenant)) {
		if t.Ended(d.state.now) {
			d.state.dropToken(t)
			return nil
		}
	}
	return tooMany(c, fmt.Sprintf("the tenant has %d tokens; revoke some", maxTokens))
}

func (d *draft) addToken(c Command, hash string, lasts Duration, grant Grant) error {
	s := d.state
	t := &Token{ID: c.target().Key, Digest: hash, Grant: grant, Created: s.index, Revision: s.index, CreatedAt: s.now, CreatedBy: d.proposal.Actor}
	if lasts > 0 {
		t.Expires = s.now + int64(lasts)
	}
	s.putToken(t)
	d.auditToken(c, nil, t, "")
	return nil
}

func (d *draft) revokeToken(c RevokeToken) error {
	s := d.state
	if err := d.expectOwn(c, s.tokenRevision(c.ID)); err != nil {
		return err
	}
	old, ok := s.Token(c.ID)
	if !ok || old.Tenant != c.Tenant {
		return notFound(c, "there is no such token; `hoist token list` shows those of the tenant")
	}
	if by, ok := s.Token(d.proposal.Actor.Token); ok && old.Everywhere && !by.Everywhere {
		return denied(c.Verb(), c.target(), "a token for every tenant is revoked with one that is for every tenant")
	}
	if old.RevokedAt > 0 {
		d.object = old.Revision
		return nil
	}
	t := *old
	t.RevokedAt, t.RevokedBy, t.Reason, t.Revision = max(1, s.now), d.proposal.Actor, c.Reason, s.index
	s.dropToken(old)
	s.putToken(&t)
	d.auditToken(c, old, &t, c.Reason)
	return nil
}

func (s *State) tokenRevision(id string) uint64 {
	t, ok := s.Token(id)
	if !ok {
		return 0
	}
	return t.Revision
}

func (s *State) putToken(t *Token) {
	index := s.tokens.byID
	if index == nil {
		index = &evaluator.Index[*Token]{}
	}
	s.tokens = tokenTable{byID: index.With(t.ID, t, t.Revision), revision: max(s.tokens.revision, t.Revision)}
	s.rest.add(tokenLeaf(t))
}

func (s *State) dropToken(t *Token) {
	s.tokens.byID = s.tokens.byID.Without(t.ID)
	s.rest.remove(tokenLeaf(t))
}

func tokenLeaf(t *Token) sum { return newLeaf(leafToken, t.ID).digest(digestOf(mustEncode(t))).sum() }

func (d *draft) auditToken(c Command, before, after *Token, reason string) {
	row := Audit{Index: d.state.index, At: d.state.now, Actor: d.proposal.Actor, RequestID: d.proposal.RequestID, Correlation: d.proposal.Correlation,
		Tenant: c.target().Tenant, Verb: c.Verb(), Target: nodeName(ObjectToken, after.ID), After: digestOf(mustEncode(after)).hex(), Reason: reason}
	if row.Reason == "" {
		row.Reason = d.proposal.Comment
	}
	if before != nil {
		row.Before = digestOf(mustEncode(before)).hex()
	}
	d.state.audit.append(row)
	d.object, d.changed = d.state.index, true
}

// saveTokens writes the tokens of all tenants, in the order of their ids.
func (s *State) saveTokens(w *writer) {
	var list []*Token
	s.EachToken(func(t *Token) { list = append(list, t) })
	slices.SortFunc(list, func(a, b *Token) int { return strings.Compare(a.ID, b.ID) })
	for _, t := range list {
		w.bytes(mustEncode(t)).end(recordToken)
	}
}

func (l *loader) token(r *reader) error {
	l.closeEnvironment()
	t := &Token{}
	if err := json.Unmarshal(r.bytes(), t, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a token: %w", err)
	}
	if t.ID == "" {
		return errors.New("a token has no id")
	}
	l.state.putToken(t)
	return nil
}
