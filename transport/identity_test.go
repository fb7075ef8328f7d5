package transport_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/client"
)

const flagsURL = "/api/v1/config/feature-flags?environment=dev"

// S1-02: what is wrong with a credential is said, with a status and a code of its own.
func TestCredentialsThatAreRefused(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	good := n.token(t, "ann", fsm.Grant{Role: fsm.RoleViewer})
	lost := n.token(t, "lost", fsm.Grant{Role: fsm.RoleViewer})
	n.revoke(t, "lost")
	for name, c := range map[string]struct {
		headers []string
		code    string
	}{
		"none":                   {nil, "AUTH_REQUIRED"},
		"a password":             {[]string{"Authorization", "Basic YTpi"}, "AUTH_MALFORMED"},
		"no token":               {bearer("nothing"), "AUTH_MALFORMED"},
		"a changed character":    {bearer(strings.Replace(good, "ss", "st", 1)), "AUTH_MALFORMED"},
		"another secret":         {bearer(fsm.FormatCredential(fsm.TokenAdmin, tokenID("ann"), strings.Repeat("x", 43))), "AUTH_TOKEN"},
		"another kind":           {bearer(fsm.FormatCredential(fsm.TokenServer, tokenID("ann"), "ann"+strings.Repeat("s", 40))), "AUTH_TOKEN"},
		"an unknown one":         {bearer(tokenText(fsm.TokenAdmin, "eve")), "AUTH_TOKEN"},
		"a revoked one":          {bearer(lost), "AUTH_TOKEN"},
		"two that differ":        {[]string{"Authorization", "Bearer " + good, "X-API-Key", lost}, "AUTH_MALFORMED"},
		"a revoked one as a key": {[]string{"X-API-Key", lost}, "AUTH_TOKEN"},
	} {
		a := do(t, "GET", web.URL+flagsURL, "", c.headers...)
		require.Equal(t, http.StatusUnauthorized, a.status, name)
		requireCode(t, a, http.StatusUnauthorized, c.code)
		require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"), name)
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), name)
	}
	for _, headers := range [][]string{bearer(good), {"X-API-Key", good}, {"Authorization", "bearer " + good, "X-API-Key", good}} {
		require.Equal(t, http.StatusOK, do(t, "GET", web.URL+flagsURL, "", headers...).status)
	}
}

// S1-02: headers attribute, they prove nothing.
func TestHeadersNameOnlyWhomTheTokenMayActFor(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	ann := n.token(t, "ann", fsm.Grant{Role: fsm.RoleEditor, Email: "ann@example.com"})
	gateway := n.token(t, "gateway", fsm.Grant{Role: fsm.RoleEditor, ActAs: true})
	write := func(token string, headers ...string) answer {
		return do(t, "POST", web.URL+"/api/v1/config/feature-flags/banner/toggle?environment=dev", "{}", append(bearer(token), headers...)...)
	}
	require.Equal(t, 200, write(ann).status)
	require.Equal(t, 200, write(ann, "X-User-ID", "ann", "X-User-Email", "ann@example.com").status)
	requireCode(t, write(ann, "X-User-ID", "bob"), 403, "PERM_DENIED")
	requireCode(t, write(ann, "X-User-Email", "bob@example.com"), 403, "PERM_DENIED")
	require.Equal(t, 200, write(gateway, "X-User-ID", "bob", "X-User-Email", "bob@example.com").status)
	rows := n.store.State().Audit(0, 1000)
	require.Equal(t, fsm.Actor{Kind: "user", ID: "bob", Email: "bob@example.com", Token: tokenID("gateway"), Owner: "gateway"}, rows[len(rows)-1].Actor)
	require.Equal(t, tokenID("ann"), rows[len(rows)-2].Actor.Token)
}

// S0-21: what belongs to another tenant looks like nothing.
func TestAnotherTenantsThingsAreNotThere(t *testing.T) {
	n := golden(t)
	n.write(t, fsm.CreateTenant{Tenant: "acme"})
	web, _ := serve(t, n, guarded)
	acme := n.token(t, "acme", fsm.Grant{Tenant: "acme", Role: fsm.RoleAdmin})
	item := strings.Replace(flagsURL, "?", "/banner?", 1)
	requireCode(t, do(t, "GET", web.URL+item, "", append(bearer(acme), "X-Tenant-ID", "default")...), 404, "NOT_FOUND")
	requireCode(t, do(t, "GET", web.URL+item, "", bearer(acme)...), 404, "NOT_FOUND")
	requireCode(t, do(t, "DELETE", web.URL+item, "", append(bearer(acme), "X-Tenant-ID", "default")...), 404, "NOT_FOUND")
	a := do(t, "GET", web.URL+"/api/v1/config/environments", "", bearer(acme)...)
	require.NotContains(t, a.body, "ledger")
	calls, err := client.OpenServices(client.ServicesConfig{Address: web.URL, Token: acme})
	require.NoError(t, err)
	_, err = calls.Tokens.Get(t.Context(), &hoistv1.GetTokenRequest{Id: tokenID("ann")})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	listed, err := calls.Audit.List(t.Context(), &hoistv1.ListAuditRequest{Limit: 1000})
	require.NoError(t, err)
	for _, row := range listed.GetRows() {
		require.NotEqual(t, "default", row.GetTenant())
	}
}

// A write in flight whose token ends is refused by the law: the door is not asked again.
func TestTheLawAsksAgain(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	editor := n.token(t, "ann", fsm.Grant{Role: fsm.RoleEditor})
	moved := do(t, "POST", web.URL+"/api/v1/rollouts/some/promote?environment=dev", "{}", bearer(editor)...)
	requireCode(t, moved, 403, "PERM_DENIED")
	require.Contains(t, moved.body, "operator")
}

