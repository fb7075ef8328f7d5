package client_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client"
)

// serving is a client over flags of every type, without hooks.
func serving(t testing.TB) *client.Client {
	t.Helper()
	s := evaluator.EmptySnapshot("epoch")
	for i, definition := range []string{
		`{"key":"rule","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],
			"rules":[{"id":"pro","if":[{"attribute":"plan","operator":"in","values":["pro"]}],"then":{"variant":"on","label":"beta"}}],"default":{"variant":"off"}}`,
		`{"key":"text","type":"string","enabled":true,"variants":[{"key":"a","value":"x"}],"default":{"variant":"a"}}`,
		`{"key":"half","type":"number","enabled":true,"variants":[{"key":"a","value":0.5}],"default":{"variant":"a"}}`,
		`{"key":"three","type":"number","enabled":true,"variants":[{"key":"a","value":3}],"default":{"variant":"a"}}`,
		`{"key":"object","type":"object","enabled":true,"variants":[{"key":"a","value":{"n":1}}],"default":{"variant":"a"}}`,
		`{"key":"dark","type":"string","variants":[{"key":"a","value":"x"}],"default":{"variant":"a"}}`,
		`{"key":"split","type":"string","enabled":true,"variants":[{"key":"a","value":"x"},{"key":"b","value":"y"}],
			"default":{"split":{"weights":[{"variant":"a","weight":50000},{"variant":"b","weight":50000}]}}}`,
	} {
		f, err := evaluator.DecodeFlag([]byte(definition))
		require.NoError(t, err)
		compiled, err := evaluator.Compile(f)
		require.NoError(t, err)
		s = s.With(evaluator.Changes{Revision: uint64(i + 1), Flags: []*evaluator.Compiled{compiled}})
	}
	return client.Serving(evaluator.NewLive(s))
}

var pro = evaluator.NewContext("user-1", evaluator.Attribute{Name: "plan", Value: evaluator.String("pro")})

func TestGettersNeverConvert(t *testing.T) {
	c := serving(t)
	require.True(t, c.Bool("rule", false, pro))
	require.Equal(t, "x", c.String("text", "", pro))
	require.EqualValues(t, 3, c.Int("three", 0, pro))
	require.InDelta(t, 3, c.Float("three", 0, pro), 0)
	require.InDelta(t, 0.5, c.Float("half", 0, pro), 0)
	require.Len(t, c.Object("object", evaluator.Value{}, pro).Members(), 1)

	for key, d := range map[string]client.Details[int64]{
		"half": c.IntDetails("half", 7, pro), "text": c.IntDetails("text", 7, pro), "object": c.IntDetails("object", 7, pro),
	} {
		require.EqualValues(t, 7, d.Value, key)
		require.Equal(t, evaluator.ErrorTypeMismatch, d.ErrorCode, key)
		require.Equal(t, evaluator.ReasonError, d.Reason, key)
		require.Empty(t, d.Variant, key)
	}
}

func TestDetailsSayHowTheAnswerCameAbout(t *testing.T) {
	c := serving(t)
	d := c.BoolDetails("rule", false, pro)
	require.NoError(t, d.Err())
	require.Equal(t, client.Details[bool]{
		Key: "rule", Value: true, Variant: "on", Reason: evaluator.ReasonTargetingMatch, RuleID: "pro", Label: "beta", Revision: 7,
	}, client.Details[bool]{
		Key: d.Key, Value: d.Value, Variant: d.Variant, Reason: d.Reason, RuleID: d.RuleID, Label: d.Label, Revision: d.Revision,
	})
	dark := c.StringDetails("dark", "mine", pro)
	require.NoError(t, dark.Err(), "a flag without a value is no error")
	require.Equal(t, "mine", dark.Value)
	require.Equal(t, evaluator.ReasonDisabled, dark.Reason)
	require.ErrorContains(t, c.StringDetails("split", "", nil).Err(), "TARGETING_KEY_MISSING")
	require.ErrorContains(t, c.StringDetails("nothing", "", nil).Err(), "FLAG_NOT_FOUND")
}

func TestHooksHearOfEveryEvaluation(t *testing.T) {
	var heard []client.Exposure
	c := client.Serving(evaluator.NewLive(serving(t).Snapshot()), func(e client.Exposure) { heard = append(heard, e) })
	c.Bool("rule", false, pro)
	c.Bool("text", false, pro)
	require.Len(t, heard, 2)
	require.Equal(t, "on", heard[0].Variant)
	require.Same(t, pro, heard[0].Context)
	require.Equal(t, evaluator.ErrorTypeMismatch, heard[1].ErrorCode)
	require.Equal(t, evaluator.KindNull, heard[1].Value.Kind(), "what was not served is not shown")
}

func TestTypedEvaluationsDoNotAllocate(t *testing.T) {
	c := serving(t)
	for name, ask := range map[string]func(){
		"bool":    func() { c.Bool("rule", false, pro) },
		"string":  func() { c.String("text", "", pro) },
		"split":   func() { c.String("split", "", pro) },
		"int":     func() { c.Int("three", 0, pro) },
		"float":   func() { c.Float("half", 0, nil) },
		"object":  func() { c.Object("object", evaluator.Value{}, pro) },
		"details": func() { c.BoolDetails("rule", false, pro) },
		"unknown": func() { c.Bool("nothing", false, pro) },
		"type":    func() { c.Int("text", 0, pro) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, ask), name)
	}
}

func BenchmarkGet(b *testing.B) {
	c := serving(b)
	b.Run("bool", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Bool("rule", false, pro)
		}
	})
	b.Run("details", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.BoolDetails("rule", false, pro)
		}
	})
}
