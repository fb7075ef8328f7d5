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

// S4-12: a spent error budget freezes the environment by itself; the command tells the numbers.
func TestASpentErrorBudgetFreezesAndSaysSo_S4_12(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	spent := atomic.Bool{}
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := "0"
		if err := r.ParseForm(); err == nil && spent.Load() && strings.Contains(r.Form.Get("query"), "[2592000s]") {
			value = "0.002"
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,%q]}]}}`, value)
	}))
	defer prometheus.Close()
	spent.Store(true)
	path := file(t, "budget.yaml", "objective: 0.999\naddress: "+prometheus.URL+"\nbad: sum(rate(e[{{window}}]))\ntotal: sum(rate(t[{{window}}]))\n")
	refuses(t, exitUsage, "/bad", "env", "budget", "-f", file(t, "bad.yaml", "objective: 0.999\naddress: "+prometheus.URL+"\nbad: e\ntotal: t[{{window}}]\n"))
	does(t, "env", "budget", "-f", path)
	require.Eventually(t, func() bool {
		return strings.Contains(does(t, "env", "budget"), "exhausted: 200.0% of the budget of 30 days")
	}, 10*time.Second, 20*time.Millisecond)
	require.Contains(t, does(t, "env", "budget"), "frozen     environment by pilot until the budget recovers")
	plan := planFile(t, "steps: [{setWeight: 10}, {hold: {}}]\nanalysis: none\n")
	refuses(t, exitConflict, "error budget is spent", "rollout", "start", "-f", plan)
	require.Contains(t, does(t, "env", "budget", "--remove"), "has no error budget")
	does(t, "rollout", "start", "-f", plan)

	does(t, "env", "freeze", "--flag", "beta", "--reason", "legal")
	require.Contains(t, does(t, "env", "budget"), "frozen     flag beta")
	does(t, "env", "unfreeze", "--flag", "beta")
	require.Contains(t, does(t, "env", "freeze", "--whole", "tenant", "--window", "--reason", "release day"), "the whole tenant frozen")
	refuses(t, exitConflict, "release day", "rollout", "promote", strings.TrimPrefix(strings.Fields(does(t, "rollout", "list", "-o", "name"))[0], "rollout/"))
	does(t, "env", "unfreeze", "--whole", "tenant")
	refuses(t, exitUsage, "exclude each other", "env", "freeze", "--whole", "tenant", "--flag", "beta", "--reason", "r")
}