// Somebody who tries tokens must not fill the disk with lines about it.
func TestDenialsAreLoggedButNotAllOfThem(t *testing.T) {
	n := golden(t)
	var lines bytes.Buffer
	web, _ := serve(t, n, guarded, func(cfg *transport.Config) { cfg.Logger = slog.New(slog.NewJSONHandler(&lines, nil)) })
	secret := tokenText(fsm.TokenAdmin, "eve")
	for range 200 {
		do(t, "GET", web.URL+flagsURL, "", bearer(secret)...)
	}
	denied := strings.Count(lines.String(), `"msg":"denied"`)
	require.GreaterOrEqual(t, denied, 10)
	require.Less(t, denied, 60)
	require.NotContains(t, lines.String(), secret)
}

func TestTheFirstTokenOverTheDoor(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n, guarded)
	calls, err := client.OpenServices(client.ServicesConfig{Address: web.URL})
	require.NoError(t, err)
	seed := []byte(strings.Repeat("s", 32))
	write := &hoistv1.WriteOptions{RequestId: "first"}
	first, err := calls.Tokens.Bootstrap(t.Context(), &hoistv1.BootstrapTokenRequest{Seed: seed, Write: write})
	require.NoError(t, err)
	again, err := calls.Tokens.Bootstrap(t.Context(), &hoistv1.BootstrapTokenRequest{Seed: seed, Write: write})
	require.NoError(t, err, "the answer was lost, the token is not")
	require.True(t, again.GetReceipt().GetReplayed())
	require.Equal(t, first.GetSecret(), again.GetSecret())
	_, err = calls.Tokens.Bootstrap(t.Context(), &hoistv1.BootstrapTokenRequest{})
	require.Equal(t, connect.CodeAlreadyExists, connect.CodeOf(err))
	_, err = calls.Tokens.Bootstrap(t.Context(), &hoistv1.BootstrapTokenRequest{Seed: []byte("short")})
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
	require.NotContains(t, first.GetToken().String(), first.GetSecret())

	own, err := client.OpenServices(client.ServicesConfig{Address: web.URL, Token: first.GetSecret()})
	require.NoError(t, err)
	_, err = own.Tokens.Revoke(t.Context(), &hoistv1.RevokeTokenRequest{Id: first.GetToken().GetId()})
	require.NoError(t, err)
	_, err = own.Tokens.List(t.Context(), &hoistv1.ListTokensRequest{})
	require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(err))
	require.Equal(t, "AUTH_TOKEN", client.Info(err).GetCode())
}

// What is left to the law is left to it for people; the token in a browser gets no further than the door.
func TestProgramsDoNotKnockWherePeopleDo(t *testing.T) {
	n := golden(t)
	web, server := serve(t, n, guarded)
	cli, srv := n.token(t, "cli", clientGrant()), n.token(t, "srv", serverGrant())
	for pattern := range server.Asked() {
		method, path, plain := strings.Cut(pattern, " ")
		if !plain || !server.ByLaw(pattern) {
			continue
		}
		path = strings.NewReplacer("{key}", "banner", "{id}", "some", "{move}", "approve", "{$}", "").Replace(path)
		for _, token := range []string{cli, srv} {
			a := do(t, method, web.URL+path+"?source=dev&target=staging", "{}", append(bearer(token), "X-Tenant-ID", "default")...)
			require.Equal(t, http.StatusForbidden, a.status, "%s: %s", pattern, a.body)
		}
	}
	calls, err := client.OpenServices(client.ServicesConfig{Address: web.URL, Token: cli})
	require.NoError(t, err)
	_, err = calls.Tokens.Revoke(t.Context(), &hoistv1.RevokeTokenRequest{Id: tokenID("srv")})
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	_, err = calls.Tokens.Revoke(t.Context(), &hoistv1.RevokeTokenRequest{Id: tokenID("cli")})
	require.NoError(t, err, "but any token may end itself")
}

// S1-02: promotions ask for the tenant by name, with and without tokens.
func TestPromotionsWantTheirTenantNamed(t *testing.T) {
	n := golden(t)
	n.write(t, fsm.CreateTenant{Tenant: "acme"})
	web, _ := serve(t, n, guarded)
	open, _ := serve(t, n)
	ann := n.token(t, "ann", fsm.Grant{Role: fsm.RoleViewer})
	const promotions = "/api/v1/config/promotions"
	requireCode(t, do(t, "GET", web.URL+promotions, "", bearer(ann)...), 400, "VAL_TENANT_REQUIRED")
	requireCode(t, do(t, "GET", open.URL+promotions, ""), 400, "VAL_TENANT_REQUIRED")
	requireCode(t, do(t, "GET", web.URL+promotions, ""), 401, "AUTH_REQUIRED")
	requireCode(t, do(t, "GET", web.URL+promotions, "", append(bearer(ann), "X-Tenant-ID", "acme")...), 404, "NOT_FOUND")
	require.Equal(t, 200, do(t, "GET", web.URL+promotions, "", append(bearer(ann), "X-Tenant-ID", "default")...).status)
}

// Who has no token that counts is turned away before anything that was sent is read, whatever it is.
func TestNobodyWithoutATokenIsListenedTo(t *testing.T) {
	web, _ := serve(t, golden(t), guarded)
	for _, path := range []string{"/hoist.v1.ManifestService/Apply", "/hoist.v1.SyncService/Follow", configsImport} {
		a := do(t, "POST", web.URL+path, "{ this is no JSON", "Content-Type", "application/json")
		require.Equal(t, http.StatusUnauthorized, a.status, path)
		require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"), path)
	}
}

const configsImport = "/api/v1/config/configs/import"
