package evaluator

import (
	"math"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// traits says what an operator takes beside its values.
type traits struct {
	attribute, values, ifMissing, coerce, ignoreCase bool
}

// operatorTraits lists the operators; ok is false for a name that is none.
func operatorTraits(operator string) (t traits, ok bool) {
	switch operator {
	case OpIn, OpStartsWith, OpEndsWith, OpContains, OpMatches:
		return traits{attribute: true, values: true, ifMissing: true, coerce: true, ignoreCase: true}, true
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual, OpBefore, OpAfter, OpCIDR,
		OpSemverEqual, OpSemverLess, OpSemverLTE, OpSemverMore, OpSemverGTE:
		return traits{attribute: true, values: true, ifMissing: true, coerce: true}, true
	case OpExists:
		return traits{attribute: true}, true
	case OpSegment:
		return traits{values: true}, true
	case OpPrerequisite:
		return traits{attribute: true, values: true, ifMissing: true}, true
	}
	return traits{}, false
}

// attribute checks a reference to an attribute.
func (c *checker) attribute(at place, reference string) {
	switch _, ok := parseSelector(reference); {
	case reference == "":
		c.add(at, "attribute.missing", "name the attribute")
	case !ok:
		c.add(at, "attribute", "%.80q is not a JSON pointer; write / as ~1 and ~ as ~0, or leave out the leading slash", reference)
	case len(reference) > 8*maxAttributeName:
		c.add(at, "attribute", "the reference is too long")
	}
}

func (c *checker) clauses(at place, clauses []Clause) {
	if len(clauses) > maxClauses {
		c.add(at, "clauses.many", "a rule has at most %d clauses", maxClauses)
	}
	for i := range clauses {
		c.clause(at.nth(i), &clauses[i])
	}
}

func (c *checker) clause(at place, clause *Clause) {
	t, ok := operatorTraits(clause.Operator)
	if !ok {
		c.add(at.at("operator"), "operator", "operator %.40q is unknown", clause.Operator)
		return
	}
	c.takes(at, clause, t)
	values := at.at("values")
	if len(clause.Values) > maxClauseValues {
		c.add(values, "values.many", "a clause has at most %d values; put longer lists into a segment", maxClauseValues)
		return
	}
	for i, v := range clause.Values {
		c.clauseValue(values.nth(i), clause, v)
	}
}

// takes refuses the fields that the operator does not read: a field that is ignored would be a lie.
func (c *checker) takes(at place, clause *Clause, t traits) {
	switch {
	case clause.Operator == OpPrerequisite:
		c.key(at.at("attribute"), clause.Attribute)
	case t.attribute:
		c.attribute(at.at("attribute"), clause.Attribute)
	case clause.Attribute != "":
		c.add(at.at("attribute"), "clause.field", "%s takes no attribute", clause.Operator)
	}
	for _, given := range []struct {
		name      string
		is, taken bool
	}{
		{"values", len(clause.Values) > 0, t.values},
		{"ifMissing", clause.IfMissing, t.ifMissing},
		{"coerce", clause.Coerce, t.coerce},
		{"ignoreCase", clause.IgnoreCase, t.ignoreCase},
	} {
		if given.is && !given.taken {
			c.add(at.at(given.name), "clause.field", "%s takes no %s", clause.Operator, given.name)
		}
	}
}

func (c *checker) clauseValue(at place, clause *Clause, v Value) {
	if v.kind == KindString && len(v.text) > maxValueBytes {
		c.add(at, "value.size", "a value is at most %d bytes", maxValueBytes)
		return
	}
	switch clause.Operator {
	case OpIn:
		if v.kind != KindString && v.kind != KindBool && (v.kind != KindNumber || !v.exact()) {
			c.add(at, "value.type", "in compares strings, booleans and numbers that survive JSON")
		}
	case OpStartsWith, OpEndsWith, OpContains:
		if v.kind != KindString || v.text == "" {
			c.add(at, "value.type", "%s needs texts that are not empty", clause.Operator)
		}
	case OpMatches:
		if v.kind != KindString {
			c.add(at, "value.type", "matches needs patterns")
			return
		}
		c.pattern(at, v.text, clause.IgnoreCase)
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		if v.kind != KindNumber || math.IsInf(v.num, 0) || !v.exact() {
			c.add(at, "value.type", "%s compares numbers that survive JSON", clause.Operator)
		}
	case OpBefore, OpAfter:
		if _, ok := instantOf(v.kind, v.num, v.text, false); !ok {
			c.add(at, "value.date", "write a date as 2026-12-31T00:00:00Z, or as milliseconds since 1970")
		}
	case OpSemverEqual, OpSemverLess, OpSemverLTE, OpSemverMore, OpSemverGTE:
		if v.kind != KindString || !admitVersion(v.text, clause.Coerce) {
			c.add(at, "value.version", "not a semantic version such as 2.1.0 or 2.1.0-rc.1")
		}
	case OpCIDR:
		if _, ok := parsePrefix(v.text); v.kind != KindString || !ok {
			c.add(at, "value.cidr", "not an address or prefix such as 10.0.0.0/8 or 2001:db8::/32 (IPv4 inside IPv6: write the IPv4 form)")
		}
	case OpSegment, OpPrerequisite:
		if v.kind != KindString {
			c.add(at, "value.type", "%s needs keys", clause.Operator)
			return
		}
		c.key(at, v.text)
	}
}

// admitVersion lets Masterminds/semver judge a version. Strict: missing core parts are padded. Loose: spaces around
// and one leading v or V are taken away first.
func admitVersion(text string, loose bool) bool {
	if loose {
		text = trimLoose(text)
		if strings.HasPrefix(text, "v") {
			return false // NewVersion would take another one
		}
		_, err := semver.NewVersion(text)
		return err == nil
	}
	_, err := semver.StrictNewVersion(padVersion(text))
	return err == nil
}

// padVersion completes 2 and 2.1 to 2.0.0 and 2.1.0.
func padVersion(text string) string {
	core, rest := text, ""
	if i := strings.IndexAny(text, "-+"); i >= 0 {
		core, rest = text[:i], text[i:]
	}
	for range 2 - min(2, strings.Count(core, ".")) {
		core += ".0"
	}
	return core + rest
}
