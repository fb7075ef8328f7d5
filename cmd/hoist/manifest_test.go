package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestApplyDiffAndExportAgree(t *testing.T) {
	dev(t)
	got := refuses(t, exitDifferent, "10 difference(s)", "diff", "-f", shop)
	require.Contains(t, got.stdout, "+ flag new-checkout")
	require.Contains(t, does(t, "apply", "-f", shop, "--dry-run"), "nothing changed")
	require.Empty(t, does(t, "flag", "list", "-o", "name"))

	does(t, "apply", "-f", shop, "--wait")
	require.Empty(t, does(t, "diff", "-f", shop))

	exported := does(t, "export")
	path := file(t, "export.yaml", exported)
	require.Empty(t, does(t, "diff", "-f", path, "--prune"))
	does(t, "apply", "-f", path, "-e", "staging")
	require.Equal(t, exported, does(t, "export", "-e", "staging"))

	does(t, "flag", "create", "extra")
	require.Empty(t, does(t, "diff", "-f", shop), "what the files do not name stays")
	got = refuses(t, exitDifferent, "1 difference(s)", "diff", "-f", shop, "--prune")
	require.Contains(t, got.stdout, "- flag extra")
	does(t, "apply", "-f", shop, "--prune")
	refuses(t, exitNotFound, "extra", "flag", "get", "extra")
}

func TestValidateNamesTheFieldAndNeedsNoServer(t *testing.T) {
	alone(t)
	require.Contains(t, does(t, "validate", "-f", shop), "9 flag(s) and 1 segment(s), all valid")
	for name, c := range map[string]struct{ manifest, words string }{
		"unknown member":           {"flags: [{key: a, type: boolean, colour: red}]", "colour"},
		"weights that do not sum":  {"flags: [{key: a, type: boolean, variants: [{key: t, value: true}], default: {split: {weights: [{variant: t, weight: 5}]}}}]", "weights"},
		"dangling prerequisite":    {"flags: [{key: a, type: boolean, variants: [{key: t, value: true}], default: {variant: t}, prerequisites: [{flag: b, variants: [t]}]}]", "b"},
		"not YAML":                 {"flags: [", "flags.yaml"},
		"unknown top-level member": {"flag: []", "flag"},
	} {
		t.Run(name, func(t *testing.T) {
			got := hoist(t, "validate", "-f", file(t, "flags.yaml", c.manifest))
			require.Equal(t, exitFailed, got.code)
			require.Contains(t, got.stdout+got.stderr, c.words)
		})
	}
	refuses(t, exitFailed, "holds no manifest", "validate", "-f", t.TempDir())
	refuses(t, exitUsage, "--file is missing", "validate")
}

func TestDevKeepsItsStateWhereItIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	t.Run("first life", func(t *testing.T) {
		dev(t, "--data-dir", dir, shop)
		does(t, "flag", "enable", "gift-cards")
	})
	t.Run("second life", func(t *testing.T) {
		dev(t, "--data-dir", dir)
		require.Contains(t, does(t, "eval", "gift-cards"), "STATIC")
	})
	_, err := os.Stat(dir)
	require.NoError(t, err)
}
