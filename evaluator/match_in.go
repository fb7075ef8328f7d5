package evaluator

import (
	"slices"
	"strings"
)

// inMatcher is the operator `in`: equal and of equal type; with coerce equal as text.
type inMatcher struct {
	texts   *textSet
	numbers []float64 // sorted
	truth   [2]bool   // is false, is true among the values
	coerce  bool
	fold    bool
}

func newInMatcher(from *Clause) matcher {
	m := &inMatcher{coerce: from.Coerce, fold: from.IgnoreCase}
	var texts []string
	for _, v := range from.Values {
		switch {
		case v.kind == KindString:
			texts = append(texts, v.text)
		case m.coerce:
			var room [numberRoom]byte
			texts = append(texts, strings.Clone(coercedText(v.kind, v.num, &room)))
		case v.kind == KindNumber:
			m.numbers = append(m.numbers, v.num)
		case v.kind == KindBool:
			m.truth[int(v.num)] = true
		}
	}
	if m.fold {
		for i := range texts {
			texts[i] = strings.ToLower(texts[i])
		}
	}
	slices.Sort(m.numbers)
	m.texts = newTextSet(texts)
	return m
}

func (m *inMatcher) test(kind ValueKind, num float64, text string) state {
	switch {
	case kind == KindString && !m.fold:
		return hitIf(m.texts.has(text))
	case kind == KindString:
		return hitIf(m.hasFolded(text))
	case m.coerce:
		var room [numberRoom]byte
		return hitIf(m.texts.has(coercedText(kind, num, &room)))
	case kind == KindBool:
		return hitIf(m.truth[int(num)])
	}
	_, found := slices.BinarySearch(m.numbers, num)
	return hitIf(found)
}

func (m *inMatcher) hasFolded(text string) bool {
	if isLower(text) {
		return m.texts.has(text)
	}
	if len(text) > foldRoom/2 {
		return m.hasLongFolded(text)
	}
	var room [foldRoom]byte
	return m.texts.has(stackText(appendLower(room[:0], text)))
}

//go:noinline
func (m *inMatcher) hasLongFolded(text string) bool {
	var room [foldRoomLarge]byte
	return m.texts.has(stackText(appendLower(room[:0], text)))
}
