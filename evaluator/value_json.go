package evaluator

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const hexDigits = "0123456789abcdef"

// isPlain reports whether s can stand between quotes as it is.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			return false
		} else if c >= utf8.RuneSelf {
			return isPlainUnicode(s[i:])
		}
	}
	return true
}

func isPlainUnicode(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			return false
		}
	}
	return utf8.ValidString(s)
}

// AppendJSON appends the canonical JSON of v: members sorted by name, no spaces, the shortest escapes,
// numbers as ECMAScript writes them. Strings without escapes and objects of flags are copied as they are.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.kind {
	case KindBool:
		return strconv.AppendBool(dst, v.num != 0)
	case KindNumber:
		return appendNumber(dst, v.num)
	case KindString:
		if v.plain {
			dst = append(dst, '"')
			dst = append(dst, v.text...)
			return append(dst, '"')
		}
		return appendString(dst, v.text)
	case KindObject:
		if v.text != "" {
			return append(dst, v.text...)
		}
		return appendMembers(dst, v.Members())
	case KindList:
		dst = append(dst, '[')
		for i, e := range v.Elems() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.AppendJSON(dst)
		}
		return append(dst, ']')
	case KindUnusable:
		return append(dst, v.text...)
	}
	return append(dst, "null"...)
}

func appendMembers(dst []byte, members []Attribute) []byte {
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, m.Name)
		dst = append(dst, ':')
		dst = m.Value.AppendJSON(dst)
	}
	return append(dst, '}')
}

// appendNumber writes f as ECMAScript does, except that whole numbers beyond ±(2^53-1) keep their exponent: without it
// they would be read back as integers that float64 cannot hold.
func appendNumber(dst []byte, f float64) []byte {
	switch {
	case f != math.Trunc(f):
		return jsontext.AppendFloat(dst, f, 64)
	case math.Abs(f) <= maxSafeInteger:
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}

// appendString writes s between quotes with the escapes JSON demands and no others.
// Invalid UTF-8 (only possible in contexts built in Go) becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 || c == '"' || c == '\\' {
				dst = append(dst, s[start:i]...)
				dst = appendEscape(dst, c)
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			start = i + 1
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// MarshalJSON returns the canonical JSON of v.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// UnmarshalJSON reads one JSON value strictly: duplicate members, bad UTF-8 and nesting below 32 levels are errors.
// A number that float64 cannot hold is read as KindUnusable, so that whoever reads it can say which one it is.
func (v *Value) UnmarshalJSON(data []byte) error {
	s := scanner{data: data, own: true}
	read, err := s.document()
	if err != nil {
		return err
	}
	*v = read.encoded()
	return nil
}

// UnmarshalJSONFrom is UnmarshalJSON for the streaming decoder.
func (v *Value) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	return v.UnmarshalJSON(raw)
}

// encoded returns v with its canonical JSON kept beside it, so that serving it is one copy.
func (v Value) encoded() Value {
	if v.kind == KindObject {
		v.text = ""
		v.text = string(v.AppendJSON(nil))
	}
	return v
}
