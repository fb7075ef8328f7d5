// Package bench runs hoist's evaluator beside other public evaluators for Go, on the same four questions asked of
// environments of 10, 1,000 and 10,000 flags:
//
//	go test -bench . -benchmem -count 6
package bench

import (
	"fmt"
	"testing"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk-evaluation/v3"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"

	"github.com/hoistflags/hoist/evaluator"
)

const listed = 10_000 // keys in the long list

// question is asked of both; want is the answer of both, nil where the hashes differ by design.
type question struct {
	name   string
	flag   evaluator.Flag
	theirs func(key string) ldmodel.FeatureFlag
	want   *bool
}

func both(f evaluator.Flag) evaluator.Flag {
	yes, no := evaluator.Bool(true), evaluator.Bool(false)
	f.Type, f.Enabled = evaluator.TypeBoolean, true
	f.Variants = []evaluator.Variant{{Key: "on", Value: &yes}, {Key: "off", Value: &no}}
	if f.Default == nil {
		f.Default = &evaluator.Serve{Variant: "off"}
	}
	return f
}

// theirs begins a flag whose variation 0 is true and 1 is false.
func theirs(key string) *ldbuilders.FlagBuilder {
	return ldbuilders.NewFlagBuilder(key).On(true).Variations(ldvalue.Bool(true), ldvalue.Bool(false)).FallthroughVariation(1).Salt("salt")
}

func questions() []question {
	yes := true
	var keys []string
	for i := range listed {
		keys = append(keys, fmt.Sprint("user-", i))
	}
	var rules []evaluator.Rule
	for i := range 5 {
		rules = append(rules, evaluator.Rule{ID: fmt.Sprint("r", i), Then: evaluator.Serve{Variant: "on"}, If: []evaluator.Clause{
			{Attribute: "country", Operator: evaluator.OpIn, Values: []evaluator.Value{evaluator.String([]string{"DE", "FR", "ES", "IT", "NL"}[i])}}}})
	}
	return []question{
		{"static", both(evaluator.Flag{Default: &evaluator.Serve{Variant: "on"}}),
			func(key string) ldmodel.FeatureFlag { return theirs(key).FallthroughVariation(0).Build() }, &yes},
		{"five-rules", both(evaluator.Flag{Rules: rules}), func(key string) ldmodel.FeatureFlag {
			b := theirs(key)
			for i, country := range []string{"DE", "FR", "ES", "IT", "NL"} {
				b.AddRule(ldbuilders.NewRuleBuilder().ID(fmt.Sprint("r", i)).Variation(0).Clauses(ldbuilders.Clause("country", ldmodel.OperatorIn, ldvalue.String(country))))
			}
			return b.Build()
		}, &yes},
		{"split", both(evaluator.Flag{Default: &evaluator.Serve{Split: &evaluator.Split{Weights: []evaluator.Weight{{Variant: "on", Weight: 50_000}, {Variant: "off", Weight: 50_000}}}}}),
			func(key string) ldmodel.FeatureFlag {
				return theirs(key).Fallthrough(ldbuilders.Rollout(ldbuilders.Bucket(0, 50_000), ldbuilders.Bucket(1, 50_000))).Build()
			}, nil},
		{"list-of-10000", both(evaluator.Flag{Rules: []evaluator.Rule{{ID: "listed", Then: evaluator.Serve{Variant: "on"},
			If: []evaluator.Clause{{Attribute: "targetingKey", Operator: evaluator.OpIn, Values: values(keys)}}}}}),
			func(key string) ldmodel.FeatureFlag { return theirs(key).AddTarget(0, keys...).Build() }, &yes},
	}
}

func values(keys []string) []evaluator.Value {
	var out []evaluator.Value
	for _, key := range keys {
		out = append(out, evaluator.String(key))
	}
	return out
}

// provider hands their evaluator its flags.
type provider map[string]*ldmodel.FeatureFlag

func (p provider) GetFeatureFlag(key string) *ldmodel.FeatureFlag { return p[key] }
func (p provider) GetSegment(string) *ldmodel.Segment             { return nil }

func BenchmarkEvaluate(b *testing.B) {
	for _, q := range questions() {
		for _, size := range []int{10, 1_000, 10_000} {
			b.Run(fmt.Sprintf("%s/flags=%d/hoist", q.name, size), func(b *testing.B) { ours(b, q, size) })
			b.Run(fmt.Sprintf("%s/flags=%d/launchdarkly", q.name, size), func(b *testing.B) { launchdarkly(b, q, size) })
			b.Run(fmt.Sprintf("%s/flags=%d/growthbook", q.name, size), func(b *testing.B) { growthBook(b, q, size) })
		}
	}
}

// asked is the flag that is evaluated: one in the middle. Only it has the long list; the others would fill the memory.
func asked(size int) string { return fmt.Sprint("flag-", size/2) }

func ours(b *testing.B, q question, size int) {
	changes := evaluator.Changes{Revision: 1}
	for i := range size {
		f := both(evaluator.Flag{})
		if f.Key = fmt.Sprint("flag-", i); f.Key == asked(size) {
			f = q.flag
			f.Key = asked(size)
		}
		compiled, err := evaluator.Compile(&f)
		if err != nil {
			b.Fatal(err)
		}
		changes.Flags = append(changes.Flags, compiled)
	}
	s := evaluator.EmptySnapshot("bench").With(changes)
	about := evaluator.NewContext("user-9999", evaluator.Attribute{Name: "country", Value: evaluator.String("NL")},
		evaluator.Attribute{Name: "plan", Value: evaluator.String("pro")})
	key := asked(size)
	if r := s.Evaluate(key, about); !r.HasValue || q.want != nil && r.Value.AsBool() != *q.want {
		b.Fatalf("answers %+v", r)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Evaluate(key, about)
	}
}

// BenchmarkCores asks the static question from 1 and from all cores: nothing is shared but what is read.
func BenchmarkCores(b *testing.B) {
	f := both(evaluator.Flag{Key: "flag", Default: &evaluator.Serve{Variant: "on"}})
	compiled, err := evaluator.Compile(&f)
	if err != nil {
		b.Fatal(err)
	}
	s := evaluator.EmptySnapshot("bench").With(evaluator.Changes{Revision: 1, Flags: []*evaluator.Compiled{compiled}})
	about := evaluator.NewContext("user-1")
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			s.Evaluate("flag", about)
		}
	})
	b.Run("all", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				s.Evaluate("flag", about)
			}
		})
	})
}

func launchdarkly(b *testing.B, q question, size int) {
	flags := provider{}
	for i := range size {
		key := fmt.Sprint("flag-", i)
		f := theirs(key).Build()
		if key == asked(size) {
			f = q.theirs(key)
		}
		ldmodel.PreprocessFlag(&f)
		flags[key] = &f
	}
	e := ld.NewEvaluator(flags)
	about := ldcontext.NewBuilder("user-9999").SetString("country", "NL").SetString("plan", "pro").Build()
	key := asked(size)
	if r := e.Evaluate(flags[key], about, nil); r.Detail.IsDefaultValue() || q.want != nil && r.Detail.Value.BoolValue() != *q.want {
		b.Fatalf("answers %+v", r)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Evaluate(flags.GetFeatureFlag(key), about, nil)
	}
}
