package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/rollout/webhook"
)

// A plan tells a receiver: signed, in order, and whoever asks sees how it goes.
func TestARolloutTellsItsReceivers(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	secrets, err := webhook.ParseSecrets(secret)
	require.NoError(t, err)
	heard, down := make(chan string, 100), atomic.Bool{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if down.Load() || err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := webhook.Verify(secrets, r.Header, body, time.Now()); err != nil {
			heard <- err.Error()
			return
		}
		heard <- string(body)
	}))
	defer receiver.Close()
	path := file(t, "webhooks.yaml", fmt.Sprintf("releases: {url: %q, secret_file: %q}\n", receiver.URL, file(t, "secret", secret)))
	dev(t, "--webhooks-file", path)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	refuses(t, exitFailed, "/notify/0", "rollout", "start", "-f", planFile(t, "steps: [{setWeight: 10}, {hold: {}}]\nanalysis: none\nnotify: [webhook:nobody]\n"))

	got := hoist(t, "rollout", "start", "-f", planFile(t, "steps: [{setWeight: 10}, {hold: {}}]\nanalysis: none\nnotify: [webhook:releases]\n"), "--wait")
	require.Equal(t, exitPaused, got.code, got.stderr)
	require.Contains(t, <-heard, `"type":"rollout.started"`)
	require.Contains(t, <-heard, `"reason":"hold","needsHuman":true`)
	var r record
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	id := r.Rollout
	require.Eventually(t, func() bool {
		return strings.Contains(does(t, "rollout", "status", id), "releases: 2 delivered, 0 waiting")
	}, 10*time.Second, 20*time.Millisecond)

	down.Store(true)
	does(t, "rollout", "abort", id)
	require.Eventually(t, func() bool { return strings.Contains(does(t, "rollout", "status", id), "it answers 503") }, 10*time.Second, 20*time.Millisecond)
	down.Store(false)
	require.Contains(t, <-heard, `"type":"rollout.aborted"`)

	refuses(t, exitFailed, "at least 16", "config", "check", "--webhooks-file",
		file(t, "bad.yaml", fmt.Sprintf("releases: {url: %q, secret_file: %q}\n", receiver.URL, file(t, "short", "x"))))
	refuses(t, exitFailed, "webhooks_file", "config", "check", "--webhooks-file", filepath.Join(t.TempDir(), "none"))
}
