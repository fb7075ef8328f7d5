package evaluator_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
)

// An explanation walks rule by rule; an evaluation jumps over rows of rules that ask alike. Both end in the same place.
func TestRowsOfRulesAreWalkedAndJumpedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SampledFrom([]string{"", "DE", "FR", "ES", "it", "a long name of a country", "5", "true"})
		yes, no := evaluator.Bool(true), evaluator.Bool(false)
		f := &evaluator.Flag{Key: "f", Type: evaluator.TypeBoolean, Enabled: true, Default: &evaluator.Serve{Variant: "off"},
			Variants: []evaluator.Variant{{Key: "on", Value: &yes}, {Key: "off", Value: &no}}}
		for i := range rapid.IntRange(1, 12).Draw(t, "rules") {
			clause := evaluator.Clause{Operator: evaluator.OpIn, Attribute: rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "attribute")}
			odd := rapid.SampledFrom([]string{"", "", "", "", "negate", "ifMissing", "coerce", "fold", "two", "split"}).Draw(t, "odd")
			clause.Negate, clause.IfMissing, clause.Coerce, clause.IgnoreCase = odd == "negate", odd == "ifMissing", odd == "coerce", odd == "fold"
			values := rapid.SliceOfN(texts, 1, 12).Draw(t, "values")
			for _, text := range values {
				clause.Values = append(clause.Values, evaluator.String(text))
			}
			r := evaluator.Rule{ID: fmt.Sprint("r", i), If: []evaluator.Clause{clause}, Then: evaluator.Serve{Variant: "on"}}
			if odd == "two" {
				r.If = append(r.If, evaluator.Clause{Operator: evaluator.OpExists, Attribute: "b"})
			}
			if odd == "split" { // does not match without its key
				r.Then = evaluator.Serve{Split: &evaluator.Split{Weights: []evaluator.Weight{{Variant: "on", Weight: 100_000}}}}
			}
			f.Rules = append(f.Rules, r)
		}
		compiled, err := evaluator.Compile(f)
		if err != nil {
			t.Skip("not a flag")
		}
		s := evaluator.EmptySnapshot("e").With(evaluator.Changes{Revision: 1, Flags: []*evaluator.Compiled{compiled}})
		for range 8 {
			var attributes []evaluator.Attribute
			for _, name := range []string{"a", "b"} {
				switch value := rapid.IntRange(0, 5).Draw(t, "value"); value {
				case 0:
				case 1:
					attributes = append(attributes, evaluator.Attribute{Name: name, Value: evaluator.Number(5)})
				case 2:
					list := evaluator.List([]evaluator.Value{evaluator.String(texts.Draw(t, "first")), evaluator.String(texts.Draw(t, "second"))})
					attributes = append(attributes, evaluator.Attribute{Name: name, Value: list})
				default:
					attributes = append(attributes, evaluator.Attribute{Name: name, Value: evaluator.String(texts.Draw(t, "text"))})
				}
			}
			c := evaluator.NewContext(rapid.SampledFrom([]string{"", "user"}).Draw(t, "key"), attributes...)
			require.Equal(t, s.Explain("f", c).Result, s.Evaluate("f", c))
		}
	})
}
