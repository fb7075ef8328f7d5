package evaluator

// numberMatcher is lt, lte, gt and gte. Some value is greater than x exactly when the greatest is, so one bound
// stands for all values.
type numberMatcher struct {
	bound  float64
	none   bool // no values: nothing hits
	below  bool // lt, lte
	equal  bool // lte, gte
	coerce bool
}

func newNumberMatcher(from *Clause) matcher {
	m := &numberMatcher{
		none:   len(from.Values) == 0,
		below:  from.Operator == OpLess || from.Operator == OpLessEqual,
		equal:  from.Operator == OpLessEqual || from.Operator == OpGreaterEqual,
		coerce: from.Coerce,
	}
	for i, v := range from.Values {
		if i == 0 || (m.below && v.num > m.bound) || (!m.below && v.num < m.bound) {
			m.bound = v.num
		}
	}
	return m
}

func (m *numberMatcher) test(kind ValueKind, x float64, text string) state {
	if kind == KindString && m.coerce {
		raw, integer, ok := numberLiteral(text)
		if !ok || len(raw) != len(text) {
			return stateUnusable
		}
		if x, ok = parseNumber(raw, integer); !ok {
			return stateUnusable
		}
	} else if kind != KindNumber {
		return stateUnusable
	}
	switch {
	case m.none:
		return stateMiss
	case m.below:
		return hitIf(x < m.bound || (m.equal && x == m.bound))
	}
	return hitIf(x > m.bound || (m.equal && x == m.bound))
}
