package fsm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// tokenID makes an id of twelve letters and digits.
func tokenID(name string) string { return (name + "000000000000")[:12] }

// tokenDigest stands for the hash of a secret.
func tokenDigest(name string) string { return fmt.Sprintf("%064x", name) }

// grantToken makes a token and returns who acts with it.
func (n *node) grantToken(name string, g fsm.Grant) fsm.Actor {
	n.t.Helper()
	if g.Tenant == "" {
		g.Tenant = dev.Tenant
	}
	if g.Owner == "" {
		g.Owner = name
	}
	if g.Kind == "" {
		g.Kind = fsm.TokenAdmin
	}
	n.do(fsm.CreateToken{ID: tokenID(name), Digest: tokenDigest(name), Grant: g})
	t, ok := n.store.State().Token(tokenID(name))
	require.True(n.t, ok)
	return t.Actor("", "")
}

// by is a proposal of somebody else than the usual person.
func (n *node) by(a fsm.Actor, c fsm.Command) *fsm.Proposal {
	p := n.proposal(c)
	p.Actor = a
	return p
}

// sampleTokens is the part of the sample log that is about tokens.
func (n *node) sampleTokens() {
	n.do(fsm.BootstrapToken{ID: tokenID("first"), Digest: tokenDigest("first"), Owner: "root"})
	n.do(fsm.CreateToken{ID: tokenID("web"), Digest: tokenDigest("web"), For: 86_400_000, Grant: fsm.Grant{Tenant: dev.Tenant, Kind: fsm.TokenClient,
		Owner: "ann", Environments: []string{"dev"}, Origins: []string{"https://app.example.com"}, Rate: 10}})
	gateway := n.grantToken("gateway", fsm.Grant{Role: fsm.RoleEditor, ActAs: true, Groups: []string{"release"}, Email: "gw@example.com"})
	gateway.ID, gateway.Email = "bob", "bob@example.com"
	require.NoError(n.t, n.apply(n.by(gateway, fsm.SetEnabled{Scope: dev, Key: "payments", Enabled: true})).Err)
	n.do(fsm.RevokeToken{Tenant: dev.Tenant, ID: tokenID("gateway"), Reason: "left"})
}

func TestTheFirstTokenIsMadeOnce(t *testing.T) {
	n := newNode(t)
	require.False(t, n.store.State().Bootstrapped())
	anyone := fsm.Actor{Kind: fsm.ActorAnonymous}
	require.NoError(t, n.apply(n.by(anyone, fsm.BootstrapToken{ID: tokenID("first"), Digest: tokenDigest("first"), Owner: "root"})).Err)
	first, _ := n.store.State().Token(tokenID("first"))
	require.Equal(t, fsm.RoleAdmin, first.Role)
	require.True(t, first.Everywhere)
	refused := n.refuseProposal(fsm.KindExists, n.by(anyone, fsm.BootstrapToken{ID: tokenID("second"), Digest: tokenDigest("second"), Owner: "eve"}))
	require.Contains(t, refused.Detail, "--insecure-no-auth")

	require.NoError(t, n.apply(n.by(first.Actor("", ""), fsm.RevokeToken{Tenant: "default", ID: first.ID})).Err)
	n.refuseProposal(fsm.KindExists, n.by(anyone, fsm.BootstrapToken{ID: tokenID("third"), Digest: tokenDigest("third"), Owner: "eve"}))
}

func TestAnEndedTokenChangesNothingMore(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	ann := n.grantToken("ann", fsm.Grant{Role: fsm.RoleEditor})
	require.NoError(t, n.apply(n.by(ann, fsm.SetEnabled{Scope: dev, Key: "checkout"})).Err)

	written := n.by(ann, fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true})
	require.NoError(t, n.store.State().Admit(written), "the leader has let it into the log")
	n.do(fsm.RevokeToken{Tenant: dev.Tenant, ID: ann.Token, Reason: "lost"})
	n.refuseProposal(fsm.KindUnknownToken, written)
	require.False(t, n.do(fsm.RevokeToken{Tenant: dev.Tenant, ID: ann.Token}).Changed, "twice is once")

	n.do(fsm.CreateToken{ID: tokenID("bob"), Digest: tokenDigest("bob"), For: 5, Grant: fsm.Grant{Tenant: dev.Tenant, Kind: fsm.TokenAdmin, Role: fsm.RoleEditor, Owner: "bob"}})
	bob, _ := n.store.State().Token(tokenID("bob"))
	require.NoError(t, n.apply(n.by(bob.Actor("", ""), fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true})).Err)
	n.now += 5
	e := n.refuseProposal(fsm.KindUnknownToken, n.by(bob.Actor("", ""), fsm.SetEnabled{Scope: dev, Key: "checkout"}))
	require.Contains(t, e.Detail, "expired")
	n.refuseProposal(fsm.KindUnknownToken, n.by(fsm.Actor{Kind: fsm.ActorUser, ID: "eve", Owner: "eve", Token: tokenID("nobody")}, fsm.Unkill{Scope: dev, Key: "checkout"}))
}

