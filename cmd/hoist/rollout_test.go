package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// planFile writes a plan for the flag beta.
func planFile(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.yaml")
	require.NoError(t, os.WriteFile(path, []byte("kind: RolloutPlan\nname: beta\nflag: beta\ntarget: {variant: \"on\"}\n"+body), 0o600))
	return path
}

// S3-10: the pipeline's codes: completed 0, rolled back 6, paused 10, time over 7, frozen 5, a broken plan 2.
func TestPipelineCodesOfARollout(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	quick := planFile(t, "steps: [{setWeight: 10}, {hold: 1s}]\nanalysis: none\n")
	manual := planFile(t, "steps: [{setWeight: 10}, {hold: {}}]\nanalysis: none\n")
	slow := planFile(t, "steps: [{setWeight: 10}, {hold: 1h}]\nanalysis: none\n")

	require.Contains(t, does(t, "rollout", "start", "-f", quick, "--dry-run"), "fits the flag")
	got := refuses(t, exitPaused, "needs a person: hold", "rollout", "start", "-f", manual, "--wait")
	var r record
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Equal(t, "paused", r.Verdict)
	require.InDelta(t, 10, r.Weight, 0)
	refuses(t, exitConflict, "belongs to rollout/"+r.Rollout, "rollout", "start", "-f", quick)
	require.Contains(t, does(t, "rollout", "abort", r.Rollout, "--reason", "test"), "aborted at revision")
	require.Contains(t, does(t, "rollout", "abort", r.Rollout), "already so")
	refuses(t, exitRolledBack, "was aborted: test", "rollout", "status", r.Rollout, "--wait")
	refuses(t, exitConflict, "retry", "rollout", "promote", r.Rollout)
	does(t, "rollout", "retry", r.Rollout)
	refuses(t, exitTimeout, "goes on", "rollout", "status", r.Rollout, "--wait", "--wait-through-pause", "--timeout", "300ms")

	does(t, "env", "freeze", "--reason", "incident 7", "--for", "2h")
	refuses(t, exitConflict, "incident 7", "rollout", "promote", r.Rollout)
	require.Contains(t, does(t, "flag", "kill", "--all-rollouts", "--reason", "incident 7"), "1 rollout(s) of dev ended")
	does(t, "env", "unfreeze")
	refuses(t, exitUsage, "/steps/0/setWeight", "rollout", "start", "-f", planFile(t, "steps: [{setWeight: 200}]\n"))

	out := does(t, "rollout", "start", "-f", slow, "-o", "json")
	require.Contains(t, out, `"phase": "progressing"`)
	id := strings.TrimPrefix(strings.Fields(does(t, "rollout", "list", "--live", "-o", "name"))[0], "rollout/")
	require.Contains(t, does(t, "rollout", "status", id), "hold 1h0m0s")
	does(t, "rollout", "promote", id, "--full", "--reason", "verified by hand")
	require.Contains(t, does(t, "rollout", "explain", id), "an override")
	require.Contains(t, does(t, "eval", "beta", "-c", "targetingKey=u"), "true   on")
	require.Contains(t, does(t, "rollout", "start", "-f", quick), "nothing to roll out")
	require.Contains(t, does(t, "rollout", "watch", id, "-o", "json"), `"kind":"completed"`)
	require.Contains(t, does(t, "rollout", "history", id), "completed")
}

// S3-05, S4-07: a poisoned canary is taken back, and explain names the metric, the values and the rule.
func TestExplainNamesMetricValuesAndRule(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"errors": 0.31, "cohort": %q}`, r.URL.Path)
	}))
	defer provider.Close()
	plan := planFile(t, `steps: [{setWeight: 10}, {hold: 1h}]
analysis:
  background:
    metrics:
      - {name: error-rate, interval: 1s, failureLimit: 1, failureCondition: result > 0.05, web: {url: "`+provider.URL+`/{{args.cohort}}", jsonPath: $.errors}}
`)
	got := refuses(t, exitRolledBack, "metric error-rate is Failed", "rollout", "start", "-f", plan, "--wait")
	var r record
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Equal(t, "rolled_back", r.Verdict)
	require.Equal(t, "error-rate", r.Metrics[0].Name)
	require.EqualValues(t, 2, r.Metrics[0].Failed)
	told := does(t, "rollout", "explain", r.Rollout)
	for _, words := range []string{"rule D2", "0.31 Failed", "fails if: result > 0.05", provider.URL + "/on", "derived again: Failed, because more failures than failureLimit"} {
		require.Contains(t, told, words)
	}
}

// Every verdict follows again from the record; another plan is tried on the same answers.
func TestReplayJudgesAgain(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"errors": 0.31}`) }))
	defer provider.Close()
	plan := func(limit string) string {
		return planFile(t, `steps: [{setWeight: 10}, {hold: 1h}]
analysis: {background: {metrics: [{name: error-rate, interval: 1s, failureCondition: result > `+limit+`, web: {url: "`+provider.URL+`/{{args.cohort}}", jsonPath: $.errors}}]}}
`)
	}
	got := refuses(t, exitRolledBack, "error-rate", "rollout", "start", "-f", plan("0.05"), "--wait")
	var r record
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	told := does(t, "rollout", "replay", r.Rollout)
	require.Contains(t, told, "again rollback by D2")
	require.Contains(t, told, "the chain of the records is whole")
	require.NotContains(t, told, "doubt")
	require.Contains(t, does(t, "rollout", "replay", r.Rollout, "--policy", plan("0.5")), "by the other plan: nothing by D7")
	refuses(t, exitFailed, "it has 1 steps", "rollout", "replay", r.Rollout, "--policy", planFile(t, "steps: [{approval: {}}]\nanalysis: none\n"))
	refuses(t, exitNotFound, "no such rollout", "rollout", "replay", "none")
}

