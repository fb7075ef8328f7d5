package evaluator

import (
	"regexp"
	"sync"
)

// maxPatternInput is the longest text a pattern is tried on. A longer one is unusable, never cut: a pattern that is
// anchored at the end would see another text.
const maxPatternInput = 512

// patternMatcher is the operator `matches`: the pattern is found anywhere.
type patternMatcher struct {
	patterns []*regexp.Regexp
	coerce   bool
	rooms    sync.Pool // of *[numberRoom]byte: regexp keeps its input, which would push a buffer to the heap
}

func newPatternMatcher(from *Clause) matcher {
	m := &patternMatcher{coerce: from.Coerce}
	m.rooms.New = func() any { return new([numberRoom]byte) }
	for _, v := range from.Values {
		m.patterns = append(m.patterns, regexp.MustCompile(patternText(v.text, from.IgnoreCase)))
	}
	return m
}

// patternText is the pattern that is compiled, and judged at admission.
func patternText(pattern string, ignoreCase bool) string {
	if ignoreCase {
		return "(?i)" + pattern
	}
	return pattern
}

func (m *patternMatcher) test(kind ValueKind, num float64, text string) state {
	switch {
	case kind == KindString && len(text) > maxPatternInput:
		return stateUnusable
	case kind == KindString:
		return hitIf(m.found(text))
	case !m.coerce:
		return stateUnusable
	}
	room := m.rooms.Get().(*[numberRoom]byte)
	defer m.rooms.Put(room)
	return hitIf(m.found(coercedText(kind, num, room)))
}

func (m *patternMatcher) found(text string) bool {
	for _, p := range m.patterns {
		if p.MatchString(text) {
			return true
		}
	}
	return false
}
