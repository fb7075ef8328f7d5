package evaluator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// What the law never lets in must still end, quickly and without an error.

func TestCyclesEndAtTheDepthGuard(t *testing.T) {
	needs := func(key, other string) string {
		return fmt.Sprintf(`{"key":%q,%s,"prerequisites":[{"flag":%q,"variants":["on"]}],"default":{"variant":"on"}}`, key, onOff, other)
	}
	s := snapshotOf(t, needs("a", "b"), needs("b", "a"),
		ruleFlag("asks", `{"operator":"segment","values":["x"]}`),
		`{"key":"x","rules":[{"if":[{"operator":"segment","values":["y"]}]}]}`, `{"key":"y","rules":[{"if":[{"operator":"segment","values":["x"]}]}]}`,
		ruleFlag("through", `{"operator":"segment","values":["z"]}`), `{"key":"z","rules":[{"if":[{"attribute":"through","operator":"prerequisite","values":["on"]}]}]}`)
	c := evaluator.NewContext("u")
	require.Equal(t, evaluator.ReasonPrerequisiteFailed, s.Evaluate("a", c).Reason)
	require.Equal(t, "off", s.Evaluate("asks", c).Variant)
	require.Equal(t, "off", s.Evaluate("through", c).Variant)
	require.Equal(t, s.Evaluate("a", c), s.Explain("a", c).Result)
	require.EqualValues(t, 7, s.ClosureRevision("through"))
}

func TestEightLevelsOfFlagsAndFourOfSegmentsAreEvaluated(t *testing.T) {
	var texts []string
	for i := range 10 {
		needs := ""
		if i > 0 {
			needs = fmt.Sprintf(`"prerequisites":[{"flag":"f%d","variants":["on"]}],`, i-1)
		}
		texts = append(texts, fmt.Sprintf(`{"key":"f%d",%s,%s"default":{"variant":"on"}}`, i, onOff, needs))
	}
	for i := range 6 {
		text := `{"key":"s0","include":["u"]}`
		if i > 0 {
			text = fmt.Sprintf(`{"key":"s%d","rules":[{"if":[{"operator":"segment","values":["s%d"]}]}]}`, i, i-1)
		}
		texts = append(texts, text, ruleFlag(fmt.Sprintf("in-s%d", i), fmt.Sprintf(`{"operator":"segment","values":["s%d"]}`, i)))
	}
	s, c := snapshotOf(t, texts...), evaluator.NewContext("u")
	require.Equal(t, "on", s.Evaluate("f8", c).Variant, "eight flags below it")
	require.Equal(t, evaluator.ReasonPrerequisiteFailed, s.Evaluate("f9", c).Reason)
	require.Equal(t, "on", s.Evaluate("in-s3", c).Variant, "four segments")
	require.Equal(t, "off", s.Evaluate("in-s4", c).Variant)
}

// Sixteen prerequisites on each of eight levels are 16^8 paths.
func TestALatticeOfPrerequisitesEnds(t *testing.T) {
	var texts []string
	for level := range 8 {
		for i := range 16 {
			var needs []string
			for j := range 16 {
				if level > 0 {
					needs = append(needs, fmt.Sprintf(`{"flag":"l%d-%d","variants":["on"]}`, level-1, j))
				}
			}
			texts = append(texts, fmt.Sprintf(`{"key":"l%d-%d",%s,"prerequisites":[%s],"default":{"variant":"on"}}`, level, i, onOff, strings.Join(needs, ",")))
		}
	}
	s, c := snapshotOf(t, texts...), evaluator.NewContext("u")
	require.Equal(t, "on", s.Evaluate("l2-0", c).Variant)
	require.Equal(t, evaluator.ReasonPrerequisiteFailed, s.Evaluate("l7-0", c).Reason)
	requireNoAllocations(t, func() { s.Evaluate("l7-0", c) })
}

func TestDanglingReferencesBindLate(t *testing.T) {
	s := snapshotOf(t, `{"key":"f",`+onOff+`,"prerequisites":[{"flag":"later","variants":["on"]}],"default":{"variant":"on"}}`,
		ruleFlag("g", `{"operator":"segment","values":["later"],"negate":true}`))
	c := evaluator.NewContext("u")
	require.Equal(t, evaluator.ReasonPrerequisiteFailed, s.Evaluate("f", c).Reason)
	require.Equal(t, "on", s.Evaluate("g", c).Variant)
	s = s.With(evaluator.Changes{Revision: 8, Flags: []*evaluator.Compiled{compileFlag(t, `{"key":"later",`+onOff+`,"default":{"variant":"on"}}`)},
		Segments: []*evaluator.CompiledSegment{compileSegment(t, `{"key":"later","include":["u"]}`)}})
	require.Equal(t, "on", s.Evaluate("f", c).Variant)
	require.Equal(t, "off", s.Evaluate("g", c).Variant)
}

// Long texts, lists and numbers as text: every shape of clause runs without an allocation.
func TestEvaluationNeverAllocates(t *testing.T) {
	long := strings.Repeat("ÄbC", 600)
	for _, clause := range []string{
		`{"attribute":"a","operator":"in","values":["x"],"ignoreCase":true}`,
		`{"attribute":"a","operator":"contains","values":["äbcx"],"ignoreCase":true}`,
		`{"attribute":"a","operator":"in","values":["1.5"],"coerce":true}`,
		`{"attribute":"a","operator":"matches","values":["^[0-9.e+]+$"],"coerce":true}`,
		`{"attribute":"a","operator":"gt","values":[1],"coerce":true}`,
		`{"attribute":"a","operator":"before","values":["2030-01-01T00:00:00Z"],"coerce":true}`,
		`{"attribute":"a","operator":"semver-gt","values":["1.0.0"],"coerce":true}`,
		`{"attribute":"a","operator":"cidr","values":["10.0.0.0/8"],"coerce":true}`,
		`{"attribute":"/o/p","operator":"in","values":["x"]}`,
		`{"operator":"segment","values":["s"]}`,
	} {
		s := snapshotOf(t, ruleFlag("f", clause), `{"key":"s","by":"a","include":["1","x"],"rules":[{"if":[{"attribute":"a","operator":"exists"}]}]}`)
		for _, value := range []string{`"` + long + `"`, `"ABCD"`, `1.5`, `12345678901`, `1e300`, `"1e999"`, `"2026-01-01T00:00:00+05:30"`, `"yesterday"`, `"1.2.3-rc.1"`, `"1.x"`,
			`"10.1.2.3:80"`, `"::ffff:10.0.0.1"`, `"10.0.0"`, `["x",1,null,{}]`, `true`, `null`, `{}`} {
			c := parseContext(t, `{"targetingKey":"u","a":`+value+`,"o":{"p":`+value+`}}`)
			if value == `"1e999"` && strings.Contains(clause, `"gt"`) {
				continue // strconv reports numbers beyond float64 with an allocated error
			}
			requireNoAllocations(t, func() { s.Evaluate("f", c) }, clause, value)
		}
	}
}