// S0-22: with its data directory a node tells every answer of a rollout, as the provider gave it, and judges it again.
func TestExplainAllTellsEveryAnswer(t *testing.T) {
	dev(t, "--data-dir", t.TempDir())
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	asked := 0
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprintf(w, `{"errors": %g, "answer": %d}`, []float64{0.01, 0.02, 0.31}[min(asked-1, 2)], asked)
	}))
	defer provider.Close()
	plan := planFile(t, `steps: [{setWeight: 10}, {hold: 1h}]
analysis: {background: {metrics: [{name: error-rate, interval: 1s, failureLimit: 1, failureCondition: result > 0.05, web: {url: "`+provider.URL+`/{{args.cohort}}", jsonPath: $.errors}}]}}
`)
	got := refuses(t, exitRolledBack, "error-rate", "rollout", "start", "-f", plan, "--wait")
	var r record
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	told := does(t, "rollout", "explain", r.Rollout, "--all")
	for _, words := range []string{`answer: {"errors": 0.01, "answer": 1}`, `answer: {"errors": 0.31, "answer": 4}`, "error-rate asks: " + provider.URL + "/on",
		"rolled_back", "decided again: rollback by rule D2", "4 answer(s) judged again, 4 of them from the providers' own bytes"} {
		require.Contains(t, told, words)
	}
	require.Contains(t, does(t, "rollout", "history", r.Rollout, "--all"), "run 1, error-rate: 0.31 Failed")
	require.Len(t, strings.Fields(does(t, "rollout", "history", r.Rollout, "--all", "-o", "name")), 7, "three events and four answers")
	refuses(t, exitNotFound, "no such rollout", "rollout", "explain", "none", "--all")
}

// Without a data directory there is nothing to tell from.
func TestExplainAllNeedsFiles(t *testing.T) {
	dev(t)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	does(t, "rollout", "start", "-f", planFile(t, "steps: [{setWeight: 10}, {hold: {}}]\nanalysis: none\n"))
	id := strings.TrimPrefix(strings.Fields(does(t, "rollout", "list", "-o", "name"))[0], "rollout/")
	refuses(t, exitFailed, "no data directory", "rollout", "explain", id, "--all")
}

// S0-01, S0-02: the same over REST.
func TestRolloutsOverREST(t *testing.T) {
	base := dev(t)
	does(t, "flag", "create", "beta", "--default", "off", "--enabled")
	call := func(method, path, body string, headers ...string) (int, map[string]any, http.Header) {
		request, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+os.Getenv("HOIST_TOKEN"))
		for i := 0; i+1 < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer func() { require.NoError(t, response.Body.Close()) }()
		data, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		var out map[string]any
		require.NoError(t, json.Unmarshal(data, &out), string(data))
		return response.StatusCode, out, response.Header
	}
	plan := `{"name":"beta","flag":"beta","target":{"variant":"on"},"steps":[{"setWeight":10},{"hold":{}}],"analysis":"none"}`
	status, out, header := call("POST", "/api/v1/rollouts", plan, "Idempotency-Key", "k1")
	require.Equal(t, http.StatusCreated, status, out)
	path := header.Get("Location")
	again, _, second := call("POST", "/api/v1/rollouts", plan, "Idempotency-Key", "k1")
	require.Equal(t, http.StatusCreated, again, "a retry is answered like the first")
	require.Equal(t, path, second.Get("Location"))

	status, out, _ = call("GET", path, "")
	require.Equal(t, http.StatusOK, status)
	require.InDelta(t, 10, out["weight"], 0)
	status, out, _ = call("POST", "/api/v1/rollouts", plan)
	require.Equal(t, http.StatusConflict, status, out)
	status, out, _ = call("POST", "/api/v1/rollouts", strings.Replace(plan, `"analysis":"none"`, `"onFailure":"x"`, 1))
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Equal(t, "/onFailure", out["errors"].([]any)[0].(map[string]any)["field"])
	status, _, _ = call("POST", path+"/abort", `{"reason":"over"}`)
	require.Equal(t, http.StatusOK, status)
	status, out, _ = call("POST", path+"/resume", "")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, out["detail"], "aborted")
	does(t, "env", "freeze", "--reason", "incident")
	status, _, _ = call("POST", path+"/retry", "")
	require.Equal(t, http.StatusLocked, status)
	does(t, "env", "unfreeze")
	status, _, _ = call("POST", path+"/retry", "")
	require.Equal(t, http.StatusOK, status)
	status, out, _ = call("POST", path+"/promote", `{"full":true,"reason":"seen"}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "completed", out["rollout"].(map[string]any)["phase"])
	status, out, _ = call("GET", "/api/v1/rollouts", "")
	require.Equal(t, http.StatusOK, status)
	require.Len(t, out["rollouts"], 1)
	status, _, _ = call("GET", "/api/v1/rollouts/none", "")
	require.Equal(t, http.StatusNotFound, status)
}
