package evaluator

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one place of a definition that cannot be accepted.
type Problem struct {
	Field   string `json:"field"`   // JSON pointer into the definition, e.g. /rules/0/if/1/values/0
	Code    string `json:"code"`    // e.g. flag.weights.sum
	Message string `json:"message"` // what is wrong and what to do
}

// Problems is every reason why a definition is refused. DecodeFlag, DecodeSegment, Compile and CompileSegment return
// it as their error; codes that start with "decode." mean that the body could not be read at all.
type Problems []Problem

func (p Problems) Error() string {
	var b strings.Builder
	for i, one := range p {
		if i > 0 {
			b.WriteString("; ")
		}
		if one.Field != "" {
			b.WriteString(one.Field + ": ")
		}
		b.WriteString(one.Message)
	}
	return b.String()
}

// Undecodable reports whether the definition could not be read, as opposed to read and refused.
func (p Problems) Undecodable() bool {
	return len(p) > 0 && strings.HasPrefix(p[0].Code, "decode.")
}

// add appends a problem at field.
func (p *Problems) add(field place, code, format string, args ...any) {
	*p = append(*p, Problem{Field: field.pointer(), Code: code, Message: fmt.Sprintf(format, args...)})
}

// place is a path into a definition. It becomes text only when something is wrong there, because checking a good
// flag is on the way of every write.
type place struct {
	parent *place
	name   string
	index  int // used when name is empty
}

func (p *place) at(name string) place { return place{parent: p, name: name} }
func (p *place) nth(i int) place      { return place{parent: p, index: i} }

func (p place) pointer() string {
	if p.parent == nil {
		return ""
	}
	step := p.name
	if step == "" {
		step = strconv.Itoa(p.index)
	}
	return p.parent.pointer() + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
}
