package wire

import (
	"bytes"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hoistflags/hoist/evaluator"
)

// EvaluateCall is a plain EvaluateRequest. It may be used again and again; what it holds points into the bytes that were
// read, and into what it keeps for itself.
type EvaluateCall struct {
	Environment []byte
	Key         []byte
	Context     evaluator.Context

	text []byte // the context as JSON, when it came as protobuf
}

// The numbers of the fields of an EvaluateRequest that are read here.
const (
	fieldEnvironment = iota + 1
	fieldKey
	fieldContext
)

// ReadProto reads an EvaluateRequest without reflection. It is false when the message is not of the plainest form, right or
// wrong: whoever reads messages properly then decides.
func (c *EvaluateCall) ReadProto(data []byte) bool {
	c.Environment, c.Key, c.text = nil, nil, c.text[:0]
	seen := protowire.Number(0) // fields come in their order, each once, as every encoder writes them
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 || kind != protowire.BytesType || number <= seen {
			return false
		}
		seen = number
		body, m := protowire.ConsumeBytes(data[n:])
		if m < 0 {
			return false
		}
		data = data[n+m:]
		switch {
		case number == fieldContext:
			var ok bool
			if c.text, ok = appendStruct(c.text, body, 1); !ok {
				return false
			}
		case number == fieldEnvironment && utf8.Valid(body):
			c.Environment = body
		case number == fieldKey && utf8.Valid(body):
			c.Key = body
		default:
			return false
		}
	}
	return c.parse(c.text)
}

// parse reads the context from its JSON; no text is no context.
func (c *EvaluateCall) parse(text []byte) bool {
	if len(text) == 0 {
		c.Context.TargetingKey, c.Context.Attributes = "", c.Context.Attributes[:0]
		return true
	}
	return evaluator.ParseContext(text, &c.Context) == nil
}

// appendStruct appends a google.protobuf.Struct as JSON.
func appendStruct(dst, data []byte, depth int) ([]byte, bool) {
	dst = append(dst, '{')
	for first := true; len(data) > 0; first = false {
		entry, rest, ok := consume(data, 1)
		if !ok {
			return dst, false
		}
		data = rest
		name, value, ok := consume(entry, 1)
		if !ok || !utf8.Valid(name) {
			return dst, false
		}
		value, rest, ok = consume(value, 2)
		if !ok || len(rest) > 0 {
			return dst, false
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, name), ':')
		if dst, ok = appendValue(dst, value, depth+1); !ok {
			return dst, false
		}
	}
	return append(dst, '}'), true
}

// consume takes one field of bytes that has the number.
func consume(data []byte, number protowire.Number) (body, rest []byte, ok bool) {
	got, kind, n := protowire.ConsumeTag(data)
	if n < 0 || got != number || kind != protowire.BytesType {
		return nil, nil, false
	}
	body, m := protowire.ConsumeBytes(data[n:])
	if m < 0 {
		return nil, nil, false
	}
	return body, data[n+m:], true
}

// The numbers of the kinds of a google.protobuf.Value.
const (
	valueNull = iota + 1
	valueNumber
	valueString
	valueBool
	valueStruct
	valueList
)

// appendValue appends a google.protobuf.Value as JSON. It has one field, or it is not plain.
func appendValue(dst, data []byte, depth int) ([]byte, bool) {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 || depth > maxDepth {
		return dst, false
	}
	size := protowire.ConsumeFieldValue(number, kind, data[n:])
	if size < 0 || n+size != len(data) {
		return dst, false
	}
	field := data[n:]
	switch {
	case number == valueNull && kind == protowire.VarintType:
		return append(dst, "null"...), true
	case number == valueNumber && kind == protowire.Fixed64Type:
		bits, _ := protowire.ConsumeFixed64(field)
		f := math.Float64frombits(bits)
		return evaluator.Number(f).AppendJSON(dst), !math.IsNaN(f) && !math.IsInf(f, 0)
	case number == valueBool && kind == protowire.VarintType:
		v, _ := protowire.ConsumeVarint(field)
		return evaluator.Bool(protowire.DecodeBool(v)).AppendJSON(dst), true
	case kind != protowire.BytesType:
		return dst, false
	}
	body, _ := protowire.ConsumeBytes(field)
	switch number {
	case valueString:
		return appendText(dst, body), utf8.Valid(body)
	case valueStruct:
		return appendStruct(dst, body, depth)
	case valueList:
		return appendList(dst, body, depth)
	}
	return dst, false
}

