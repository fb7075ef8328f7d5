package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withToken runs the rest of the test with another token.
func withToken(t *testing.T, token string) { t.Helper(); t.Setenv("HOIST_TOKEN", token) }

func TestTokensAreMadeListedAndRevoked(t *testing.T) {
	dev(t)
	root := os.Getenv("HOIST_TOKEN")
	does(t, "flag", "create", "checkout", "--enabled")
	editor := strings.TrimSpace(does(t, "token", "create", "--kind", "adm", "--role", "editor", "--owner", "ann", "-e", "dev", "--name", "laptop"))
	require.Regexp(t, `^hst_adm_[A-Za-z0-9]{12}_[A-Za-z0-9]{49}$`, editor)
	require.Contains(t, does(t, "token", "list"), "laptop")
	var shown struct{ Token map[string]any }
	require.NoError(t, json.Unmarshal([]byte(does(t, "token", "show", editor, "-o", "json")), &shown), "a whole token stands for its id")
	require.Equal(t, "ann", shown.Token["owner"])
	require.Equal(t, []any{"dev"}, shown.Token["environments"])

	withToken(t, editor)
	does(t, "flag", "disable", "checkout")
	refuses(t, exitDenied, "needs operator", "flag", "kill", "checkout")
	refuses(t, exitDenied, "not for \"production\"", "flag", "create", "x", "-e", "production")
	refuses(t, exitDenied, "needs admin", "token", "list")
	refuses(t, exitDenied, "needs admin", "token", "create", "--kind", "srv")
	refuses(t, exitNotFound, "no tenant", "flag", "list", "--tenant", "acme")
	require.Equal(t, "env/dev\n", does(t, "env", "list", "-o", "name"), "others are not its business")

	withToken(t, root)
	require.Contains(t, does(t, "token", "revoke", editor, "--reason", "lost"), "revoked at revision")
	require.Contains(t, does(t, "token", "list", "--all"), "lost")
	require.NotContains(t, does(t, "token", "list"), "laptop")
	withToken(t, editor)
	refuses(t, exitDenied, "was revoked", "flag", "list")
	withToken(t, "hst_adm_typo")
	refuses(t, exitDenied, "was cut", "flag", "list")
}

func TestTheFirstTokenComesOnceAndSaysWhatToDoThen(t *testing.T) {
	dev(t)
	withToken(t, "")
	refuses(t, exitConflict, "hoist token create", "token", "bootstrap")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	refuses(t, exitDenied, "hoist token bootstrap", "flag", "list")
}

func TestCommandsFindTheTokenThatDevLeft(t *testing.T) {
	url := dev(t)
	withToken(t, "")
	does(t, "flag", "list")
	path := savedTokenPath(url)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	require.Equal(t, filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "hoist", "tokens"), filepath.Dir(path))
	require.Empty(t, savedTokenPath("http://flags.example.com"), "a token is not sent where others may answer")
}

func TestDevThatKeepsItsStateKeepsItsTokens(t *testing.T) {
	data := t.TempDir()
	var first string
	t.Run("first start", func(t *testing.T) {
		dev(t, "--data-dir", data)
		first = os.Getenv("HOIST_TOKEN")
		does(t, "flag", "create", "kept")
	})
	require.Empty(t, savedToken("127.0.0.1:7700"))
	t.Run("second start", func(t *testing.T) {
		dev(t, "--data-dir", data)
		require.Equal(t, first, os.Getenv("HOIST_TOKEN"))
		does(t, "flag", "get", "kept")
	})
}

func TestADoorWithoutTokensAsksNobody(t *testing.T) {
	dev(t, "--insecure-no-auth")
	does(t, "flag", "create", "checkout")
	does(t, "token", "create", "--kind", "adm", "--role", "admin", "--everywhere", "--owner", "ann") // the way back for who lost the first
	refuses(t, exitConflict, "hoist token create", "token", "bootstrap")
}

func TestBreakingGlassNeedsAReason(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "checkout", "--enabled")
	withToken(t, strings.TrimSpace(does(t, "token", "create", "--kind", "brk", "--owner", "ann")))
	does(t, "flag", "get", "checkout")
	refuses(t, exitFailed, "reason", "flag", "kill", "checkout")
	does(t, "flag", "kill", "checkout", "--reason", "payment errors")
	refuses(t, exitDenied, "kind brk", "flag", "unkill", "checkout", "--comment", "fixed")
}
