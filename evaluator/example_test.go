package evaluator_test

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
)

func Example() {
	flag, err := evaluator.DecodeFlag([]byte(`{
		"key": "checkout", "type": "string", "enabled": true, "off": "old",
		"variants": [{"key": "old", "value": "classic"}, {"key": "new", "value": "express"}],
		"rules": [{"id": "pro", "if": [{"attribute": "plan", "operator": "in", "values": ["pro"]}], "then": {"variant": "new"}}],
		"default": {"split": {"weights": [{"variant": "new", "weight": 25000}, {"variant": "old", "weight": 75000}]}}}`))
	if err != nil {
		panic(err)
	}
	compiled, err := evaluator.Compile(flag)
	if err != nil {
		panic(err)
	}
	snapshot := evaluator.EmptySnapshot("epoch").With(evaluator.Changes{Revision: 1, Flags: []*evaluator.Compiled{compiled}})
	pro := snapshot.Evaluate("checkout", evaluator.NewContext("user-1", evaluator.Attribute{Name: "plan", Value: evaluator.String("pro")}))
	fmt.Println(pro.Value.AsString(), pro.Reason, pro.RuleID)
	other := snapshot.Evaluate("checkout", evaluator.NewContext("user-1"))
	fmt.Println(other.Value.AsString(), other.Reason)
	// Output:
	// express TARGETING_MATCH pro
	// express SPLIT
}

func ExampleSnapshot_Explain() {
	flag, err := evaluator.DecodeFlag([]byte(`{"key": "beta", "type": "boolean", "enabled": true,
		"variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
		"rules": [{"id": "new-app", "if": [{"attribute": "version", "operator": "semver-gte", "values": ["3.0.0"]}], "then": {"variant": "on"}}],
		"default": {"variant": "off"}}`))
	if err != nil {
		panic(err)
	}
	compiled, err := evaluator.Compile(flag)
	if err != nil {
		panic(err)
	}
	snapshot := evaluator.EmptySnapshot("epoch").With(evaluator.Changes{Revision: 1, Flags: []*evaluator.Compiled{compiled}})
	c := evaluator.NewContext("user-1", evaluator.Attribute{Name: "version", Value: evaluator.String("v3.1")})
	for _, step := range snapshot.Explain("beta", c).Steps {
		fmt.Println(step.Kind, step.ID, step.Outcome, "-", step.Why)
	}
	// Output:
	// rule new-app no-match - version semver-gte is false: the attribute is not of a type or syntax the operator reads
	// default  match - no rule matched
}
