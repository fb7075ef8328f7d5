package conformance

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport/client"
	hoist "github.com/hoistflags/hoist/transport/openfeature"
)

// inProcess sets our own provider, which evaluates in this process.
func inProcess(t *testing.T, s server, domain string) *openfeature.Client {
	t.Helper()
	return follow(t, client.Config{Addr: s.url, Token: s.backend}, domain)
}

func follow(t *testing.T, cfg client.Config, domain string) *openfeature.Client {
	t.Helper()
	provider := hoist.NewProvider(cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, openfeature.SetNamedProviderWithContextAndWait(ctx, domain, provider))
	t.Cleanup(func() { require.NoError(t, provider.ShutdownWithContext(context.Background())) })
	return openfeature.NewClient(domain)
}

// heard collects the events of one kind.
func heard(t *testing.T, c *openfeature.Client, kind openfeature.EventType) <-chan openfeature.EventDetails {
	t.Helper()
	out := make(chan openfeature.EventDetails, 16)
	callback := func(d openfeature.EventDetails) { out <- d }
	c.AddHandler(kind, &callback)
	return out
}

func within(t *testing.T, events <-chan openfeature.EventDetails, what string) openfeature.EventDetails {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(30 * time.Second):
		require.Fail(t, "no event", what)
		return openfeature.EventDetails{}
	}
}

// A program on our provider hears of a change with the key that it touches, of a server that is gone and of stale data,
// and goes on evaluating; with a cache file it starts without a server.
func TestProviderTellsWhatHappens(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "flags.yaml")
	require.NoError(t, os.WriteFile(manifest, []byte(checkout), 0o600))
	running, stop := startUntil(t, manifest)
	cfg := client.Config{Addr: running.url, Token: running.backend, CacheFile: filepath.Join(t.TempDir(), "flags"), StaleAfter: 6 * time.Second}
	c := follow(t, cfg, t.Name())
	ask := func(c *openfeature.Client) string {
		got, err := c.StringValue(context.Background(), "checkout", "in-code", openfeature.NewEvaluationContext("user-1", nil))
		require.NoError(t, err)
		return got
	}
	require.Equal(t, "express", ask(c))
	changed := heard(t, c, openfeature.ProviderConfigChange)
	lost := heard(t, c, openfeature.ProviderError)
	stale := heard(t, c, openfeature.ProviderStale)

	running.hoist(t, "flag", "kill", "checkout", "--reason", "payment errors")
	require.Equal(t, []string{"checkout"}, within(t, changed, "configuration changed").FlagChanges)
	require.Equal(t, "classic", ask(c))

	stop()
	within(t, lost, "error")
	within(t, stale, "stale")
	require.Equal(t, "classic", ask(c), "what was known is still served")

	require.NoError(t, openfeature.SetNamedProviderWithContextAndWait(t.Context(), t.Name(), openfeature.NoopProvider{}))
	require.Eventually(t, func() bool { _, err := os.Stat(cfg.CacheFile); return err == nil }, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, "classic", ask(follow(t, cfg, t.Name()+"-again")), "a restart without a server")
}
