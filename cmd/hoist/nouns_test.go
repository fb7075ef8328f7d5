package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSegmentsGainAndLoseMembers(t *testing.T) {
	dev(t)
	does(t, "segment", "set", "beta", "--include", "u1", "--exclude", "u9")
	does(t, "segment", "add", "beta", "u2", "u3", "u1")
	does(t, "segment", "remove", "beta", "u3")
	got := does(t, "segment", "get", "beta", "-o", "json")
	var answer struct {
		State struct {
			Segment struct{ Include, Exclude []string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got), &answer))
	require.Equal(t, []string{"u1", "u2"}, answer.State.Segment.Include)
	require.Equal(t, []string{"u9"}, answer.State.Segment.Exclude)
	require.Equal(t, "segment/beta\n", does(t, "segments", "list", "-o", "name"))
	require.Contains(t, does(t, "segment", "history", "beta"), "segment.put")

	does(t, "flag", "create", "-f", file(t, "f.yaml",
		"key: f\ntype: boolean\nvariants: [{key: t, value: true}, {key: f, value: false}]\nrules: [{id: r, if: [{operator: segment, values: [beta]}], then: {variant: t}}]\ndefault: {variant: t}\n"))
	refuses(t, exitConflict, "f", "segment", "delete", "beta")
	does(t, "flag", "delete", "f")
	does(t, "segment", "delete", "beta")
	refuses(t, exitNotFound, "hoist segment list", "segment", "get", "beta")
}

func TestEnvironments(t *testing.T) {
	dev(t)
	require.Equal(t, "env/dev\nenv/staging\nenv/production\n", does(t, "env", "list", "-o", "name"))
	does(t, "env", "create", "qa", "--name", "Quality")
	require.Contains(t, does(t, "env", "list", "-o", "wide"), "Quality")
	does(t, "flag", "create", "only-here", "-e", "qa")
	t.Setenv("HOIST_ENV", "qa")
	require.Equal(t, "flag/only-here\n", does(t, "flag", "list", "-o", "name"))
	require.Empty(t, does(t, "flag", "list", "-o", "name", "-e", "dev"), "the flag wins over the variable")
	refuses(t, exitNotFound, "nowhere", "flag", "list", "-e", "nowhere")
}

// A length of time that has no meaning is refused where it is read: -2h would have frozen until somebody unfreezes.
func TestLengthsOfTimeThatHaveNoMeaningAreRefused(t *testing.T) {
	dev(t)
	refuses(t, exitUsage, `"-2h" for "--for" flag: the least is 0s`, "env", "freeze", "--reason", "x", "--for", "-2h")
	refuses(t, exitUsage, "such as 90s, 15m or 2h", "env", "freeze", "--reason", "x", "--for", "2")
	refuses(t, exitUsage, "--expires", "token", "create", "--kind", "srv", "--expires", "-1s")
	refuses(t, exitUsage, "--timeout", "flag", "list", "--timeout", "0")
	require.NotContains(t, does(t, "env", "list", "-o", "yaml"), "frozen")
}

func TestOneNodeShowsItsCluster(t *testing.T) {
	dev(t)
	require.Contains(t, does(t, "cluster", "status"), "quorum     1 of 1 voters; a single voter: it cannot be lost")
	require.Equal(t, "member/dev\n", does(t, "cluster", "members", "-o", "name"))
	require.Contains(t, does(t, "cluster", "snapshot"), "snapshot written at revision")
	require.Contains(t, does(t, "health"), `"ready":true`)
	does(t, "health", "--current", "--wait")
}

func TestNobodyThere(t *testing.T) {
	alone(t)
	refuses(t, exitUnavailable, "no node answers at 127.0.0.1:1", "flag", "list", "--addr", "127.0.0.1:1")
	refuses(t, exitTimeout, "gave up waiting", "health", "--wait", "--timeout", "150ms", "--addr", "127.0.0.1:1")
	refuses(t, exitUnavailable, "hoist dev", "health", "--addr", "http://127.0.0.1:1")
	refuses(t, exitFailed, "not an address", "flag", "list", "--addr", "http://")
}

func TestContextsNameAPlace(t *testing.T) {
	url := dev(t)
	t.Setenv("HOIST_ADDR", "")
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	require.NoError(t, writeUnder(home, "hoist/config.yaml", "current: here\ncontexts:\n  here: {addr: \""+url+"\", env: staging}\n"))
	does(t, "flag", "create", "placed")
	require.Equal(t, "flag/placed\n", does(t, "flag", "list", "-o", "name", "-e", "staging"))
	refuses(t, exitFailed, `no context "there"`, "flag", "list", "--context", "there")
	require.NoError(t, writeUnder(home, "hoist/config.yaml", "contexts: {here: {adr: x}}\n"))
	refuses(t, exitFailed, "adr", "flag", "list")
}