func TestOnlyATokenWithActAsNamesOtherUsers(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	ann, gateway := n.grantToken("ann", fsm.Grant{Role: fsm.RoleEditor, Email: "ann@example.com"}), n.grantToken("gateway", fsm.Grant{Role: fsm.RoleEditor, ActAs: true})
	flip := fsm.SetEnabled{Scope: dev, Key: "checkout"}
	for name, change := range map[string]func(*fsm.Actor){
		"another user":  func(a *fsm.Actor) { a.ID = "bob" },
		"another email": func(a *fsm.Actor) { a.Email = "bob@example.com" },
		"another owner": func(a *fsm.Actor) { a.ID, a.Owner = "bob", "bob" },
		"another kind":  func(a *fsm.Actor) { a.Kind = fsm.ActorBreakGlass },
	} {
		claimed := ann
		change(&claimed)
		p := n.by(claimed, flip)
		p.Comment = name
		n.refuseProposal(fsm.KindDenied, p)
	}
	gateway.ID = "bob"
	require.NoError(t, n.apply(n.by(gateway, flip)).Err)
	row := n.store.State().Audit(0, 100)
	last := row[len(row)-1]
	require.Equal(t, fsm.Actor{Kind: fsm.ActorUser, ID: "bob", Token: tokenID("gateway"), Owner: "gateway"}, last.Actor)
}

func TestWhoCountsAsOnePerson(t *testing.T) {
	user := func(id, owner, token string) fsm.Actor {
		return fsm.Actor{Kind: fsm.ActorUser, ID: id, Owner: owner, Token: token}
	}
	for name, c := range map[string]struct {
		a, b fsm.Actor
		same bool
	}{
		"one user with two tokens":                      {user("ann", "ann", "1"), user("ann", "ann", "2"), true},
		"two users":                                     {user("ann", "ann", "1"), user("bob", "bob", "2"), false},
		"two users through one gateway":                 {user("ann", "ops", "gw"), user("bob", "ops", "gw"), false},
		"a user and the same through a gateway":         {user("ann", "ann", "1"), user("ann", "ops", "gw"), true},
		"the owner of a gateway and a user it acts for": {user("ops", "ops", "1"), user("bob", "ops", "gw"), true},
		"nobody and nobody":                             {fsm.Actor{Kind: "anonymous"}, fsm.Actor{Kind: "anonymous"}, true},
		"nobody and somebody":                           {fsm.Actor{Kind: "anonymous"}, user("ann", "", ""), false},
	} {
		require.Equal(t, c.same, fsm.SamePerson(c.a, c.b), name)
		require.Equal(t, c.same, fsm.SamePerson(c.b, c.a), name)
	}
}

func TestATokenCannotGiveMoreThanItHas(t *testing.T) {
	n := newNode(t)
	admin := n.grantToken("admin", fsm.Grant{Role: fsm.RoleAdmin})
	partial := n.grantToken("partial", fsm.Grant{Role: fsm.RoleAdmin, Environments: []string{"dev"}})
	root := n.grantToken("root", fsm.Grant{Role: fsm.RoleAdmin, Everywhere: true})
	create := func(name string, everywhere bool) fsm.Command {
		return fsm.CreateToken{ID: tokenID(name), Digest: tokenDigest(name), Grant: fsm.Grant{Tenant: dev.Tenant, Kind: fsm.TokenAdmin, Role: fsm.RoleAdmin, Owner: "x", Everywhere: everywhere}}
	}
	require.NoError(t, n.apply(n.by(admin, create("one", false))).Err)
	n.refuseProposal(fsm.KindDenied, n.by(admin, create("two", true)))
	n.refuseProposal(fsm.KindDenied, n.by(admin, fsm.RevokeToken{Tenant: dev.Tenant, ID: root.Token}))
	n.refuseProposal(fsm.KindDenied, n.by(partial, create("three", false)))
	n.refuseProposal(fsm.KindDenied, n.by(admin, fsm.CreateTenant{Tenant: "acme"}))
	require.NoError(t, n.apply(n.by(root, fsm.CreateTenant{Tenant: "acme"})).Err)
	require.NoError(t, n.apply(n.by(partial, fsm.RevokeToken{Tenant: dev.Tenant, ID: partial.Token})).Err, "one's own may always be ended")
}

