package evaluator_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hoistflags/hoist/evaluator"
)

func ldVariant(i int) string { return fmt.Sprintf("v%d", i) }

// ldType is the type of all variations, or "" when they have none in common that a flag of ours can have.
func ldType(variations []json.RawMessage) string {
	kinds := map[string]bool{}
	texts := map[string]int{}
	for _, v := range variations {
		var value any
		_ = json.Unmarshal(v, &value)
		kinds[fmt.Sprintf("%T", value)] = true
		texts[string(v)]++
	}
	if len(kinds) != 1 {
		return ""
	}
	switch {
	case kinds["bool"] && texts["true"] == 1 && texts["false"] == 1 && len(variations) == 2:
		return "boolean"
	case kinds["string"]:
		return "string"
	case kinds["float64"]:
		return "number"
	case kinds["map[string]interface {}"]:
		return "object"
	}
	return ""
}

// ldTranslate turns a flag of the suite into ours: variations become variants v0, v1, …; targets become rules.
func ldTranslate(key string, f ldFlag) map[string]any {
	kind := ldType(f.Variations)
	var variants []any
	for i, v := range f.Variations {
		one := map[string]any{"key": ldVariant(i), "value": v}
		if kind == "" { // judged by the index alone
			one["value"] = ldVariant(i)
		}
		variants = append(variants, one)
	}
	flag := map[string]any{"key": key, "type": kind, "enabled": f.On, "variants": variants, "default": ldServeOf(f.Fallthrough)}
	if kind == "" {
		flag["type"] = "string"
	}
	if f.OffVariation != nil {
		flag["off"] = ldVariant(*f.OffVariation)
	}
	if !f.On && f.Fallthrough.Variation == nil && f.Fallthrough.Rollout == nil {
		flag["default"] = map[string]any{"variant": ldVariant(0)} // never served
	}
	var prerequisites, rules []any
	for _, p := range f.Prerequisites {
		prerequisites = append(prerequisites, map[string]any{"flag": p.Key, "variants": []string{ldVariant(p.Variation)}})
	}
	for i, target := range ldTargets(f) {
		rules = append(rules, map[string]any{"id": fmt.Sprintf("target-%d", i), "then": map[string]any{"variant": ldVariant(target.Variation)},
			"if": []any{map[string]any{"attribute": "targetingKey", "operator": "in", "values": target.Values}}})
	}
	for i, r := range f.Rules {
		rules = append(rules, map[string]any{"id": fmt.Sprintf("rule-%d", i), "if": ldClauses(r.Clauses), "then": ldServeOf(r.ldServe)})
	}
	if prerequisites != nil {
		flag["prerequisites"] = prerequisites
	}
	if rules != nil {
		flag["rules"] = rules
	}
	return flag
}

// ldTargets lists the targets of users. Where contextTargets are given they are the order, and an empty one of
// kind user stands for the targets of that variation.
func ldTargets(f ldFlag) []ldTarget {
	if len(f.ContextTargets) == 0 {
		return f.Targets
	}
	var targets []ldTarget
	for _, c := range f.ContextTargets {
		if c.ContextKind != "" && c.ContextKind != "user" {
			continue
		}
		for _, old := range f.Targets {
			if old.Variation == c.Variation {
				targets = append(targets, old)
			}
		}
	}
	return targets
}

func ldServeOf(s ldServe) map[string]any {
	if s.Variation == nil {
		return map[string]any{}
	}
	return map[string]any{"variant": ldVariant(*s.Variation)}
}

var ldOperators = map[string]string{"in": "in", "startsWith": "starts-with", "endsWith": "ends-with", "contains": "contains", "matches": "matches",
	"lessThan": "lt", "lessThanOrEqual": "lte", "greaterThan": "gt", "greaterThanOrEqual": "gte", "before": "before", "after": "after",
	"semVerEqual": "semver-eq", "semVerLessThan": "semver-lt", "semVerGreaterThan": "semver-gt", "segmentMatch": "segment"}

func ldClauses(clauses []ldClause) []any {
	list := []any{}
	for _, c := range clauses {
		list = append(list, ldClauseOf(c))
	}
	return list
}

// ldClauseOf translates a clause; a value that our operator does not take can never match there either, so it is
// left out.
func ldClauseOf(c ldClause) map[string]any {
	operator, known := ldOperators[c.Op]
	if !known || (c.ContextKind != "" && c.ContextKind != "user" && c.Attribute != "kind") {
		return map[string]any{"attribute": "key", "operator": "in", "values": []any{}} // never matches
	}
	clause := map[string]any{"operator": operator}
	if operator != "segment" {
		clause["attribute"] = ldAttribute(c)
	}
	if c.Negate {
		clause["negate"] = true
	}
	values := []any{}
	for _, v := range c.Values {
		probe := map[string]any{"operator": operator, "values": []any{v}}
		if operator != "segment" {
			probe["attribute"] = "a"
		}
		text, err := json.Marshal(map[string]any{"key": "s", "rules": []any{map[string]any{"if": []any{probe}}}})
		if err != nil {
			continue
		}
		if s, err := evaluator.DecodeSegment(text); err == nil && len(s.Check()) == 0 {
			values = append(values, v)
		}
	}
	clause["values"] = values
	return clause
}

// ldAttribute translates a reference: without a context kind it is a plain name whatever it contains.
func ldAttribute(c ldClause) string {
	switch {
	case c.Attribute == "key" || c.Attribute == "/key":
		return "targetingKey"
	case c.ContextKind == "" && strings.HasPrefix(c.Attribute, "/"):
		return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(c.Attribute)
	}
	return c.Attribute
}

func ldTranslateSegment(key string, s ldSegment) map[string]any {
	segment := map[string]any{"key": key}
	if s.Included != nil {
		segment["include"] = s.Included
	}
	excluded := slices.DeleteFunc(slices.Clone(s.Excluded), func(k string) bool { return slices.Contains(s.Included, k) })
	if excluded != nil {
		segment["exclude"] = excluded
	}
	var rules []any
	for _, r := range s.Rules {
		rules = append(rules, map[string]any{"if": ldClauses(r.Clauses)})
	}
	if rules != nil {
		segment["rules"] = rules
	}
	return segment
}

// ldContext translates a context of kind user, in the older form with custom attributes or in the newer one.
func ldContext(t *testing.T, context map[string]any) *evaluator.Context {
	attributes := map[string]any{"kind": "user", "anonymous": false}
	for name, v := range context {
		switch name {
		case "key":
			attributes["targetingKey"] = v
		case "custom":
			custom, _ := v.(map[string]any)
			maps.Copy(attributes, custom)
		case "_meta":
		default:
			attributes[name] = v
		}
	}
	return parseContext(t, string(toJSON(t, attributes)))
}
