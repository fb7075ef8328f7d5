package transport_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
)

// everyProcedure walks the schema as reflection shows it, as far as its services are served.
func everyProcedure(server *transport.Server) map[string]protoreflect.MethodDescriptor {
	served := map[string]bool{}
	for pattern := range server.Asked() {
		if service, _, ok := strings.Cut(strings.TrimPrefix(pattern, "/"), "/"); ok {
			served[service] = true
		}
	}
	all := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("hoist.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if !served[string(service.FullName())] {
				continue
			}
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				all["/"+string(service.FullName())+"/"+string(method.Name())] = method
			}
		}
		return true
	})
	return all
}

// S1-02: nothing is served that does not say what it asks of its callers.
func TestEveryProcedureAndRouteDeclaresItsPermission(t *testing.T) {
	_, server := serve(t, newNode(t), guarded)
	declared := server.Asked()
	procedures := everyProcedure(server)
	require.Greater(t, len(procedures), 60)
	for procedure := range procedures {
		require.Contains(t, declared, procedure)
	}
	var public []string
	for pattern, verb := range declared {
		if verb == "public" {
			public = append(public, pattern)
			continue
		}
		_, known := fsm.PermissionOf(verb)
		require.True(t, known, "%s asks for %q", pattern, verb)
	}
	slices.Sort(public)
	require.Equal(t, []string{"/", "/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/",
		"GET /api/v1/openapi.json", "GET /healthz", "GET /metrics", "GET /readyz"}, public, "what needs no token is a short list that somebody has looked at")
}

func TestAServerWithARouteOfNoPermissionIsNotBuilt(t *testing.T) {
	n := newNode(t)
	err := transport.TryRoutes(n.store, n, "GET /api/v1/secret", "flag.eat")
	require.ErrorContains(t, err, "GET /api/v1/secret declares no permission")
	require.ErrorContains(t, transport.TryService(n.store, n, "/hoist.v1.NoService/"), "no service of the schema")
}

// asRole is a token by role and one by kind, with all of its own tenant, and the same of another tenant.
func everyToken(t *testing.T, n *node) map[string]string {
	t.Helper()
	n.write(t, fsm.CreateTenant{Tenant: "acme"})
	all := map[string]string{}
	for _, tenant := range []string{"default", "acme"} {
		for _, role := range fsm.Roles() {
			all[tenant+" "+string(role)] = n.token(t, tenant[:1]+string(role), fsm.Grant{Tenant: tenant, Role: role})
		}
		for _, kind := range fsm.TokenKinds()[1:] {
			all[tenant+" "+string(kind)] = n.token(t, tenant[:1]+"x"+string(kind), fsm.Grant{Tenant: tenant, Kind: kind, Environments: []string{"dev"}})
		}
	}
	all["root"] = n.token(t, "root", fsm.Grant{Role: fsm.RoleAdmin, Everywhere: true})
	return all
}

// S1-02, S0-21: every procedure for every role and kind of token, of its own tenant and of another one, generated from
// what the procedures declare. A request is empty: whoever may gets past the door and is told what is missing.
func TestWhoGetsPastTheDoor(t *testing.T) {
	n := newNode(t)
	tokens := everyToken(t, n)
	web, server := serve(t, n, guarded)
	declared := server.Asked()
	for procedure, method := range everyProcedure(server) {
		verb := declared[procedure]
		for name, token := range tokens {
			held, _ := n.store.State().Token(strings.Split(token, "_")[2])
			for _, tenant := range []string{"default", "acme"} {
				if streams(method) || verb == (fsm.BootstrapToken{}).Verb() || server.ByLaw(procedure) {
					continue // they have tests of their own
				}
				a := do(t, http.MethodPost, web.URL+procedure, "{}", "Content-Type", "application/json", "Authorization", "Bearer "+token, "X-Tenant-ID", tenant)
				allowed := held.Allows(verb, fsm.Target{Tenant: tenant, Environment: "dev"})
				denied := a.status == http.StatusForbidden && strings.Contains(a.body, "PERM_DENIED")
				hidden := a.status == http.StatusNotFound && strings.Contains(a.body, "for this token")
				require.NotEqual(t, http.StatusUnauthorized, a.status, "%s by %s", procedure, name)
				require.Equal(t, kind(allowed) == fsm.KindDenied, denied, "%s by %s in %s: %s", procedure, name, tenant, a.body)
				require.Equal(t, kind(allowed) == fsm.KindNotFound, hidden, "%s by %s in %s: %s", procedure, name, tenant, a.body)
			}
		}
		a := do(t, http.MethodPost, web.URL+procedure, "{}", "Content-Type", "application/json")
		if !streams(method) && verb != (fsm.BootstrapToken{}).Verb() {
			require.Equal(t, http.StatusUnauthorized, a.status, procedure)
			require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"), procedure)
		}
	}
}

