package evaluator_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// unleashImport builds two flags per feature: whether it is on, and which variant it has.
type unleashImport struct {
	state unleashState
	flags []map[string]any
}

func unleashKey(name string) string {
	if evaluator.ValidKey(name) {
		return name
	}
	return "x" + hex.EncodeToString([]byte(name))
}

func (m *unleashImport) feature(f unleashFeature) {
	key := unleashKey(f.Name)
	var on, which []any
	if len(f.Strategies) == 0 {
		f.Strategies = []unleashStrategy{{Name: "default"}}
	}
	if !f.Enabled || m.transitive(f) {
		f.Strategies = nil
	}
	names := map[string]any{"disabled": ""}
	for i, s := range f.Strategies {
		variants := s.Variants
		if len(variants) == 0 {
			variants = f.Variants
			which = append(which, overrideRules(i, variants)...)
		}
		for j, clauses := range m.strategy(s) {
			id := fmt.Sprintf("s%d-%d", i, j)
			on = append(on, map[string]any{"id": id, "if": clauses, "then": rolloutOf(s)})
			which = append(which, map[string]any{"id": id, "if": clauses, "then": variantServe(variants, s)})
		}
		for _, v := range variants {
			names[v.Name] = ""
			if v.Payload != nil {
				names[v.Name] = v.Payload.Value
			}
		}
	}
	flag := map[string]any{"key": key, "type": "boolean", "enabled": true, "off": "off", "default": map[string]any{"variant": "off"},
		"variants": []any{map[string]any{"key": "on", "value": true}, map[string]any{"key": "off", "value": false}}, "rules": on}
	if prerequisites := m.prerequisites(f); prerequisites != nil {
		flag["prerequisites"] = prerequisites
	}
	var variants []any
	for _, name := range slices.Sorted(maps.Keys(names)) {
		variants = append(variants, map[string]any{"key": name, "value": names[name]})
	}
	m.flags = append(m.flags, flag, map[string]any{"key": key + ".variant", "type": "string", "enabled": true, "off": "disabled", "variants": variants, "rules": which,
		"prerequisites": []any{map[string]any{"flag": key, "variants": []string{"on"}}}, "default": map[string]any{"variant": "disabled"}})
}

// transitive reports whether a parent has parents itself: here that disables the feature.
func (m *unleashImport) transitive(f unleashFeature) bool {
	return slices.ContainsFunc(m.state.Features, func(parent unleashFeature) bool {
		return len(parent.Dependencies) > 0 && slices.ContainsFunc(f.Dependencies, func(d struct {
			Feature  string   `json:"feature"`
			Enabled  *bool    `json:"enabled"`
			Variants []string `json:"variants"`
		}) bool {
			return d.Feature == parent.Name
		})
	})
}

func (m *unleashImport) prerequisites(f unleashFeature) []any {
	var list []any
	for _, d := range f.Dependencies {
		parent := unleashKey(d.Feature)
		if parent == unleashKey(f.Name) {
			continue
		}
		want := "on"
		if d.Enabled != nil && !*d.Enabled {
			want = "off"
		}
		list = append(list, map[string]any{"flag": parent, "variants": []string{want}})
		if len(d.Variants) > 0 {
			list = append(list, map[string]any{"flag": parent + ".variant", "variants": d.Variants})
		}
	}
	return list
}

// overrideRules give the people named by a variant that variant.
func overrideRules(strategy int, variants []unleashVariant) []any {
	var rules []any
	for i, v := range variants {
		for j, o := range v.Overrides {
			rules = append(rules, map[string]any{"id": fmt.Sprintf("o%d-%d-%d", strategy, i, j), "then": map[string]any{"variant": v.Name},
				"if": []any{map[string]any{"attribute": o.ContextName, "operator": "in", "values": o.Values}}})
		}
	}
	return rules
}

// stickinessName is an attribute that unleashContext adds: the default stickiness is the user, else the session.
const stickinessName = "default stickiness"

// variantServe is a split in the proportion of the weights, which need not sum to anything there. What variants do
// not say about stickiness is the strategy's.
func variantServe(variants []unleashVariant, s unleashStrategy) map[string]any {
	total := 0
	for _, v := range variants {
		total += v.Weight
	}
	if total == 0 {
		return map[string]any{"variant": "disabled"}
	}
	if len(variants) == 1 {
		return map[string]any{"variant": variants[0].Name}
	}
	by := variants[0].Stickiness
	if by == "" {
		by, _ = s.Parameters["stickiness"].(string)
	}
	if by == "" || by == "default" || by == "random" {
		by = stickinessName
	}
	var list []any
	rest := 100_000
	for i, v := range variants {
		weight := 100_000 * v.Weight / total
		if i == len(variants)-1 {
			weight = rest
		}
		rest -= weight
		list = append(list, map[string]any{"variant": v.Name, "weight": weight})
	}
	return map[string]any{"split": map[string]any{"by": by, "missing": variants[0].Name, "weights": list}}
}

// rolloutOf is the share of a strategy that its clauses do not decide.
func rolloutOf(s unleashStrategy) map[string]any {
	percent, by := rolloutShare(s)
	if percent == 100 || percent == 0 {
		return map[string]any{"variant": "on"}
	}
	if by == "" {
		by = stickinessName
	}
	return map[string]any{"split": map[string]any{"by": by, "weights": []any{
		map[string]any{"variant": "on", "weight": 1000 * percent}, map[string]any{"variant": "off", "weight": 1000 * (100 - percent)}}}}
}