// appendList appends a google.protobuf.ListValue as JSON.
func appendList(dst, data []byte, depth int) ([]byte, bool) {
	dst = append(dst, '[')
	for first := true; len(data) > 0; first = false {
		value, rest, ok := consume(data, 1)
		if !ok {
			return dst, false
		}
		data = rest
		if !first {
			dst = append(dst, ',')
		}
		if dst, ok = appendValue(dst, value, depth+1); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

// appendText appends a JSON string.
func appendText(dst, text []byte) []byte { return evaluator.String(string(text)).AppendJSON(dst) }

// maxPlainJSON is how long a request in JSON may be to be read here: far below what a context may be, so that no limit on
// the canonical form of one is met on the way.
const maxPlainJSON = 2 << 10

// ReadJSON is ReadProto for a request in protobuf's JSON: one object of the members environment, key and context, without
// escapes, and numbers without exponents.
func (c *EvaluateCall) ReadJSON(data []byte) bool {
	c.Environment, c.Key = nil, nil
	r := plainJSON{rest: data}
	var about []byte
	if len(data) > maxPlainJSON || !r.take('{') {
		return false
	}
	for more := !r.take('}'); more; more = !r.take('}') {
		name, ok := r.text()
		if !ok || !r.take(':') {
			return false
		}
		switch {
		case string(name) == "environment" && c.Environment == nil:
			c.Environment, ok = r.text()
		case string(name) == "key" && c.Key == nil:
			c.Key, ok = r.text()
		case string(name) == "context" && about == nil:
			about, ok = r.object()
		default:
			return false
		}
		if !ok || !r.take(',') && r.peek() != '}' {
			return false
		}
		if r.last == ',' && r.peek() == '}' {
			return false
		}
	}
	return r.peek() == 0 && len(r.rest) == 0 && c.parse(about)
}

// plainJSON reads the plainest of JSON.
type plainJSON struct {
	rest []byte
	last byte // what take took
}

// peek is the next byte that is not white space; 0 at the end.
func (r *plainJSON) peek() byte {
	for len(r.rest) > 0 && (r.rest[0] == ' ' || r.rest[0] == '\n' || r.rest[0] == '\t' || r.rest[0] == '\r') {
		r.rest = r.rest[1:]
	}
	if len(r.rest) == 0 {
		return 0
	}
	return r.rest[0]
}

// take skips b, if it is next.
func (r *plainJSON) take(b byte) bool {
	if r.peek() != b || len(r.rest) == 0 {
		return false
	}
	r.rest, r.last = r.rest[1:], b
	return true
}

// text reads a string without escapes. It is never nil when ok.
func (r *plainJSON) text() (text []byte, ok bool) {
	if !r.take('"') {
		return nil, false
	}
	end := bytes.IndexByte(r.rest, '"')
	if end < 0 {
		return nil, false
	}
	text, r.rest = r.rest[:end:end], r.rest[end+1:]
	for _, b := range text {
		if b < ' ' || b == '\\' {
			return nil, false
		}
	}
	return text, utf8.Valid(text)
}

// object finds the end of an object, which whoever reads it properly judges. What protobuf's JSON and a context's may
// read differently is not plain: escapes, exponents, long numbers, a negative zero.
func (r *plainJSON) object() (object []byte, ok bool) {
	if r.peek() != '{' {
		return nil, false
	}
	depth, digits, quoted := 0, 0, false
	for i, b := range r.rest {
		switch {
		case b == '\\':
			return nil, false
		case b == '"':
			quoted = !quoted
		case quoted:
			continue
		case b == '{' || b == '[':
			if depth++; depth == maxDepth { // of messages, what stands within counts as one more
				return nil, false
			}
		case b == '}' || b == ']':
			depth--
		case b >= '0' && b <= '9':
			if digits++; digits > maxDigits || b == '0' && r.rest[i-1] == '-' {
				return nil, false
			}
			continue
		case digits > 0 && (b == 'e' || b == 'E'):
			return nil, false
		case digits > 0 && b == '.':
			continue
		}
		digits = 0
		if depth == 0 {
			object, r.rest = r.rest[:i+1], r.rest[i+1:]
			return object, true
		}
	}
	return nil, false
}

// maxDigits is how many digits a number may have; any of them has a float64 of its own.
const maxDigits = 15
