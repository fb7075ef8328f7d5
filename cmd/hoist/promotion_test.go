package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// second makes a token of another person and lets the test become them; become goes back and forth.
func second(t *testing.T, owner, role string) (token string) {
	t.Helper()
	return strings.TrimSpace(does(t, "token", "create", "--kind", "adm", "--role", role, "--owner", owner))
}

// field reads one member of an answer as JSON.
func memberText(t *testing.T, text string, path ...string) string {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal([]byte(text), &value), text)
	for _, name := range path {
		object, ok := value.(map[string]any)
		require.True(t, ok, "%s has no %s", text, name)
		value = object[name]
	}
	out, _ := value.(string)
	return out
}

// S1-03, S1-07: dev to staging to production in five commands, one of them by a second person.
func TestFromDevToProductionInFiveCommands(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "checkout", "--owner", "payments")
	does(t, "env", "policy", "-e", "staging", "--approvals", "0")
	bob := second(t, "bob", "approver")

	require.Contains(t, does(t, "promotion", "create", "--from", "dev", "--to", "staging", "--execute"), "COMPLETED") // 1
	made := does(t, "promotion", "create", "--from", "staging", "--to", "production", "--validate", "-o", "json")     // 2
	id := memberText(t, made, "promotion", "id")
	require.Equal(t, "VALIDATED", memberText(t, made, "promotion", "status"))
	refuses(t, exitDenied, "ask somebody else", "promotion", "approve", id)
	refuses(t, exitConflict, "it has 0 of 1 approvals", "promotion", "execute", id)
	shown := does(t, "promotion", "approve", id, "--token", bob) // 3
	require.Contains(t, shown, "+ flag checkout: new, boolean")
	require.Contains(t, does(t, "promotion", "execute", id), "COMPLETED") // 4
	require.Contains(t, does(t, "flag", "list", "-e", "production"), "checkout")
	require.Contains(t, does(t, "promotion", "rollback", id), "ROLLED_BACK") // 5
	require.NotContains(t, does(t, "flag", "list", "-e", "production"), "checkout")

	require.Contains(t, does(t, "promotion", "get", id), "rollback by")
	require.Contains(t, does(t, "promotion", "list", "--to", "production"), "ROLLED_BACK")
	got := hoist(t, "promotion", "diff", "--from", "staging", "--to", "production")
	require.Equal(t, exitDifferent, got.code)
	require.Contains(t, got.stdout, "+ flag checkout")
	require.Zero(t, hoist(t, "promotion", "diff", "--from", "dev", "--to", "staging").code)
	require.Empty(t, does(t, "promotion", "drift", "-e", "staging"))
	does(t, "flag", "enable", "checkout", "-e", "staging")
	require.Contains(t, does(t, "promotion", "drift", "-e", "staging"), "~ flag checkout: enabled false → true")
}

// S1-17: a protected environment says how to open a change, and takes it once somebody else approved.
func TestAProtectedEnvironmentTakesChanges(t *testing.T) {
	dev(t)
	got := refuses(t, exitConflict, "production is protected", "flag", "create", "checkout", "-e", "production")
	require.Contains(t, got.stderr, "--change TITLE")
	bob := second(t, "bob", "approver")
	opened := does(t, "flag", "create", "checkout", "-e", "production", "--change", "a new checkout", "-o", "json")
	id := memberText(t, opened, "receipt", "changeId")
	require.NotEmpty(t, id)
	require.Empty(t, does(t, "flag", "list", "-e", "production", "-o", "name"))
	require.Contains(t, does(t, "change", "list", "--open"), "a new checkout")
	require.Contains(t, does(t, "change", "get", id), "+ flag checkout")
	refuses(t, exitDenied, "ask somebody else", "change", "approve", id)
	does(t, "change", "request-changes", id, "--comment", "name an owner", "--token", bob)
	does(t, "flag", "create", "checkout", "--owner", "payments", "-e", "production", "--edit-change", id)
	does(t, "change", "approve", id, "--token", bob)
	require.Contains(t, does(t, "change", "apply", id), "APPLIED")
	require.Contains(t, does(t, "flag", "get", "checkout", "-e", "production", "-o", "json"), "payments")
	refuses(t, exitConflict, "APPLIED", "change", "apply", id)

	require.Contains(t, does(t, "flag", "kill", "checkout", "-e", "production", "--reason", "errors"), "killed")
	require.Contains(t, does(t, "env", "policy", "-e", "production"), "protected                      yes")
	does(t, "env", "policy", "-e", "production", "--protected=false", "--max-step", "25")
	does(t, "flag", "unkill", "checkout", "-e", "production")
	refuses(t, exitFailed, "would rise by 100%", "flag", "enable", "checkout", "-e", "production")
}
