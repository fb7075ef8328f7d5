package conformance

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cucumber/godog"
	"github.com/open-feature/go-sdk-contrib/providers/ofrep"
	"github.com/open-feature/go-sdk/openfeature"
	"github.com/stretchr/testify/require"
)

// exclusion names scenarios that test the client library and never depend on a server. Tags pick them out of the file:
// a scenario is left out when it carries all of them.
type exclusion struct {
	scenario string
	tags     []string
	why      string
}

func exclusions() []exclusion {
	return []exclusion{
		{"Provider not ready error", []string{"@provider-status", "@spec-2.2.7"}, "the state of a provider is the client's"},
		{"Provider in fatal state error", []string{"@provider-status-fatal"}, "the state of a provider is the client's"},
		{"Provider status accessibility", []string{"@provider-status", "@spec-1.7.1"}, "the state of a provider is the client's"},
		{"Type mismatch error", []string{"@error-handling-types", "@objects"}, "the Go SDK takes any value for an object; the server sends the value it has"},
		{"CACHED reason", []string{"@reason-codes-cached"}, "the Go OFREP provider does not cache"},
		{"Evaluation options with hooks", []string{"@hooks"}, "hooks run in the client"},
		{"Evaluation context immutability", []string{"@immutability"}, "contexts are values of the client"},
		{"Asynchronous flag evaluation", []string{"@async"}, "the Go SDK has no asynchronous calls"},
	}
}

func TestEvaluationFeature(t *testing.T) {
	runFeature(t, "evaluation.feature", clientOf, (*world).first)
}

func TestEvaluationV2Feature(t *testing.T) {
	runFeature(t, "evaluation_v2.feature", clientOf, (*world).second)
}

func TestEvaluationFeatureInProcess(t *testing.T) {
	runFeature(t, "evaluation.feature", inProcess, (*world).first)
}

func TestEvaluationV2FeatureInProcess(t *testing.T) {
	runFeature(t, "evaluation_v2.feature", inProcess, (*world).second)
}

// runFeature runs one file and accounts for each of its scenarios.
func runFeature(t *testing.T, file string, open func(*testing.T, server, string) *openfeature.Client, steps func(*world, *godog.ScenarioContext)) {
	path := suite(t, file)
	manifest, flags := importSuite(t, suite(t, "test-flags.json"))
	running := start(t, manifest)
	client := open(t, running, t.Name())

	ran := 0
	godogSuite := godog.TestSuite{
		Name: file,
		ScenarioInitializer: func(s *godog.ScenarioContext) {
			ran++
			steps(&world{client: client}, s)
		},
		Options: &godog.Options{Format: "pretty", NoColors: true, Output: &quietUnlessFailed{t: t}, Strict: true, TestingT: t, Paths: []string{path}},
	}
	total, skipped := account(t, godogSuite)
	godogSuite.Options.Tags = filter()
	require.Zero(t, godogSuite.Run(), "scenarios failed")

	want := counts(t)
	require.Equal(t, want.Flags, flags, "flags imported")
	require.Equal(t, want.Files[file], total, "scenarios in the file")
	require.Equal(t, want.Files[file], ran+skipped, "scenarios run and excluded")
	t.Logf("%s: %d scenarios ran, %d excluded by name", file, ran, skipped)
}

// account counts the scenarios of the file and those that the filter leaves out. A filter that catches a scenario of
// another name fails the test.
func account(t *testing.T, s godog.TestSuite) (total, skipped int) {
	t.Helper()
	features, err := s.RetrieveFeatures()
	require.NoError(t, err)
	for _, feature := range features {
		for _, pickle := range feature.Pickles {
			total++
			var tags []string
			for _, tag := range pickle.Tags {
				tags = append(tags, tag.Name)
			}
			out := false
			for _, e := range exclusions() {
				if e.catches(tags) {
					require.True(t, out || named(pickle.Name, tags), "%q would be left out by %v without a reason", pickle.Name, e.tags)
					out = true
				}
			}
			if out {
				skipped++
			}
		}
	}
	return total, skipped
}

func (e exclusion) catches(tags []string) bool {
	for _, tag := range e.tags {
		if !slices.Contains(tags, tag) {
			return false
		}
	}
	return true
}

// named says whether an exclusion with this scenario's name catches it.
func named(scenario string, tags []string) bool {
	return slices.ContainsFunc(exclusions(), func(e exclusion) bool { return e.scenario == scenario && e.catches(tags) })
}

// filter is the exclusions in godog's language: && between terms, a comma is "or".
func filter() string {
	var terms []string
	for _, e := range exclusions() {
		terms = append(terms, "~"+strings.Join(e.tags, ",~"))
	}
	return strings.Join(terms, " && ")
}

// clientOf sets the stock provider under a name of its own, so that tests do not share one.
func clientOf(t *testing.T, s server, domain string) *openfeature.Client {
	t.Helper()
	require.NoError(t, openfeature.SetNamedProviderWithContextAndWait(context.Background(), domain, ofrep.NewProvider(s.url, ofrep.WithBearerToken(s.backend))))
	return openfeature.NewClient(domain)
}

type suiteCounts struct {
	Files map[string]int `json:"files"`
	Flags int            `json:"flags"`
}

func counts(t *testing.T) suiteCounts {
	t.Helper()
	data, err := os.ReadFile(suite(t, "counts.json"))
	require.NoError(t, err)
	var c suiteCounts
	require.NoError(t, json.Unmarshal(data, &c))
	return c
}

// quietUnlessFailed keeps the report of hundreds of passing steps out of the output.
type quietUnlessFailed struct {
	t    *testing.T
	text strings.Builder
}

func (q *quietUnlessFailed) Write(p []byte) (int, error) { return q.text.Write(p) }

func (q *quietUnlessFailed) Close() error {
	if q.t.Failed() {
		q.t.Log(q.text.String())
	}
	return nil
}
