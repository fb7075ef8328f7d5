package evaluator

import "bytes"

// Definitions are read far more often than people write them: by every node from the log, and all of them when a node
// starts. They stand there as Canonical writes them. That form is read here by hand, in a tenth of the time; everything
// else, and everything that is wrong, is left to the library, which also knows what is wrong with it. What is read here
// is what the library would read: a fuzz test holds the two together.

// reader reads what Canonical wrote: members in the order of the struct, no spaces between them.
type reader struct {
	scanner
	failed bool // met something else; everything after it reads as zero
}

// byte takes one byte.
func (r *reader) byte(want byte) bool {
	if r.failed || r.pos >= len(r.data) || r.data[r.pos] != want {
		r.failed = true
		return false
	}
	r.pos++
	return true
}

// member takes the name of a member, if it is the next one.
func (r *reader) member(name string) bool {
	if r.failed || r.pos == 0 {
		return false
	}
	at := r.pos
	if r.data[at-1] != '{' {
		if at >= len(r.data) || r.data[at] != ',' {
			return false
		}
		at++
	}
	end := at + len(name) + 3
	if end > len(r.data) || r.data[at] != '"' || r.data[end-2] != '"' || r.data[end-1] != ':' || string(r.data[at+1:end-2]) != name {
		return false
	}
	r.pos = end
	return true
}

// text takes a text. Words that stand in many definitions are not copied.
func (r *reader) text() string {
	if r.failed || r.pos >= len(r.data) || r.data[r.pos] != '"' {
		r.failed = true
		return ""
	}
	if r.own {
		if end := bytes.IndexByte(r.data[r.pos+1:min(r.pos+16, len(r.data))], '"'); end >= 0 {
			if word := commonWord(r.data[r.pos+1 : r.pos+1+end]); word != "" {
				r.pos += end + 2
				return word
			}
		}
	}
	text, _, err := r.string()
	r.failed = err != nil
	return text
}

func commonWord(b []byte) string {
	switch string(b) {
	case "on":
		return "on"
	case "off":
		return "off"
	case "true":
		return "true"
	case "false":
		return "false"
	case "default":
		return "default"
	case "boolean":
		return "boolean"
	case "string":
		return "string"
	case "number":
		return "number"
	case "object":
		return "object"
	case "config":
		return "config"
	case OpIn:
		return OpIn
	case OpSegment:
		return OpSegment
	case OpPrerequisite:
		return OpPrerequisite
	}
	return ""
}

// variant takes a text that is the key of a variant, as a rule.
func (r *reader) variant(variants []Variant) string {
	if r.own && !r.failed && r.pos < len(r.data) && r.data[r.pos] == '"' {
		for i := range variants {
			key, end := variants[i].Key, r.pos+1+len(variants[i].Key)
			if end < len(r.data) && r.data[end] == '"' && string(r.data[r.pos+1:end]) == key && isPlain(key) {
				r.pos = end + 1
				return key
			}
		}
	}
	return r.text()
}

func (r *reader) truth() bool {
	if r.failed || r.pos >= len(r.data) {
		r.failed = true
		return false
	}
	truth := r.data[r.pos] == 't'
	word := "false"
	if truth {
		word = "true"
	}
	r.failed = r.literal(word) != nil
	return truth
}

// integer takes a whole number that is not negative.
func (r *reader) integer() (n uint64) {
	from := r.pos
	for !r.failed && r.pos < len(r.data) && r.data[r.pos] >= '0' && r.data[r.pos] <= '9' {
		n = 10*n + uint64(r.data[r.pos]-'0')
		r.pos++
	}
	digits := r.pos - from
	if digits == 0 || digits > 18 || digits > 1 && r.data[from] == '0' ||
		r.pos < len(r.data) && (r.data[r.pos] == '.' || r.data[r.pos] == 'e' || r.data[r.pos] == 'E') {
		r.failed = true
	}
	return n
}

// value takes a value that is not null: what null means depends on where it stands.
func (r *reader) value() Value {
	if r.failed || r.peek() == 'n' {
		r.failed = true
		return Value{}
	}
	v, err := r.scanner.value(1)
	r.failed = err != nil
	return v.encoded()
}

func (r *reader) pointer() *Value {
	v := r.value()
	return &v
}

// begin takes the bracket of a list or object that is not empty, and next what follows an element: false behind the last.
func (r *reader) begin(bracket byte) bool { return r.byte(bracket) }

func (r *reader) next(bracket byte) bool {
	if !r.failed && r.pos < len(r.data) && r.data[r.pos] == bracket {
		r.pos++
		return false
	}
	return r.byte(',')
}

// kept gives a list just the memory it needs.
func kept[T any](list []T) []T { return append(make([]T, 0, len(list)), list...) }

func (r *reader) texts() []string {
	var room [8]string
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		list = append(list, r.text())
	}
	return kept(list)
}

func (r *reader) values() []Value {
	var room [8]Value
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		list = append(list, r.value())
	}
	return kept(list)
}

func (r *reader) annotations() map[string]string {
	members := map[string]string{}
	for more := r.begin('{'); more; more = r.next('}') {
		name := r.text()
		r.byte(':')
		if _, twice := members[name]; twice {
			r.failed = true
		}
		members[name] = r.text()
	}
	return members
}

func (r *reader) metadata() map[string]Value {
	members := map[string]Value{}
	for more := r.begin('{'); more; more = r.next('}') {
		name := r.text()
		r.byte(':')
		if _, twice := members[name]; twice {
			r.failed = true
		}
		members[name] = r.value()
	}
	return members
}
