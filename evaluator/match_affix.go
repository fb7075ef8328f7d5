package evaluator

import (
	"slices"
	"strings"
)

// affixMatcher is starts-with, ends-with and contains.
type affixMatcher struct {
	where   string // the operator
	needles []string
	set     *textSet // of many prefixes or suffixes: one look-up per length instead of one comparison per needle
	lengths []int
	coerce  bool
	fold    bool
}

func newAffixMatcher(from *Clause) matcher {
	m := &affixMatcher{where: from.Operator, coerce: from.Coerce, fold: from.IgnoreCase}
	m.needles = textsOf(from.Values)
	if m.fold {
		for i := range m.needles {
			m.needles[i] = strings.ToLower(m.needles[i])
		}
	}
	if m.where != OpContains && len(m.needles) > smallSet {
		m.set = newTextSet(m.needles)
		for _, needle := range m.needles {
			m.lengths = append(m.lengths, len(needle))
		}
		slices.Sort(m.lengths)
		m.lengths = slices.Clip(slices.Compact(m.lengths))
		m.needles = nil
	}
	return m
}

func (m *affixMatcher) test(kind ValueKind, num float64, text string) state {
	switch {
	case kind == KindString:
		return hitIf(m.foldedHit(text))
	case !m.coerce:
		return stateUnusable
	}
	var room [numberRoom]byte
	return hitIf(m.foldedHit(coercedText(kind, num, &room)))
}

func (m *affixMatcher) foldedHit(text string) bool {
	if !m.fold || isLower(text) {
		return m.hit(text)
	}
	if len(text) > foldRoom/2 {
		return m.longHit(text)
	}
	var room [foldRoom]byte
	return m.hit(stackText(appendLower(room[:0], text)))
}

//go:noinline
func (m *affixMatcher) longHit(text string) bool {
	var room [foldRoomLarge]byte
	return m.hit(stackText(appendLower(room[:0], text)))
}

func (m *affixMatcher) hit(text string) bool {
	for _, n := range m.lengths {
		if n > len(text) {
			return false
		}
		part := text[:n]
		if m.where == OpEndsWith {
			part = text[len(text)-n:]
		}
		if m.set.has(part) {
			return true
		}
	}
	for _, needle := range m.needles {
		var hit bool
		switch m.where {
		case OpStartsWith:
			hit = strings.HasPrefix(text, needle)
		case OpEndsWith:
			hit = strings.HasSuffix(text, needle)
		default:
			hit = strings.Contains(text, needle)
		}
		if hit {
			return true
		}
	}
	return false
}
