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
	matcher   matcher  // nil for the three operators that do not compare an attribute
	texts     *textSet // of matcher, when it is a plain `in`: a string hits if it is one of these
	by        *selector
	operator  string
	attribute string
	negate    bool
	ifMissing bool
	relation  *relation // of the clauses that ask other flags and segments
}

// relation is what a clause refers to. It is kept apart because few clauses have one and every clause takes room.
type relation struct {
	flag     reference // of a prerequisite clause
	variants []string
	segments []reference // of a segment clause
}

// matcher compares one scalar of the context with the values of a clause: stateUnusable when it is not of the
// operator's type or syntax, else stateHit or stateMiss. Matchers do not allocate. The scalar comes as its parts
// (num for numbers and booleans, text for strings) because they travel in registers and a pointer would escape.
type matcher interface {
	test(kind ValueKind, num float64, text string) state
}

// selectors are the attribute references of one flag or segment, each once: clauses that look at one attribute share
// a selector, and a query that has just followed it knows the answer.
type selectors map[string]*selector

func (names selectors) of(reference string) *selector {
	if names[reference] == nil {
		sel, _ := parseSelector(reference) // Check has accepted it
		names[reference] = &sel
	}
	return names[reference]
}

func compileClauses(from []Clause, names selectors) []clause {
	if len(from) == 0 {
		return nil
	}
	clauses := make([]clause, len(from))
	for i := range from {
		clauses[i] = compileClause(&from[i], names)
	}
	return clauses
}

// compileClause compiles a clause that its check has accepted.
func compileClause(from *Clause, names selectors) clause {
	c := clause{operator: from.Operator, attribute: from.Attribute, negate: from.Negate, ifMissing: from.IfMissing}
	switch from.Operator {
	case OpSegment:
		c.relation = &relation{}
		for _, v := range from.Values {
			c.relation.segments = append(c.relation.segments, refer(v.text))
		}
		return c
	case OpPrerequisite:
		c.relation = &relation{flag: refer(from.Attribute), variants: textsOf(from.Values)}
		return c
	}
	c.by = names.of(from.Attribute)
	c.matcher = newMatcher(from)
	if in, ok := c.matcher.(*inMatcher); ok && !in.fold {
		c.texts = in.texts
	}
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
func (c *clause) compare(v *Value) state {
	if v == nil {
		return stateMissing
	}
	switch v.kind {
	case KindBool, KindNumber, KindString:
		return c.matcher.test(v.kind, v.num, v.text)
	case KindList:
		found := stateUnusable
		for i := range v.ref.elems {
			e := &v.ref.elems[i]
			if e.kind == KindBool || e.kind == KindNumber || e.kind == KindString {
				found = max(found, c.matcher.test(e.kind, e.num, e.text))
			}
			if found == stateHit {
				return stateHit
			}
		}
		return found
	}
	return stateUnusable // objects, and numbers that float64 cannot hold
}

// result applies negation and ifMissing: only a comparison that took place can be negated.
func (c *clause) result(s state) bool {
	if s < stateMiss {
		return c.ifMissing
	}
	return (s == stateHit) != c.negate
}
