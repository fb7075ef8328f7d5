package evaluator

import (
	"slices"
	"strings"
)

// targetingKey is the name under which Context.TargetingKey is an attribute like others.
const targetingKey = "targetingKey"

// Attribute is a named value of a context or a member of an object.
type Attribute struct {
	Name  string
	Value Value
}

// Context is who asks. Attributes are sorted by name (bytewise) and unique; NewContext and ParseContext see to it.
//
// An absent targeting key and an empty one differ only in clauses (exists). TargetingKey is "" for both;
// the empty one is also listed among the Attributes.
type Context struct {
	TargetingKey string
	Attributes   []Attribute
}

// NewContext returns a context of attributes in any order; of several with one name the last stays.
func NewContext(key string, attributes ...Attribute) *Context {
	c := &Context{TargetingKey: key, Attributes: Object(attributes).Members()}
	if i, ok := slices.BinarySearchFunc(c.Attributes, targetingKey, compareName); ok && key != "" {
		c.Attributes = slices.Delete(c.Attributes, i, i+1)
	}
	return c
}

func compareName(a Attribute, name string) int { return strings.Compare(a.Name, name) }

// linearSearch is the length up to which walking sorted attributes beats bisecting them.
const linearSearch = 8

// findAttribute returns the value of the attribute called name, nil when there is none.
func findAttribute(sorted []Attribute, name string) *Value {
	if len(sorted) <= linearSearch {
		for i := range sorted {
			if sameText(sorted[i].Name, name) {
				return &sorted[i].Value
			}
		}
		return nil
	}
	low, high := 0, len(sorted)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if sorted[middle].Name < name {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(sorted) && sorted[low].Name == name {
		return &sorted[low].Value
	}
	return nil
}

// selector is an attribute reference resolved at compile time: a plain name, or the steps of a JSON pointer.
type selector struct {
	name  string
	steps []string // behind name, when the reference is a pointer into an object
	key   bool     // name is targetingKey
}

// parseSelector reads an attribute reference. A leading slash makes it a JSON pointer (RFC 6901);
// without it every byte, dots included, belongs to the name.
func parseSelector(reference string) (selector, bool) {
	if !strings.HasPrefix(reference, "/") {
		return selector{name: reference, key: reference == targetingKey}, reference != ""
	}
	steps := strings.Split(reference[1:], "/")
	for i, step := range steps {
		plain := strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(step), "~") || step == "" {
			return selector{}, false
		}
		steps[i] = plain
	}
	return selector{name: steps[0], steps: steps[1:], key: steps[0] == targetingKey && len(steps) == 1}, true
}

// find returns the selected attribute, nil when it is absent or null.
func (sel *selector) find(c *Context) *Value {
	v := findAttribute(c.Attributes, sel.name)
	for i := range sel.steps {
		if v == nil || v.kind != KindObject {
			return nil
		}
		v = findAttribute(v.ref.members, sel.steps[i])
	}
	if v == nil || v.kind == KindNull {
		return nil
	}
	return v
}

// keyValue is the targeting key as a value.
func (c *Context) keyValue() Value { return Value{kind: KindString, text: c.TargetingKey} }

// AppendCanonical appends the canonical JSON of the context: members sorted by name, the targeting key among them.
// Equal contexts, however they were spelled, give equal bytes.
func (c *Context) AppendCanonical(dst []byte) []byte {
	dst = append(dst, '{')
	comma := false
	member := func(name string, v Value) {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = v.AppendJSON(dst)
	}
	keyDone := c.TargetingKey == ""
	for _, a := range c.Attributes {
		if !keyDone && a.Name > targetingKey {
			keyDone = true
			member(targetingKey, c.keyValue())
		}
		member(a.Name, a.Value)
	}
	if !keyDone {
		member(targetingKey, c.keyValue())
	}
	return append(dst, '}')
}
