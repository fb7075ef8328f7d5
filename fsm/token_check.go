package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Limits of what a token may say.
const (
	tokenIDLength = 12
	maxOrigins    = 32
	maxGroups     = 32
)

func checkTokenID(id string) evaluator.Problems {
	if len(id) == tokenIDLength && alphanumeric(id) {
		return nil
	}
	return problem("/id", "token.id", fmt.Sprintf("%q is no token id: twelve letters and digits, the third part of a token", id))
}

func alphanumeric(text string) bool {
	for i := range len(text) {
		if c := text[i]; !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') {
			return false
		}
	}
	return true
}

func checkSecretOf(id, hash string) evaluator.Problems {
	problems := checkTokenID(id)
	if _, err := parseDigest(hash); err != nil {
		problems = append(problems, problem("/digest", "token.digest", err.Error())...)
	}
	return problems
}

func checkOwner(owner string) evaluator.Problems {
	if owner == "" {
		return problem("/owner", "command.required", "name the user whom the token belongs to")
	}
	return checkText("/owner", owner, maxActor)
}

func checkBootstrap(c BootstrapToken) evaluator.Problems {
	return append(checkSecretOf(c.ID, c.Digest), checkOwner(c.Owner)...)
}

func checkToken(c CreateToken) evaluator.Problems {
	problems := append(checkSecretOf(c.ID, c.Digest), c.Grant.Check()...)
	if c.For < 0 {
		problems = append(problems, problem("/for", "token.for", "a token cannot have expired before it is made")...)
	}
	return problems
}

// Check judges what a token is to be given, by its kind.
func (g *Grant) Check() evaluator.Problems {
	problems := append(checkOwner(g.Owner), checkText("/email", g.Email, maxActor)...)
	problems = append(problems, checkText("/name", g.Name, maxName)...)
	if !slices.Contains(TokenKinds(), g.Kind) {
		return append(problems, problem("/kind", "token.kind", fmt.Sprintf("%q is no kind of token; the kinds are adm, srv, cli, edg and brk", g.Kind))...)
	}
	for i, key := range g.Environments {
		problems = append(problems, checkKey(fmt.Sprintf("/environments/%d", i), key)...)
	}
	problems = append(problems, g.checkScope()...)
	problems = append(problems, g.checkRole()...)
	return append(problems, g.checkOrigins()...)
}

func (g *Grant) checkScope() evaluator.Problems {
	evaluates := g.Kind == TokenServer || g.Kind == TokenClient
	switch {
	case evaluates && len(g.Environments) != 1:
		return problem("/environments", "token.environments", fmt.Sprintf("a token of kind %s is for exactly one environment", g.Kind))
	case len(g.Environments) > maxEnvironments:
		return problem("/environments", "token.environments", fmt.Sprintf("at most %d environments", maxEnvironments))
	case g.Everywhere && (g.Kind != TokenAdmin || len(g.Environments) > 0):
		return problem("/everywhere", "token.everywhere", "only an adm token without a list of environments is for every tenant")
	case g.Rate > 0 && !evaluates:
		return problem("/rate", "token.rate", "only tokens of kind srv and cli evaluate at a rate")
	}
	return nil
}

func (g *Grant) checkRole() evaluator.Problems {
	var problems evaluator.Problems
	switch {
	case g.Kind == TokenAdmin && !slices.Contains(Roles(), g.Role):
		problems = problem("/role", "token.role", fmt.Sprintf("%q is no role; the roles are viewer, editor, approver, operator and admin", g.Role))
	case g.Kind != TokenAdmin && g.Role != "":
		problems = problem("/role", "token.role", fmt.Sprintf("a token of kind %s has no role; leave it out", g.Kind))
	}
	if g.ActAs && g.Kind != TokenAdmin {
		problems = append(problems, problem("/actAs", "token.act-as", "only an adm token acts for users")...)
	}
	if len(g.Groups) > maxGroups || len(g.Groups) > 0 && g.Kind != TokenAdmin {
		problems = append(problems, problem("/groups", "token.groups", fmt.Sprintf("an adm token is in at most %d groups, others in none", maxGroups))...)
	}
	for i, group := range g.Groups {
		problems = append(problems, checkKey(fmt.Sprintf("/groups/%d", i), group)...)
	}
	return problems
}

// checkOrigins wants what a browser sends in the header Origin; the port may be * for programs on one's own machine.
func (g *Grant) checkOrigins() evaluator.Problems {
	if len(g.Origins) == 0 {
		return nil
	}
	if g.Kind != TokenClient || len(g.Origins) > maxOrigins {
		return problem("/origins", "token.origins", fmt.Sprintf("at most %d origins, of a token of kind cli", maxOrigins))
	}
	for i, origin := range g.Origins {
		if !validOrigin(origin) {
			return problem(fmt.Sprintf("/origins/%d", i), "token.origins",
				fmt.Sprintf("%q is no origin; write scheme and host as https://app.example.com, without a path", origin))
		}
	}
	return nil
}

func validOrigin(origin string) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok || scheme != "https" && scheme != "http" || host == "" || len(host) > maxName {
		return false
	}
	if name, port, found := strings.Cut(host, ":"); found && port == "*" {
		return name == "localhost" || name == "127.0.0.1"
	}
	return strings.IndexFunc(host, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || strings.ContainsRune(".-:[]", r))
	}) < 0
}
