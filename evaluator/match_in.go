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
		var room [numberRoom]byte
		text, _ := coercedText(v, &room)
		switch {
		case v.kind == KindString || m.coerce:
			text = strings.Clone(text)
			if m.fold {
				text = strings.ToLower(text)
			}
			texts = append(texts, text)
		case v.kind == KindNumber:
			m.numbers = append(m.numbers, v.num)
		case v.kind == KindBool:
			m.truth[int(v.num)] = true
		}
	}
	slices.Sort(m.numbers)
	m.texts = newTextSet(texts)
	return m
}

func (m *inMatcher) test(v Value) state {
	if v.kind == KindString {
		return hitIf(m.hasText(v.text))
	}
	if m.coerce {
		var room [numberRoom]byte
		text, _ := coercedText(v, &room)
		return hitIf(m.hasText(text))
	}
	if v.kind == KindBool {
		return hitIf(m.truth[int(v.num)])
	}
	_, found := slices.BinarySearch(m.numbers, v.num)
	return hitIf(found)
}

func (m *inMatcher) hasText(text string) bool {
	if !m.fold || isLower(text) {
		return m.texts.has(text)
	}
	if len(text) > foldRoom/2 {
		return m.hasLongText(text)
	}
	var room [foldRoom]byte
	return m.texts.has(stackText(appendLower(room[:0], text)))
}

//go:noinline
func (m *inMatcher) hasLongText(text string) bool {
	var room [foldRoomLarge]byte
	return m.texts.has(stackText(appendLower(room[:0], text)))
}