func streams(m protoreflect.MethodDescriptor) bool {
	return m.IsStreamingServer() || m.IsStreamingClient()
}

// Streams are refused before their first message, with an answer of status 200 whose end says why.
func TestWhoDoesNotGetAStream(t *testing.T) {
	n := newNode(t)
	tokens := everyToken(t, n)
	web, server := serve(t, n, guarded)
	refused := 0
	for procedure, method := range everyProcedure(server) {
		if !streams(method) {
			continue
		}
		open := func(headers ...string) answer {
			return do(t, http.MethodPost, web.URL+procedure, "\x00\x00\x00\x00\x02{}", append([]string{"Content-Type", "application/connect+json"}, headers...)...)
		}
		require.Contains(t, open().body, `"unauthenticated"`, procedure)
		for name, token := range tokens {
			held, _ := n.store.State().Token(strings.Split(token, "_")[2])
			for _, tenant := range []string{"default", "acme"} {
				err := held.Allows(server.Asked()[procedure], fsm.Target{Tenant: tenant, Environment: "dev"})
				if err == nil || server.ByLaw(procedure) && kind(err) == fsm.KindDenied {
					continue
				}
				code := map[fsm.Kind]string{fsm.KindDenied: `"permission_denied"`, fsm.KindNotFound: `"not_found"`}[kind(err)]
				require.Contains(t, open("Authorization", "Bearer "+token, "X-Tenant-ID", tenant).body, code, "%s by %s in %s", procedure, name, tenant)
				refused++
			}
		}
	}
	require.Greater(t, refused, 30)
}

func kind(err error) fsm.Kind {
	if err == nil {
		return ""
	}
	return err.(*fsm.Error).Kind //nolint:errorlint // Allows returns nothing else
}

// The same for every route of plain HTTP.
func TestWhoGetsPastTheRoutes(t *testing.T) {
	n := newNode(t)
	tokens := everyToken(t, n)
	web, server := serve(t, n, guarded)
	for pattern, verb := range server.Asked() {
		method, path, plain := strings.Cut(pattern, " ")
		if !plain || verb == "public" || server.ByLaw(pattern) {
			continue
		}
		path = strings.NewReplacer("{key}", "checkout", "{id}", "some-id", "{move}", "abort", "{part}", "versions").Replace(path)
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		for name, token := range tokens {
			held, _ := n.store.State().Token(strings.Split(token, "_")[2])
			for _, tenant := range []string{"default", "acme"} {
				a := do(t, method, web.URL+path+"?environment=dev", "{}", "Authorization", "Bearer "+token, "X-Tenant-ID", tenant)
				allowed := held.Allows(verb, fsm.Target{Tenant: tenant, Environment: "dev"})
				require.NotEqual(t, http.StatusUnauthorized, a.status, "%s by %s", pattern, name)
				switch kind(allowed) {
				case fsm.KindDenied:
					requireCode(t, a, http.StatusForbidden, "PERM_DENIED")
				case fsm.KindNotFound:
					requireCode(t, a, http.StatusNotFound, "NOT_FOUND")
					require.Contains(t, a.body, "for this token", "%s by %s in %s", pattern, name, tenant)
				default:
					require.NotContains(t, a.body, "for this token", "%s by %s in %s", pattern, name, tenant)
				}
			}
		}
		a := do(t, method, web.URL+path, "{}")
		requireCode(t, a, http.StatusUnauthorized, "AUTH_REQUIRED")
		require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"), pattern)
	}
}
