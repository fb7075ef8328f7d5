package evaluator

import (
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how many objects and lists may be nested in any document that comes through a door.
const maxDepth = 32

// syntaxError says what is wrong with a JSON text and at which byte.
type syntaxError struct {
	what   string
	offset int
}

func (e *syntaxError) Error() string { return e.what + " at byte " + strconv.Itoa(e.offset) }

// scanner reads JSON strictly (RFC 7493: no duplicate names, valid UTF-8, no lone surrogates) into Values.
// It exists because contexts are read once per evaluation: a general decoder costs more than the evaluation
// itself. A fuzz test holds it to the answers of github.com/go-json-experiment/json.
type scanner struct {
	data []byte
	pos  int
	own  bool // copy strings instead of referring to data
}

func (s *scanner) fail(what string) error { return &syntaxError{what: what, offset: s.pos} }

// document reads one value and nothing after it.
func (s *scanner) document() (Value, error) {
	v, err := s.value(1)
	if err != nil {
		return v, err
	}
	return v, s.end()
}

// end checks that only white space is left.
func (s *scanner) end() error {
	s.space()
	if s.pos < len(s.data) {
		return s.fail("unexpected data after the value")
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// value reads one value; a container read here is the depth-th one around its content.
func (s *scanner) value(depth int) (Value, error) {
	switch c := s.peek(); c {
	case '"':
		text, plain, err := s.string()
		return Value{kind: KindString, text: text, plain: plain}, err
	case '{':
		members, err := s.members(depth)
		return Value{kind: KindObject, ref: &composite{members: members}}, err
	case '[':
		elems, err := s.list(depth)
		return Value{kind: KindList, ref: &composite{elems: elems}}, err
	case 't':
		return Value{kind: KindBool, num: 1}, s.literal("true")
	case 'f':
		return Value{kind: KindBool}, s.literal("false")
	case 'n':
		return Value{}, s.literal("null")
	default:
		if c == '-' || (c >= '0' && c <= '9') {
			return s.number()
		}
		return Value{}, s.fail("expected a JSON value")
	}
}

func (s *scanner) literal(word string) error {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return s.fail("expected a JSON value")
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) list(depth int) ([]Value, error) {
	if depth > maxDepth {
		return nil, s.fail("nested too deeply")
	}
	s.pos++
	var elems []Value
	if s.peek() == ']' {
		s.pos++
		return elems, nil
	}
	for {
		v, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		elems = append(elems, v)
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return elems, nil
		default:
			return nil, s.fail("expected , or ] in a list")
		}
	}
}

// members reads an object and returns its members sorted by name.
func (s *scanner) members(depth int) ([]Attribute, error) {
	var members []Attribute
	err := s.object(depth, func(name string) error {
		v, err := s.value(depth + 1)
		members = append(members, Attribute{Name: name, Value: v})
		return err
	})
	if err != nil {
		return nil, err
	}
	return members, s.sortUnique(members)
}

// object reads an object and calls member after each name, which must read the value.
func (s *scanner) object(depth int, member func(name string) error) error {
	if depth > maxDepth {
		return s.fail("nested too deeply")
	}
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.fail("expected a member name")
		}
		name, _, err := s.string()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.fail("expected : after a member name")
		}
		s.pos++
		if err := member(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("expected , or } in an object")
		}
	}
}

// sortUnique sorts members by name in place and refuses duplicates. Contexts are small and often sorted
// already, which insertion sort likes.
func (s *scanner) sortUnique(members []Attribute) error {
	if len(members) > 24 {
		slices.SortFunc(members, byName)
	} else {
		for i := 1; i < len(members); i++ {
			for j := i; j > 0 && members[j].Name < members[j-1].Name; j-- {
				members[j], members[j-1] = members[j-1], members[j]
			}
		}
	}
	for i := 1; i < len(members); i++ {
		if members[i].Name == members[i-1].Name {
			return s.fail("duplicate member " + strconv.Quote(members[i].Name))
		}
	}
	return nil
}

// string reads a string; plain says that its text needs no escapes when it is written again.
func (s *scanner) string() (text string, plain bool, err error) {
	start := s.pos + 1
	ascii := true
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			raw := s.data[start:i]
			if !ascii && !utf8.Valid(raw) {
				return "", false, s.fail("string with invalid UTF-8")
			}
			s.pos = i + 1
			return s.text(raw), true, nil
		case c == '\\':
			return s.escaped(start, i)
		case c < 0x20:
			s.pos = i
			return "", false, s.fail("unescaped control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.pos = len(s.data)
	return "", false, s.fail("string without end")
}

// text makes a string of bytes of the document. Contexts refer to the document itself (ParseContext says so),
// because one copy per attribute would be the most expensive part of reading a context.
func (s *scanner) text(raw []byte) string {
	if s.own || len(raw) == 0 {
		return string(raw)
	}
	return unsafe.String(&raw[0], len(raw))
}

// escaped reads the rest of a string from its first backslash on.
func (s *scanner) escaped(start, at int) (string, bool, error) {
	out := append(make([]byte, 0, 2*(at-start)+16), s.data[start:at]...)
	for s.pos = at; s.pos < len(s.data); {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			if !utf8.Valid(out) {
				return "", false, s.fail("string with invalid UTF-8")
			}
			text := string(out)
			return text, isPlain(text), nil
		case c == '\\':
			var err error
			if out, err = s.escape(out); err != nil {
				return "", false, err
			}
		case c < 0x20:
			return "", false, s.fail("unescaped control character in a string")
		default:
			out = append(out, c)
			s.pos++
		}
	}
	return "", false, s.fail("string without end")
}

// escape reads one escape sequence and appends what it stands for.
func (s *scanner) escape(out []byte) ([]byte, error) {
	if s.pos+1 >= len(s.data) {
		return nil, s.fail("string without end")
	}
	s.pos += 2
	switch s.data[s.pos-1] {
	case '"', '\\', '/':
		return append(out, s.data[s.pos-1]), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		return s.escapedRune(out)
	}
	return nil, s.fail("unknown escape in a string")
}

func (s *scanner) escapedRune(out []byte) ([]byte, error) {
	r, ok := s.hex4()
	if !ok {
		return nil, s.fail("bad \\u escape")
	}
	if utf16.IsSurrogate(r) {
		if len(s.data)-s.pos < 6 || s.data[s.pos] != '\\' || s.data[s.pos+1] != 'u' {
			return nil, s.fail("half a surrogate pair")
		}
		s.pos += 2
		low, ok := s.hex4()
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return nil, s.fail("half a surrogate pair")
		}
	}
	return utf8.AppendRune(out, r), nil
}

func (s *scanner) hex4() (rune, bool) {
	if len(s.data)-s.pos < 4 {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.pos : s.pos+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	s.pos += 4
	return r, true
}

// number reads a number. An integer literal beyond ±(2^53-1) and a number beyond float64 are unusable:
// a rounded user id would be another user.
func (s *scanner) number() (Value, error) {
	raw, integer, ok := numberLiteral(s.data[s.pos:])
	if !ok {
		return Value{}, s.fail("malformed number")
	}
	s.pos += len(raw)
	if f, ok := parseNumber(unsafe.String(&raw[0], len(raw)), integer); ok {
		return Value{kind: KindNumber, num: f}, nil
	}
	return Value{kind: KindUnusable, text: s.text(raw)}, nil
}
