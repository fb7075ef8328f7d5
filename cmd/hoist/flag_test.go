package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// S4-01: a flag that was just created serves its off value.
func TestAFlagFromDarkToKilledAndBack(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "checkout", "--owner", "payments", "--tag", "shop")
	require.Contains(t, does(t, "eval", "checkout", "-c", "targetingKey=u"), "false  off      DISABLED")

	require.Contains(t, does(t, "flag", "enable", "checkout", "--wait"), "enabled at revision")
	require.Contains(t, does(t, "eval", "checkout"), "true   on       STATIC")
	require.Contains(t, does(t, "flag", "enable", "checkout"), "already so")

	does(t, "flag", "kill", "checkout", "--reason", "errors")
	require.Contains(t, does(t, "eval", "checkout"), "false  off")
	require.Contains(t, does(t, "flag", "list"), "killed")

	does(t, "flag", "unkill", "checkout")
	require.Contains(t, does(t, "eval", "checkout"), "true   on")

	does(t, "flag", "archive", "checkout")
	refuses(t, exitNotFound, "try: hoist flag list", "eval", "checkout")
	require.NotContains(t, does(t, "flag", "list"), "checkout")
	require.Contains(t, does(t, "flag", "list", "--archived"), "archived")
	does(t, "flag", "archive", "checkout", "--undo")

	does(t, "flag", "delete", "checkout")
	refuses(t, exitNotFound, "checkout", "flag", "get", "checkout")
}

func TestADeletedFlagComesBackFromItsHistory(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "timeout", "--kind", "config", "--type", "string", "--value", "10s")
	does(t, "flag", "set", "timeout", "--value", "60s", "--comment", "slow provider")
	does(t, "flag", "delete", "timeout")

	var history struct {
		Versions []struct {
			Revision uint64
			Verb     string
			Record   json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal([]byte(does(t, "flag", "history", "timeout", "-o", "json")), &history))
	require.Len(t, history.Versions, 3)
	require.Empty(t, history.Versions[0].Record, "the newest version is the deletion")

	first := history.Versions[2]
	require.Contains(t, string(first.Record), `"10s"`)
	does(t, "flag", "restore", "timeout", "--revision", revisionText(first.Revision))
	require.Contains(t, does(t, "eval", "timeout"), "10s")
}

func TestSetChangesWhatIsNamedAndKeepsTheRest(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "theme", "--type", "string", "--variant", "light=bright", "--variant", "dark=dusk",
		"--off", "light", "--default", "dark", "--enabled", "--owner", "web")
	require.Contains(t, does(t, "eval", "theme"), "dusk")

	does(t, "flag", "set", "theme", "--split", "light=25%,dark=75%", "--description", "Colours")
	got := does(t, "flag", "get", "theme", "-o", "yaml")
	require.Contains(t, got, "owner: web")
	require.Contains(t, got, "description: Colours")
	require.Contains(t, got, "salt: theme/default")
	require.Contains(t, does(t, "flag", "get", "theme"), "light 25%, dark 75%")
	require.Contains(t, does(t, "eval", "theme", "-c", "targetingKey=user-1"), "SPLIT")
	does(t, "flag", "set", "theme", "--split", "light=30%,dark=70%")
	require.Contains(t, does(t, "flag", "get", "theme"), "light 30%, dark 70%")
}

func TestWritesAreGuarded(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "guarded")

	refuses(t, exitConflict, "guarded", "flag", "create", "guarded")
	refuses(t, exitConflict, "try:", "flag", "enable", "guarded", "--if-revision", "1")
	refuses(t, exitNotFound, "try:", "flag", "enable", "nobody")
	require.Contains(t, does(t, "flag", "enable", "guarded", "--dry-run"), "nothing changed")
	require.Contains(t, does(t, "flag", "list"), "off: off", "a dry run changes nothing")
	refuses(t, exitFailed, "/default/variant", "flag", "create", "bad", "--type", "string", "--variant", "a=b", "--default", "nope")
}

func TestListsFilterAndPrintEveryFormat(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "one", "--tag", "red")
	does(t, "flag", "create", "two", "--owner", "web")

	require.Equal(t, "flag/one\nflag/two\n", does(t, "flags", "list", "-o", "name"))
	require.Equal(t, "flag/one\n", does(t, "flag", "list", "--tag", "red", "-o", "name"))
	require.Equal(t, "flag/two\n", does(t, "flag", "list", "--owner", "web", "-o", "name"))
	require.Equal(t, "flag/two\n", does(t, "flag", "list", "--query", "tw", "-o", "name"))
	require.Contains(t, does(t, "flag", "list", "-o", "wide"), "OWNER")
	require.NotContains(t, does(t, "flag", "list"), "OWNER")
	var list struct{ Flags []any }
	require.NoError(t, json.Unmarshal([]byte(does(t, "flag", "list", "-o", "json")), &list))
	require.Len(t, list.Flags, 2)
	refuses(t, exitUsage, "-o xml", "flag", "list", "-o", "xml")
}

func TestADefinitionFromAFile(t *testing.T) {
	dev(t)
	path := file(t, "flag.yaml", "key: from-file\ntype: number\nenabled: true\nvariants: [{key: few, value: 3}]\noff: few\ndefault: {variant: few}\n")
	does(t, "flag", "create", "-f", path)
	require.Contains(t, does(t, "eval", "from-file"), "3")
	refuses(t, exitUsage, "not \"other\"", "flag", "set", "other", "-f", path)
	refuses(t, exitFailed, "colour", "flag", "create", "-f", file(t, "bad.yaml", "key: x\ntype: boolean\ncolour: red\n"))
}

func TestParseWeights(t *testing.T) {
	got, err := parseWeights("on=10%, off=0.9")
	require.NoError(t, err)
	require.Equal(t, "on", got[0].GetVariant())
	require.EqualValues(t, 10_000, got[0].GetWeight())
	require.EqualValues(t, 90_000, got[1].GetWeight())
	for _, bad := range []string{"", "on", "on=x", "on=-1%", "on=0.0001%", "on=101%"} {
		_, err := parseWeights(bad)
		require.Error(t, err, bad)
	}
}

func TestFiltersOfTheCommandLine(t *testing.T) {
	dev(t, shop)
	all := does(t, "flag", "list", "-o", "name")
	require.Equal(t, all, does(t, "flag", "list", "key:*", "-o", "name"))
	require.Equal(t, "flag/new-checkout\n", does(t, "flag", "list", "key:new-check???", "kind:flag", "-o", "name"))
	require.Equal(t, "flag/new-checkout\n", does(t, "flag", "list", "new-checkout", "-o", "name"))
	require.Empty(t, does(t, "flag", "list", "key:new-checkout", "owner:nobody", "-o", "name"))
	require.Empty(t, does(t, "flag", "list", "tag:none", "-o", "name"))
	refuses(t, exitUsage, `"colour:red" is no filter`, "flag", "list", "colour:red")
	refuses(t, exitUsage, "two filters for key", "flag", "list", "key:a", "key:b")
}
