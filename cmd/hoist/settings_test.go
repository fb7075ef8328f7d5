package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeUnder writes a file below dir, with the folders it needs.
func writeUnder(dir, name, text string) error {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

func TestSettingsComeFromTheFirstThatHasThem(t *testing.T) {
	path := file(t, "hoist.yaml", "http: 127.0.0.1:1001\npeer: 127.0.0.1:1002\nbootstrap_expect: 3\njoin: [127.0.0.1:7]\n")
	t.Setenv("HOIST_SERVER__HTTP", "127.0.0.1:2001")
	t.Setenv("HOIST_SERVER__GOSSIP", "127.0.0.1:2003")
	t.Setenv("HOIST_SERVER__JOIN", "127.0.0.1:8, 127.0.0.1:9")

	got := does(t, "config", "check", "--config", path, "--gossip", "127.0.0.1:3003")
	from := map[string]string{}
	for line := range strings.Lines(got) {
		if cells := strings.Fields(line); len(cells) > 2 {
			from[cells[0]] = cells[1] + " " + cells[len(cells)-1]
		}
	}
	require.Equal(t, "127.0.0.1:2001 environment", from["http"])
	require.Equal(t, "127.0.0.1:1002 "+path, from["peer"])
	require.Equal(t, "127.0.0.1:3003 flag", from["gossip"])
	require.Equal(t, "lan default", from["profile"])

	var values map[string]any
	require.NoError(t, json.Unmarshal([]byte(does(t, "config", "check", "--config", path, "-o", "json", "--join", "a:1,b:2")), &values))
	require.Equal(t, []any{"a:1", "b:2"}, values["join"])
	require.EqualValues(t, 3, values["bootstrap_expect"])
}

func TestSettingsAreStrict(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		args  []string
		words string
	}{
		"an unknown key names its line": {"http: 127.0.0.1:1\npeeer: x\n", nil, `:2: there is no setting "peeer"`},
		"a list at the top":             {"- http\n", nil, "settings are a mapping"},
		"a wrong type":                  {"bootstrap_expect: many\n", nil, "bootstrap_expect"},
		"no port":                       {"http: localhost\n", nil, "host:port"},
		"an unknown profile":            {"", []string{"--profile", "moon"}, "neither lan nor wan"},
		"an open door for everybody":    {"", []string{"--http", "0.0.0.0:7700", "--insecure-no-auth"}, "can be reached from other machines"},
		"open peers without a key":      {"", []string{"--peer", "10.0.0.1:7701"}, "without a key"},
		"a key that is none":            {"", []string{"--gossip-key-file", file(t, "key", "abc")}, "64 hex digits"},
		"a size that is none":           {"disk_reserve: plenty\n", nil, `disk_reserve: "plenty" is not a size`},
		"a pair that is none":           {"", []string{"--dial-via", "10.0.0.1:7701"}, "not MEMBER=OTHER"},
		"an unknown log level":          {"log_level: loud\n", nil, "loud"},
		"a negative number of servers":  {"bootstrap_expect: -1\n", nil, "bootstrap_expect"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"config", "check", "--config", file(t, "hoist.yaml", c.file)}, c.args...)
			refuses(t, exitFailed, c.words, args...)
		})
	}
	t.Run("an unknown variable", func(t *testing.T) {
		t.Setenv("HOIST_SERVER__HTPP", "x")
		refuses(t, exitFailed, "HOIST_SERVER__HTPP names no setting", "config", "check")
	})
	does(t, "config", "check", "--http", "0.0.0.0:7700", "--peer", "10.0.0.1:7701", "--insecure")
	refuses(t, exitFailed, "--insecure-no-auth", "dev", "--http", "0.0.0.0:0", "--insecure-no-auth")
}