func rolloutShare(s unleashStrategy) (percent int, by string) {
	number := func(name string) int {
		n, _ := strconv.Atoi(fmt.Sprint(s.Parameters[name]))
		return n
	}
	switch s.Name {
	case "gradualRolloutUserId":
		return number("percentage"), "userId"
	case "gradualRolloutSessionId":
		return number("percentage"), "sessionId"
	case "gradualRolloutRandom":
		return number("percentage"), ""
	case "flexibleRollout":
		by, _ = s.Parameters["stickiness"].(string)
		if by == "default" || by == "random" {
			by = ""
		}
		return number("rollout"), by
	}
	return 100, ""
}

// strategy returns the alternatives under which a strategy holds.
func (m *unleashImport) strategy(s unleashStrategy) [][]any {
	clauses := []any{}
	for _, c := range s.Constraints {
		clauses = append(clauses, constraintClauses(c)...)
	}
	for _, id := range s.Segments {
		i := slices.IndexFunc(m.state.Segments, func(g unleashSegment) bool { return g.ID == id })
		if i < 0 {
			return nil
		}
		for _, c := range m.state.Segments[i].Constraints {
			clauses = append(clauses, constraintClauses(c)...)
		}
	}
	percent, by := rolloutShare(s)
	if percent == 0 {
		return nil
	}
	if by != "" {
		clauses = append(clauses, map[string]any{"attribute": by, "operator": "exists"})
	}
	list := func(name string) []any {
		values := []any{}
		text, _ := s.Parameters[name].(string)
		for _, v := range strings.Split(text, ",") {
			values = append(values, strings.TrimSpace(v))
		}
		return values
	}
	switch s.Name {
	case "default", "gradualRolloutUserId", "gradualRolloutSessionId", "gradualRolloutRandom", "flexibleRollout":
		return [][]any{clauses}
	case "userWithId":
		return [][]any{append(clauses, map[string]any{"attribute": "userId", "operator": "in", "values": list("userIds")})}
	case "remoteAddress":
		return [][]any{append(clauses, clauseOf(map[string]any{"attribute": "remoteAddress", "operator": "cidr"}, list("IPs")))}
	}
	return nil
}

var unleashOperators = map[string]string{"IN": "in", "NOT_IN": "in", "STR_STARTS_WITH": "starts-with", "STR_ENDS_WITH": "ends-with", "STR_CONTAINS": "contains",
	"NUM_GT": "gt", "NUM_GTE": "gte", "NUM_LT": "lt", "NUM_LTE": "lte", "DATE_AFTER": "after", "DATE_BEFORE": "before",
	"SEMVER_EQ": "semver-eq", "SEMVER_GT": "semver-gt", "SEMVER_GTE": "semver-gte", "SEMVER_LT": "semver-lt", "SEMVER_LTE": "semver-lte",
	"REGEX": "matches", "IN_CIDR": "cidr"}

// constraintClauses translates a constraint. What is inverted holds also where the value is missing or unreadable:
// ifMissing. NUM_EQ is the pair gte and lte.
func constraintClauses(c unleashConstraint) []any {
	if c.Operator == "NUM_EQ" && !c.Inverted {
		low, high := c, c
		low.Operator, high.Operator = "NUM_GTE", "NUM_LTE"
		return append(constraintClauses(low), constraintClauses(high)...)
	}
	if c.Operator == "NUM_EQ" { // not equal: compared as text, which the numbers of the suite allow
		return []any{map[string]any{"attribute": c.ContextName, "operator": "in", "values": []any{c.Value}, "negate": true, "ifMissing": true}}
	}
	operator, known := unleashOperators[c.Operator]
	if !known {
		return []any{map[string]any{"attribute": c.ContextName, "operator": "in", "values": []any{}}}
	}
	clause := map[string]any{"attribute": c.ContextName, "operator": operator}
	if c.Inverted != (c.Operator == "NOT_IN") {
		clause["negate"], clause["ifMissing"] = true, true
	}
	values := []any{}
	for _, v := range c.Values {
		values = append(values, v)
	}
	if c.Value != "" {
		values = append(values, c.Value)
	}
	if strings.HasPrefix(c.Operator, "NUM_") {
		number, err := strconv.ParseFloat(c.Value, 64)
		values = []any{number}
		if err != nil {
			values = []any{}
		}
		clause["coerce"] = true
	}
	if c.IgnoreCase && (strings.HasPrefix(c.Operator, "STR_") || c.Operator == "REGEX") {
		clause["ignoreCase"] = true
	}
	return []any{clauseOf(clause, values)}
}

// clauseOf gives a clause those values that its operator takes; the others never match.
func clauseOf(clause map[string]any, values []any) map[string]any {
	taken := []any{}
	for _, v := range values {
		probe := maps.Clone(clause)
		probe["values"] = []any{v}
		text, _ := json.Marshal(map[string]any{"key": "s", "rules": []any{map[string]any{"if": []any{probe}}}})
		if s, err := evaluator.DecodeSegment(text); err == nil && len(s.Check()) == 0 {
			taken = append(taken, v)
		}
	}
	clause["values"] = taken
	return clause
}
