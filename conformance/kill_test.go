package conformance

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/stretchr/testify/require"
)

const checkout = `flags:
  - key: checkout
    type: string
    enabled: true
    clientVisible: true
    variants: [{key: classic, value: classic}, {key: express, value: express}]
    off: classic
    default: {variant: express}
`

// S3-09: a running program changes its answer without being deployed or restarted.
// A killed flag serves its off variant to every client; for a disabled one Go programs use the default in their code.
func TestAKilledFlagReachesARunningClient(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "flags.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte(checkout), 0o600))
	running := start(t, manifest)
	client := clientOf(t, running, t.Name())
	about := openfeature.NewEvaluationContext("user-1", nil)
	ask := func() openfeature.StringEvaluationDetails {
		got, err := client.StringValueDetails(context.Background(), "checkout", "in-code", about)
		require.NoError(t, err)
		return got
	}

	require.Equal(t, "express", ask().Value)

	running.hoist(t, "flag", "kill", "checkout", "--reason", "payment errors")
	killed := ask()
	require.Equal(t, "classic", killed.Value)
	require.Equal(t, openfeature.StaticReason, killed.Reason)

	running.hoist(t, "flag", "unkill", "checkout")
	require.Equal(t, "express", ask().Value)

	running.hoist(t, "flag", "disable", "checkout")
	disabled := ask()
	require.Equal(t, "in-code", disabled.Value)
	require.Equal(t, openfeature.DisabledReason, disabled.Reason)
}

// S1-02: a program whose token is revoked gets its own defaults and is told why; one with another token goes on.
func TestAProgramWithARevokedTokenIsRefused(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "flags.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte(checkout), 0o600))
	running := start(t, manifest)
	leaver := running
	leaver.backend = running.hoist(t, "token", "create", "--kind", "srv", "--name", "leaver")
	ask := func(c *openfeature.Client) (openfeature.StringEvaluationDetails, error) {
		return c.StringValueDetails(context.Background(), "checkout", "in-code", openfeature.NewEvaluationContext("user-1", nil))
	}
	stays, leaves := clientOf(t, running, t.Name()+"-stays"), clientOf(t, leaver, t.Name()+"-leaves")
	got, err := ask(leaves)
	require.NoError(t, err)
	require.Equal(t, "express", got.Value)

	running.hoist(t, "token", "revoke", leaver.backend, "--reason", "left")
	got, err = ask(leaves)
	require.ErrorContains(t, err, "auth")
	require.Equal(t, "in-code", got.Value)
	got, err = ask(stays)
	require.NoError(t, err)
	require.Equal(t, "express", got.Value)
}
