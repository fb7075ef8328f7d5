package manifest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

func TestDescribeSaysWhatChanges(t *testing.T) {
	read := func(text string) fsm.Content {
		content, findings := manifest.Parse(source(text))
		require.False(t, findings.Failed(), findings.String())
		return content
	}
	from := read(example)
	to := read(strings.NewReplacer(
		"weight: 25000", "weight: 50000", "weight: 75000", "weight: 50000",
		"    enabled: true\n", "",
		`{key: "in-code"}`, `{key: "third", value: x}`,
		`values: ["3.0.1"]`, `values: ["3.1.0"]`,
		"default: {variant: \"old\"}", "default: {variant: \"new\"}",
		"value: 180s", "value: 90s",
		"include: [user-7]", "include: [user-8, user-9]",
		"{key: payments-v2,", "{key: payments-v2, owner: core,",
	).Replace(example))
	require.Equal(t, []string{
		"flag checkout: enabled true → false",
		"flag checkout: variant third added, \"x\"",
		"flag checkout: variant in-code removed",
		"flag checkout: rule staff: conditions changed",
		"flag checkout: rule beta: weight new 25% → 50%",
		"flag checkout: rule beta: weight old 75% → 50%",
		"flag checkout: default: serves old → new",
		"flag payments-v2: owner (none) → core",
		"flag query.timeout: value \"180s\" → \"90s\"",
		"segment beta-users: included +2 −1",
	}, manifest.Describe(from, to, true))
	require.Empty(t, manifest.Describe(from, from, true))
	require.Equal(t, []string{
		"flag checkout: new, string, enabled, 3 variants, 2 rules",
		"flag payments-v2: new, boolean, enabled, 2 variants, 0 rules",
		"flag query.timeout: new, config \"180s\"",
		"segment beta-users: new, 1 included, 0 excluded, 1 rules",
	}, manifest.Describe(fsm.Content{}, from, true))
	require.Empty(t, manifest.Describe(from, fsm.Content{}, false))
	require.Len(t, manifest.Describe(from, fsm.Content{}, true), 4)
}
