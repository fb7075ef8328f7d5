package evaluator_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

// That an explanation ends in the result of Evaluate is checked by every case of TestCases; here is what it says.
func TestExplainSaysWhyAndWhyNot(t *testing.T) {
	s := snapshotOf(t,
		`{"key":"checkout","type":"string","enabled":true,"off":"old","variants":[{"key":"old","value":"classic"},{"key":"new","value":"express"}],
		  "prerequisites":[{"flag":"payments","variants":["on"]}],
		  "rules":[
		   {"id":"staff","if":[{"attribute":"email","operator":"ends-with","values":["@example.com"]},{"attribute":"version","operator":"semver-gte","values":["3.0.1"]},{"attribute":"age","operator":"gt","values":[18]}],"then":{"variant":"new"}},
		   {"id":"company","if":[{"operator":"segment","values":["beta"]}],"then":{"split":{"by":"company","salt":"c","weights":[{"variant":"new","weight":100000}]}}},
		   {"id":"beta","if":[{"operator":"segment","values":["beta"]}],"then":{"split":{"salt":"checkout/beta","weights":[{"variant":"new","weight":25000},{"variant":"old","weight":75000}]}}},
		   {"id":"never","then":{"variant":"old"}}],
		  "default":{"variant":"old"}}`,
		`{"key":"payments",`+onOff+`,"default":{"variant":"on"}}`,
		`{"key":"dark","type":"string","variants":[{"key":"a","value":"A"}],"off":"a","default":{"variant":"a"}}`,
		`{"key":"blocked",`+onOff+`,"prerequisites":[{"flag":"dark","variants":["a"]},{"flag":"payments","variants":["on"]}],"rules":[{"id":"r","then":{"variant":"on"}}],"default":{"variant":"on"}}`,
		`{"key":"keyless",`+onOff+`,"default":{"split":{"by":"company","salt":"c",`+evenWeights+`}}}`,
		`{"key":"fallback",`+onOff+`,"default":{"split":{"missing":"on","salt":"c",`+evenWeights+`}}}`,
		`{"key":"config","kind":"config","type":"number","value":3}`,
		`{"key":"beta","include":["user-1"]}`)
	c := parseContext(t, `{"targetingKey":"user-1","email":"ann@example.org","version":"v9"}`)
	var all []*evaluator.Explanation
	for _, key := range []string{"checkout", "dark", "blocked", "keyless", "fallback", "config", "unknown"} {
		e := s.Explain(key, c)
		require.Equal(t, s.Evaluate(key, c), e.Result)
		all = append(all, e)
	}
	all = append(all, s.Explain("fallback", evaluator.NewContext("")))
	text, err := json.MarshalIndent(all, "", " ")
	require.NoError(t, err)
	golden(t, "explain.json", append(text, '\n'))
}

func TestExplainShowsTheFirstOfManyValues(t *testing.T) {
	s := snapshotOf(t, ruleFlag("f", `{"attribute":"plan","operator":"in","negate":true,"values":[`+quoted("p", 12)+`]}`))
	clause := s.Explain("f", evaluator.NewContext("u")).Steps[0].Clauses[0]
	require.Equal(t, `["p0","p1","p2","p3","p4"] and 7 more`, clause.Asked)
	require.True(t, clause.Negate)
}
