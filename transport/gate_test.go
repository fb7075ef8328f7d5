package transport

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// someKeys are tokens that a test made.
type someKeys struct {
	revision uint64
	tokens   []*fsm.Token
}

func (k *someKeys) Version() (string, uint64)              { return "e", k.revision }
func (k *someKeys) Tokens() (string, uint64, []*fsm.Token) { return "e", k.revision, k.tokens }

func (k *someKeys) add(name string, g fsm.Grant) http.Header {
	k.revision++
	id := (name + "000000000000")[:12]
	text := fsm.FormatCredential(g.Kind, id, (name + strings.Repeat("s", 43))[:43])
	digest := fsm.CredentialDigest(text)
	k.tokens = append(k.tokens, &fsm.Token{ID: id, Digest: hex.EncodeToString(digest[:]), Grant: g, Revision: k.revision})
	return http.Header{"Authorization": {"Bearer " + text}}
}

// A request pays for its token with a load, a look into a map and a hash.
func TestATokenIsFoundWithoutAllocating(t *testing.T) {
	k := &someKeys{}
	g := newGate(k)
	header := k.add("srv", fsm.Grant{Kind: fsm.TokenServer, Tenant: "default", Environments: []string{"dev"}})
	p, err := g.admit(header)
	require.NoError(t, err)
	require.Equal(t, fsm.Scope{Tenant: "default", Environment: "dev"}, p.scope)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		if _, err := g.admit(header); err != nil {
			panic(err)
		}
	}))
}

// What the book knew of tokens that did not change is kept, and what is gone is forgotten.
func TestTheBookFollowsTheTokens(t *testing.T) {
	k := &someKeys{}
	g := newGate(k)
	first := k.add("first", fsm.Grant{Kind: fsm.TokenServer, Rate: 5})
	p, err := g.admit(first)
	require.NoError(t, err)
	k.add("second", fsm.Grant{Kind: fsm.TokenServer})
	again, err := g.admit(first)
	require.NoError(t, err)
	require.Same(t, p, again)
	k.tokens, k.revision = k.tokens[1:], k.revision+1
	_, err = g.admit(first)
	require.Error(t, err)
	k.tokens[0] = &fsm.Token{ID: k.tokens[0].ID, Digest: "no hex", Grant: k.tokens[0].Grant}
	k.revision++
	require.Error(t, g.current().passes[k.tokens[0].ID].counts(time.Now()))
}

func BenchmarkAdmit(b *testing.B) {
	k := &someKeys{}
	g := newGate(k)
	for _, name := range []string{"a", "b", "c"} {
		k.add(name, fsm.Grant{Kind: fsm.TokenServer})
	}
	header := k.add("srv", fsm.Grant{Kind: fsm.TokenServer})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.admit(header); err != nil {
			b.Fatal(err)
		}
	}
}
