package fsm_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// declaredVerbs reads the verbs out of the source, so that a new command cannot be forgotten: every constant called verb…
// or Verb…, and every move of a rollout.
func declaredVerbs(t *testing.T) map[string]string {
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	verbs := map[string]string{}
	for _, entry := range files {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.ValueSpec); ok && len(s.Values) == len(s.Names) {
				collectVerbs(verbs, s)
			}
			return true
		})
	}
	return verbs
}

func collectVerbs(verbs map[string]string, s *ast.ValueSpec) {
	for i, name := range s.Names {
		literal, ok := s.Values[i].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			continue
		}
		text, _ := strconv.Unquote(literal.Value)
		move, isMove := s.Type.(*ast.Ident)
		switch {
		case isMove && move.Name == "Move" && name.Name != "MoveThaw" && name.Name != "MoveSupersede": // which the law itself makes
			verbs["rollout."+text] = name.Name
		case isMove && move.Name == "ChangeMove" && name.Name != "ChangeMoveOpen": // which are commands of their own
			verbs["change."+text] = name.Name
		case strings.HasPrefix(strings.ToLower(name.Name), "verb"):
			verbs[text] = name.Name
		}
	}
}

func TestEveryVerbHasAPermission(t *testing.T) {
	declared := declaredVerbs(t)
	require.Greater(t, len(declared), 40)
	for verb, constant := range declared {
		_, ok := fsm.PermissionOf(verb)
		require.True(t, ok, "%s (%q) has no row in the table of permissions", constant, verb)
	}
	for _, verb := range fsm.Verbs() {
		require.Contains(t, declared, verb, "a row without a verb")
		p, _ := fsm.PermissionOf(verb)
		require.NotZero(t, p.Reach, verb)
		require.Equal(t, p.Reach == fsm.ReachSystem || p.Reach == fsm.ReachOpen || verb == fsm.VerbReportUse, p.Role == "", verb)
	}
	require.False(t, fsm.RoleAdmin.Includes(""), "what no role may, the highest may not either")
	require.Error(t, fsm.Can(newNode(t).store.State(), fsm.Actor{Kind: fsm.ActorSystem}, "flag.eat", fsm.Target{}))
}

// S1-02, S0-21: every verb, every kind and role of token, in its own tenant and environment, in another environment, and in
// another tenant, where everything must look as if there were nothing.
func TestWhoMayDoWhat(t *testing.T) {
	n := newNode(t)
	n.do(fsm.CreateTenant{Tenant: "acme"})
	actors := map[string]fsm.Actor{}
	for _, role := range fsm.Roles() {
		actors[string(role)] = n.grantToken(string(role), fsm.Grant{Role: role})
		actors[string(role)+" of dev"] = n.grantToken("dev"+string(role), fsm.Grant{Role: role, Environments: []string{"dev"}})
	}
	for _, kind := range fsm.TokenKinds()[1:] {
		actors[string(kind)] = n.grantToken(string(kind), fsm.Grant{Kind: kind, Environments: []string{"dev"}})
	}
	actors["root"] = n.grantToken("root", fsm.Grant{Role: fsm.RoleAdmin, Everywhere: true})
	own, beside, foreign := fsm.Target{Tenant: "default", Environment: "dev"}, fsm.Target{Tenant: "default", Environment: "production"}, fsm.Target{Tenant: "acme", Environment: "dev"}
	for _, verb := range fsm.Verbs() {
		for name, a := range actors {
			token, _ := n.store.State().Token(a.Token)
			require.Equal(t, expected(verb, token, own), kindOf(fsm.Can(n.store.State(), a, verb, own)), "%s by %s", verb, name)
			require.Equal(t, expected(verb, token, beside), kindOf(fsm.Can(n.store.State(), a, verb, beside)), "%s by %s beside", verb, name)
			require.Equal(t, expected(verb, token, foreign), kindOf(fsm.Can(n.store.State(), a, verb, foreign)), "%s by %s elsewhere", verb, name)
		}
	}
}

// expected says the same as Can in other words.
func expected(verb string, token *fsm.Token, target fsm.Target) fsm.Kind {
	p, _ := fsm.PermissionOf(verb)
	if p.Reach == fsm.ReachOpen {
		return ""
	}
	if p.Reach == fsm.ReachSystem {
		return fsm.KindDenied
	}
	if p.Reach != fsm.ReachCluster && target.Tenant != token.Tenant && !token.Everywhere {
		return fsm.KindNotFound
	}
	role := token.Role
	if token.Kind == fsm.TokenBreakGlass {
		role = fsm.RoleViewer
	}
	may := role.Includes(p.Role)
	for _, kind := range p.Also {
		may = may || kind == token.Kind
	}
	all := len(token.Environments) == 0
	switch p.Reach {
	case fsm.ReachEnvironment:
		may = may && (all || token.Environments[0] == target.Environment)
	case fsm.ReachTenant:
		may = may && all
	case fsm.ReachCluster:
		may = may && token.Everywhere
	}
	if may {
		return ""
	}
	return fsm.KindDenied
}

func kindOf(err error) fsm.Kind {
	if err == nil {
		return ""
	}
	return err.(*fsm.Error).Kind //nolint:errorlint // Can returns nothing else
}
