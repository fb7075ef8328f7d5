package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/rollout"
)

// S3-10, S25: the script of examples/pipeline with its plan, only quicker: a build is green when the canary is healthy and
// red when it is not, and either way the record says what happened.
func TestTheExamplePipelineIsRedWhenItsCanaryFails_S3_10(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell here")
	}
	plan, err := os.ReadFile("../../examples/pipeline/checkout.yaml")
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "hoist"), []byte("#!/bin/sh\nBE_HOIST=1 exec '"+self+"' \"$@\"\n"), 0o700))

	for name, c := range map[string]struct {
		candidate string // share of errors of its cohort
		code      int
		words     string
		verdict   string
	}{
		"a healthy canary":     {"0.001", exitDone, "released", "completed"},
		"a poisoned canary":    {"0.4", exitRolledBack, "taken back", "rolled_back"},
		"one between the two":  {"0.03", exitPaused, "waits for a person", "paused"},
		"more time than there": {"0.001", exitTimeout, "goes on", "holding"},
	} {
		t.Run(name, func(t *testing.T) {
			prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				value := "0.001"
				if r.ParseForm() == nil && strings.Contains(r.Form.Get("query"), `hoist_variant="on"`) {
					value = c.candidate
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,%q]}]}}`, value)
			}))
			defer prometheus.Close()
			dev(t)
			does(t, "flag", "create", "new-checkout", "--default", "off", "--enabled")
			quick := strings.NewReplacer("http://127.0.0.1:9090", prometheus.URL, "initialDelay: 60s", "initialDelay: 0s", "interval: 30s", "interval: 1s",
				"hold: 10m", "hold: 1s", "hold: 30m", "hold: 1s", "hold: 15m", "hold: 1s").Replace(string(plan))
			timeout := "1m"
			if c.code == exitTimeout {
				quick, timeout = strings.Replace(quick, "hold: 1s", "hold: 1h", 1), "2s"
			}
			script := exec.CommandContext(t.Context(), shell, "../../examples/pipeline/release.sh", file(t, "plan.yaml", quick))
			script.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TIMEOUT="+timeout)
			var stderr strings.Builder
			script.Stderr = &stderr
			stdout, err := script.Output()
			var exit *exec.ExitError
			code := 0
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, c.code, code, "%s", &stderr)
			require.Contains(t, stderr.String(), c.words)
			var r record
			require.NoError(t, json.Unmarshal(stdout, &r), "%s", stdout)
			require.Equal(t, c.verdict, r.Verdict)
			if c.code == exitRolledBack {
				require.Contains(t, r.Cause, "metric error-rate is Failed")
				require.Contains(t, stderr.String(), "error-rate", "the build's log names the metric")
			}
		})
	}
}

// What --help shows can be copied: the plan and the budget read as they stand.
func TestPlanAndBudgetOfTheHelpAreSound(t *testing.T) {
	indented := func(help, from string) []byte {
		var out []string
		for line := range strings.Lines(help[strings.Index(help, from):]) {
			if !strings.HasPrefix(line, "  ") {
				break
			}
			out = append(out, strings.TrimPrefix(line, "  "))
		}
		return []byte(strings.Join(out, ""))
	}
	_, err := rollout.ParsePlan(indented(does(t, "rollout", "start", "--help"), "  kind: RolloutPlan"))
	require.NoError(t, err)
	_, err = rollout.ParseBudget(indented(does(t, "env", "budget", "--help"), "  objective:"))
	require.NoError(t, err)
}
