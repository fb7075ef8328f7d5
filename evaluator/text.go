package evaluator

import (
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// stackText lends bytes as a string, so that text made on the stack can be compared without an allocation. The string
// must not outlive b.
func stackText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendNumberText writes a number as `coerce` reads it: integers in base 10, others in the shortest form that
// reads back as the same float64.
func appendNumberText(dst []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) <= maxSafeInteger {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// coercedText is the text form of a number or boolean.
func coercedText(kind ValueKind, num float64, room *[numberRoom]byte) string {
	if kind == KindBool {
		return boolText(num != 0)
	}
	return stackText(appendNumberText(room[:0], num))
}

// Texts up to foldRoom bytes are folded in a small buffer, others up to the limit of the doors in a large one, which
// is kept out of the common path because it has to be cleared.
const (
	foldRoom      = 192
	foldRoomLarge = 3 * maxAttributeValue / 2 // lower case is at most half as long again: Ⱥ to ⱥ
)

// isLower reports whether s is plain ASCII without upper-case letters: its own lower-case form.
func isLower(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf || (c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}

// appendLower appends strings.ToLower(s) without allocating for it.
func appendLower(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf {
			for _, r := range s[i:] {
				dst = utf8.AppendRune(dst, unicode.ToLower(r))
			}
			return dst
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