func TestGlassIsBrokenTowardTheSafeSideOnly(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	brk := n.grantToken("brk", fsm.Grant{Kind: fsm.TokenBreakGlass, Owner: "ann"})
	e := n.refuseProposal(fsm.KindInvalid, n.by(brk, fsm.Kill{Scope: dev, Key: "checkout"}))
	require.Contains(t, e.Problems.Error(), "reason")
	require.NoError(t, n.apply(n.by(brk, fsm.Kill{Scope: dev, Key: "checkout", Reason: "errors"})).Err)
	for _, c := range []fsm.Command{fsm.Unkill{Scope: dev, Key: "checkout"}, fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true}, put(t, boolean("x", ""))} {
		p := n.by(brk, c)
		p.Comment = "please"
		n.refuseProposal(fsm.KindDenied, p)
	}
	rows := n.store.State().Audit(0, 100)
	require.Equal(t, fsm.ActorBreakGlass, rows[len(rows)-1].Actor.Kind)
}

func TestWhatATokenMayBeGiven(t *testing.T) {
	valid := fsm.Grant{Tenant: "default", Kind: fsm.TokenAdmin, Role: fsm.RoleViewer, Owner: "ann"}
	client := fsm.Grant{Tenant: "default", Kind: fsm.TokenClient, Environments: []string{"dev"}, Owner: "ann", Origins: []string{"http://localhost:*"}, Rate: 5}
	require.Empty(t, valid.Check())
	require.Empty(t, client.Check())
	for field, change := range map[string]func(*fsm.Grant){
		"/owner":        func(g *fsm.Grant) { g.Owner = "" },
		"/kind":         func(g *fsm.Grant) { g.Kind = "abc" },
		"/role":         func(g *fsm.Grant) { g.Role = "owner" },
		"/environments": func(g *fsm.Grant) { *g = client; g.Environments = nil },
		"/everywhere":   func(g *fsm.Grant) { g.Everywhere, g.Environments = true, []string{"dev"} },
		"/actAs":        func(g *fsm.Grant) { *g = client; g.ActAs = true },
		"/rate":         func(g *fsm.Grant) { g.Rate = 1 },
		"/origins":      func(g *fsm.Grant) { g.Origins = []string{"https://a.example"} },
		"/origins/0":    func(g *fsm.Grant) { *g = client; g.Origins = []string{"https://a.example/path"} },
		"/groups/0":     func(g *fsm.Grant) { g.Groups = []string{"no group"} },
	} {
		g := valid
		change(&g)
		require.Contains(t, g.Check().Error(), field)
	}
	n := newNode(t)
	client.Environments = []string{"moon"}
	n.refuse(fsm.KindNotFound, fsm.CreateToken{ID: tokenID("a"), Digest: tokenDigest("a"), Grant: client})
	n.refuse(fsm.KindInvalid, fsm.CreateToken{ID: "short", Digest: "zz", Grant: valid})
	n.grantToken("a", fsm.Grant{Role: fsm.RoleViewer})
	n.refuse(fsm.KindExists, fsm.CreateToken{ID: tokenID("a"), Digest: tokenDigest("b"), Grant: valid})
}

func TestTokensAreSavedWithTheState(t *testing.T) {
	n := newNode(t)
	ann := n.grantToken("ann", fsm.Grant{Role: fsm.RoleEditor, Groups: []string{"release"}})
	n.do(fsm.RevokeToken{Tenant: dev.Tenant, ID: n.grantToken("bob", fsm.Grant{Role: fsm.RoleViewer}).Token})
	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), restored.State())
	require.Equal(t, n.store.State().Tokens("default"), restored.State().Tokens("default"))
	require.Equal(t, n.store.State().TokensRevision(), restored.State().TokensRevision())
	require.True(t, restored.State().Eligible(ann, []string{"release", "other"}))
	require.False(t, restored.State().Eligible(ann, []string{"other"}))
	require.NotContains(t, strings.ToLower(string(n.save())), "hst_")
}
