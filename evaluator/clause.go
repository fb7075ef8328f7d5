package evaluator

// The operators of a clause. Their negations are Clause.Negate; there are no second spellings.
const (
	OpIn           = "in"
	OpStartsWith   = "starts-with"
	OpEndsWith     = "ends-with"
	OpContains     = "contains"
	OpMatches      = "matches"
	OpLess         = "lt"
	OpLessEqual    = "lte"
	OpGreater      = "gt"
	OpGreaterEqual = "gte"
	OpBefore       = "before"
	OpAfter        = "after"
	OpSemverEqual  = "semver-eq"
	OpSemverLess   = "semver-lt"
	OpSemverLTE    = "semver-lte"
	OpSemverMore   = "semver-gt"
	OpSemverGTE    = "semver-gte"
	OpCIDR         = "cidr"
	OpExists       = "exists"
	OpSegment      = "segment"
	OpPrerequisite = "prerequisite"
)

// state is what a clause found, before negation.
type state uint8

const (
	stateMissing  state = iota // no attribute, or null
	stateUnusable              // an attribute the operator cannot read
	stateMiss
	stateHit
)

func hitIf(b bool) state {
	if b {
		return stateHit
	}
	return stateMiss
}

// clause is a compiled Clause.
type clause struct {
	matcher   matcher // nil for the three operators that do not compare an attribute
	by        selector
	operator  string
	attribute string
	negate    bool
	ifMissing bool
	flag      reference   // of a prerequisite clause
	variants  []string    // of a prerequisite clause
	segments  []reference // of a segment clause
}

// matcher compares one scalar of the context with the values of a clause: stateUnusable when it is not of the
// operator's type or syntax, else stateHit or stateMiss. Matchers do not allocate.
type matcher interface{ test(v Value) state }

func compileClauses(from []Clause) []clause {
	if len(from) == 0 {
		return nil
	}
	clauses := make([]clause, len(from))
	for i := range from {
		clauses[i] = compileClause(&from[i])
	}
	return clauses
}

// compileClause compiles a clause that its check has accepted.
func compileClause(from *Clause) clause {
	c := clause{operator: from.Operator, attribute: from.Attribute, negate: from.Negate, ifMissing: from.IfMissing}
	switch from.Operator {
	case OpSegment:
		for _, v := range from.Values {
			c.segments = append(c.segments, refer(v.text))
		}
		return c
	case OpPrerequisite:
		c.flag = refer(from.Attribute)
		c.variants = textsOf(from.Values)
		return c
	}
	c.by, _ = parseSelector(from.Attribute)
	c.matcher = newMatcher(from)
	return c
}

func newMatcher(from *Clause) matcher {
	switch from.Operator {
	case OpIn:
		return newInMatcher(from)
	case OpStartsWith, OpEndsWith, OpContains:
		return newAffixMatcher(from)
	case OpMatches:
		return newPatternMatcher(from)
	case OpLess, OpLessEqual, OpGreater, OpGreaterEqual:
		return newNumberMatcher(from)
	case OpBefore, OpAfter:
		return newInstantMatcher(from)
	case OpSemverEqual, OpSemverLess, OpSemverLTE, OpSemverMore, OpSemverGTE:
		return newVersionMatcher(from)
	case OpCIDR:
		return newAddressMatcher(from)
	}
	return nil // exists
}

func textsOf(values []Value) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.text
	}
	return texts
}

// compare is the part of a clause that needs only the attribute: the elements of a list, or the single value. Any
// usable element that hits decides; usable ones that all miss are a miss; none usable is unusable.
func (c *clause) compare(v Value) state {
	switch v.kind {
	case KindNull:
		return stateMissing
	case KindObject, KindUnusable:
		return stateUnusable
	case KindList:
		found := stateUnusable
		for i := range v.ref.elems {
			switch e := v.ref.elems[i]; e.kind {
			case KindBool, KindNumber, KindString:
				found = max(found, c.matcher.test(e))
			}
			if found == stateHit {
				break
			}
		}
		return found
	}
	return c.matcher.test(v)
}

// result applies negation and ifMissing: only a comparison that took place can be negated.
func (c *clause) result(s state) bool {
	if s < stateMiss {
		return c.ifMissing
	}
	return (s == stateHit) != c.negate
}
