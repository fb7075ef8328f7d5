package evaluator_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// caseFile is one file of testdata/cases; its README says what the members mean.
type caseFile struct {
	About    string            `json:"about"`
	Flags    []json.RawMessage `json:"flags"`
	Segments []json.RawMessage `json:"segments"`
	Cases    []struct {
		Name    string          `json:"name"`
		Flag    string          `json:"flag"`
		Context json.RawMessage `json:"context"`
		Expect  expectation     `json:"expect"`
	} `json:"cases"`
}

type expectation struct {
	Value     json.RawMessage `json:"value"`
	Variant   string          `json:"variant"`
	Reason    string          `json:"reason"`
	RuleID    string          `json:"ruleId"`
	Label     string          `json:"label"`
	ErrorCode string          `json:"errorCode"`
}

func readCases(t testing.TB, path string) (caseFile, *evaluator.Snapshot) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var file caseFile
	require.NoError(t, json.Unmarshal(data, &file))
	var texts []string
	for _, definition := range append(file.Flags, file.Segments...) {
		texts = append(texts, string(definition))
	}
	return file, snapshotOf(t, texts...)
}

func (e expectation) check(t testing.TB, r evaluator.Result) {
	t.Helper()
	require.Equal(t, e.Reason, string(r.Reason), "reason of %+v", r)
	require.Equal(t, e.ErrorCode, string(r.ErrorCode), "error code")
	require.Equal(t, e.Variant, r.Variant, "variant")
	require.Equal(t, e.RuleID, r.RuleID, "rule")
	require.Equal(t, e.Label, r.Label, "label")
	require.Equal(t, e.Value != nil, r.HasValue, "has a value")
	require.EqualValues(t, 7, r.Revision, "revision")
	if e.Value != nil {
		require.JSONEq(t, string(e.Value), string(r.Value.AppendJSON(nil)))
	}
}

// S0-10, S2-06, S2-08, S2-12, S2-14, S2-15, S2-16: the contract. On the way every case shows that an explanation ends
// in the same result, that what travels to an edge evaluates alike, and that evaluation allocates nothing.
func TestCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/cases/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		file, snapshot := readCases(t, path)
		edge := recompile(t, snapshot)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			for _, c := range file.Cases {
				t.Run(c.Name, func(t *testing.T) {
					context := parseContext(t, string(c.Context))
					result := snapshot.Evaluate(c.Flag, context)
					c.Expect.check(t, result)
					require.Equal(t, result, edge.Evaluate(c.Flag, context), "from records")
					require.Equal(t, result, snapshot.Explain(c.Flag, context).Result, "explained")
					requireOutcome(t, snapshot, c.Flag, context, result)
					requireNoAllocations(t, func() { snapshot.Evaluate(c.Flag, context) })
				})
			}
		})
	}
}

// requireOutcome shows that the shared result is the same and one of those that the flag names.
func requireOutcome(t testing.TB, s *evaluator.Snapshot, key string, c *evaluator.Context, want evaluator.Result) {
	t.Helper()
	flag, _, ok := s.Flag(key)
	if !ok {
		return
	}
	shared := s.Outcome(flag, c)
	if flag.Archived() {
		require.Nil(t, shared)
		return
	}
	require.Contains(t, flag.Outcomes(), shared)
	require.Same(t, shared, s.Outcome(flag, c))
	require.Contains(t, []*evaluator.Result{nil, shared}, flag.Constant())
	got := *shared
	got.Revision = want.Revision
	require.Equal(t, want, got)
}

// recompile builds the snapshot anew from what Follow carries.
func recompile(t testing.TB, s *evaluator.Snapshot) *evaluator.Snapshot {
	changes := evaluator.Changes{Revision: s.Revision()}
	for _, f := range s.Flags() {
		again := compileFlag(t, string(f.Record()))
		require.Equal(t, string(f.Record()), string(again.Record()))
		changes.Flags = append(changes.Flags, again)
	}
	for _, segment := range s.Segments() {
		changes.Segments = append(changes.Segments, compileSegment(t, string(segment.Record())))
	}
	return evaluator.EmptySnapshot("edge").With(changes)
}
