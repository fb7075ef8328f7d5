package evaluator

import "slices"

// textSet is an immutable set of strings. Short lists are compared one after the other; longer ones are found by
// hash: a slot holds the upper half of the hash beside the place of the string, so a miss touches one cache line.
type textSet struct {
	texts []string
	slots []uint64 // upper 32 bits of the hash, then place+1; 0 is free; a power of two
}

const smallSet = 8

func newTextSet(texts []string) *textSet {
	t := &textSet{texts: texts}
	if len(texts) <= smallSet {
		return t
	}
	t.slots = make([]uint64, slotsFor(len(texts)))
	kept := texts[:0:0]
	for _, text := range texts {
		if t.lookup(kept, text) >= 0 {
			continue
		}
		kept = append(kept, text)
		h := hashText(text)
		i := h & uint64(len(t.slots)-1)
		for t.slots[i] != 0 {
			i = (i + 1) & uint64(len(t.slots)-1)
		}
		t.slots[i] = h&^0xffffffff | uint64(len(kept))
	}
	t.texts = slices.Clip(kept)
	return t
}

func (t *textSet) has(text string) bool { return t.place(text) >= 0 }

// place is where text stands in the list, -1 when it does not.
func (t *textSet) place(text string) int {
	if t.slots != nil {
		return t.lookup(t.texts, text)
	}
	n := len(text)
	for i := range t.texts {
		// Values of one list tend to begin alike (user-1, user-2), so the last byte tells most of them apart.
		one := t.texts[i]
		if len(one) == n && (n == 0 || (one[n-1] == text[n-1] && sameText(one, text))) {
			return i
		}
	}
	return -1
}

func (t *textSet) lookup(texts []string, text string) int {
	h := hashText(text)
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		slot := t.slots[i]
		if slot == 0 {
			return -1
		}
		if at := uint32(slot) - 1; slot>>32 == h>>32 && sameText(texts[at], text) {
			return int(at)
		}
	}
}
