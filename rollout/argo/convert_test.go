package argo_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout/argo"
)

// samples finds the folder of Argo examples beside the module; tests that need it are skipped without it.
func samples(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for range 6 {
		if at := filepath.Join(dir, "..", "shared", "data", "argo"); exists(filepath.Join(dir, "go.mod")) && exists(at) {
			return at
		}
		dir = filepath.Dir(dir)
	}
	t.Skip("the Argo examples are not beside this module")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var ours = []byte(`{web: {url: "http://m/{{args.cohort}}"}, successCondition: "result == 1"}`)

func providers() map[string][]byte {
	return map[string][]byte{"random-fail": ours, "sleep-job": ours, "sleep-job-rep": ours}
}

func input(t *testing.T, file string) argo.Input {
	data, err := os.ReadFile(filepath.Join(samples(t), file))
	require.NoError(t, err)
	return argo.Input{File: file, Data: data, Flag: "f", Variant: "on", Lenient: true, Providers: providers(),
		Args: map[string]string{"rev": "1", "secret-url": "http://config.example.com/{{args.cohort}}"}}
}

// The steps of every example come out one to one.
func TestExamplesConvertStepByStep(t *testing.T) {
	var index struct {
		Files []struct {
			File      string
			Documents []struct {
				Kind, Name, Strategy string
				Steps                []struct {
					Weight   *float64
					Hold     string
					Analysis any
				}
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(samples(t), "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &index))
	converted := 0
	for _, f := range index.Files {
		for _, d := range f.Documents {
			if d.Kind != "Rollout" {
				continue
			}
			t.Run(f.File+"/"+d.Name, func(t *testing.T) {
				in := input(t, f.File)
				in.Rollout = d.Name
				plan, notes, err := argo.Convert(in)
				if f.File == "11-bluegreen-failing-gates.yaml" || f.File == "10-bluegreen-pre-and-post-analysis.yaml" || f.File == "12-rollback-window.yaml" {
					require.ErrorContains(t, err, "the file has no AnalysisTemplate", "the template is in another file")
					return
				}
				require.NoError(t, err)
				require.NotEmpty(t, notes)
				converted++
				require.Len(t, plan.Steps, len(d.Steps))
				for i, s := range d.Steps {
					switch {
					case s.Weight != nil:
						require.InDelta(t, *s.Weight, float64(*plan.Steps[i].SetWeight)/1000, 1e-9)
					case s.Hold == "indefinite":
						require.True(t, plan.Steps[i].Hold.Forever())
					case s.Hold != "":
						var want fsm.Duration
						require.NoError(t, want.UnmarshalText([]byte(s.Hold)))
						require.Equal(t, want, plan.Steps[i].Hold.For)
					default:
						require.NotEmpty(t, plan.Steps[i].Analysis.Metrics)
					}
				}
			})
		}
	}
	require.GreaterOrEqual(t, converted, 6)
}

func TestArgumentsBecomeNumbersAndDurations(t *testing.T) {
	plan, notes, err := argo.Convert(input(t, "06-background-args-starting-step.yaml"))
	require.NoError(t, err)
	m := plan.Analysis.Background.Metrics[0]
	require.Equal(t, 1, plan.Analysis.Background.StartingStep)
	require.Equal(t, fsm.Duration(10_000), m.Interval)
	require.Equal(t, fsm.Duration(10_000), m.InitialDelay)
	require.Equal(t, 2, m.FailureLimit)
	require.Equal(t, `result == "It worked!"`, m.SuccessCondition)
	require.Equal(t, "$.message", m.Web.JSONPath)
	require.Contains(t, notes, "Secret example-secret has no meaning for flags and was skipped")
	require.Contains(t, notes, "no metric uses the argument inconclusive-limit")
}

// What has no meaning is refused by name and line, never dropped.
func TestWhatHasNoMeaningIsRefusedByName(t *testing.T) {
	for field, text := range map[string]string{
		"spec.strategy.canary.trafficRouting":          "  strategy:\n    canary:\n      trafficRouting: {nginx: {}}\n      steps: [{setWeight: 5}, {pause: {}}]\n",
		"spec.strategy.canary.steps[1].setCanaryScale": "  strategy:\n    canary:\n      steps: [{setWeight: 5}, {setCanaryScale: {replicas: 1}}, {pause: {}}]\n",
		"spec.strategy.canary.steps[1].experiment":     "  strategy:\n    canary:\n      steps: [{setWeight: 5}, {experiment: {}}]\n",
		"spec.workloadRef":                             "  workloadRef: {name: x}\n  strategy:\n    canary:\n      steps: [{setWeight: 5}, {pause: {}}]\n",
		"spec.strategy.canary.steps[0].setMirrorRoute": "  strategy:\n    canary:\n      steps: [{setMirrorRoute: {}}, {setWeight: 5}, {pause: {}}]\n",
	} {
		data := "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\nspec:\n" + text
		_, _, err := argo.Convert(argo.Input{File: "r.yaml", Data: []byte(data), Flag: "f", Variant: "on"})
		var refused argo.Refusals
		require.ErrorAs(t, err, &refused, field)
		require.Equal(t, field, refused[0].Field)
		require.Positive(t, refused[0].Line)
	}
}

func TestPodsAreRefusedUnlessLenient(t *testing.T) {
	in := input(t, "01-canary-steps.yaml")
	in.Lenient = false
	_, _, err := argo.Convert(in)
	require.ErrorContains(t, err, "spec.replicas")
	require.ErrorContains(t, err, "--lenient")
	in = input(t, "04-inline-analysis.yaml")
	in.Providers = nil
	_, _, err = argo.Convert(in)
	require.ErrorContains(t, err, "no provider job")
}

func TestWhatIsNoYAMLIsSaidWithItsFile(t *testing.T) {
	_, _, err := argo.Convert(argo.Input{File: "r.yaml", Data: []byte("a: [1"), Flag: "f", Variant: "on"})
	require.ErrorContains(t, err, "r.yaml:1: it is no YAML")
}
