package transport_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
)

// guarded is a server whose door wants tokens.
func guarded(cfg *transport.Config) { cfg.NoAuth = false }

// token makes a token and returns its text. Name and kind make it, so that a test can say who is who.
func (n *node) token(t testing.TB, name string, g fsm.Grant) string {
	t.Helper()
	if g.Tenant == "" {
		g.Tenant = "default"
	}
	if g.Kind == "" {
		g.Kind = fsm.TokenAdmin
	}
	if g.Owner == "" {
		g.Owner = name
	}
	text := tokenText(g.Kind, name)
	sum := fsm.CredentialDigest(text)
	n.write(t, fsm.CreateToken{ID: tokenID(name), Digest: hex.EncodeToString(sum[:]), Grant: g})
	return text
}

func (n *node) revoke(t testing.TB, name string) {
	t.Helper()
	n.write(t, fsm.RevokeToken{Tenant: "default", ID: tokenID(name), Reason: "test"})
}

func tokenID(name string) string { return (name + "000000000000")[:12] }

func tokenText(kind fsm.TokenKind, name string) string {
	return fsm.FormatCredential(kind, tokenID(name), (name + strings.Repeat("s", 43))[:43])
}

func serverGrant() fsm.Grant {
	return fsm.Grant{Kind: fsm.TokenServer, Environments: []string{"dev"}}
}

func clientGrant() fsm.Grant {
	return fsm.Grant{Kind: fsm.TokenClient, Environments: []string{"dev"}, Origins: []string{"https://app.example.com", "http://localhost:*"}}
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func requireCode(t *testing.T, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, code, field(t, a.body, "code"), a.body)
}
