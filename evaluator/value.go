package evaluator

import (
	"cmp"
	"math"
	"slices"
)

// ValueKind is the JSON kind of a Value.
type ValueKind uint8

// The kinds of a Value.
const (
	KindNull ValueKind = iota
	KindBool
	KindNumber
	KindString
	KindObject
	KindList
	KindUnusable // a number that float64 cannot hold without loss; it is kept as text and never compared
)

// maxSafeInteger is the largest integer for which float64 still tells neighbours apart: 2^53-1.
const maxSafeInteger = 1<<53 - 1

// Value is one JSON value. It is immutable and cheap to copy; the zero Value is null.
// Compare values with Equal, not with ==.
type Value struct {
	kind  ValueKind
	plain bool // KindString: text needs no escaping in JSON
	num   float64
	text  string // KindString: the string; KindObject: canonical JSON where it is known; KindUnusable: the literal
	ref   *composite
}

// composite holds the inside of objects (members, sorted by name) and lists (elems).
type composite struct {
	members []Attribute
	elems   []Value
}

// Bool returns a boolean value.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// String returns a string value. The bytes are kept as they are.
func String(s string) Value {
	return Value{kind: KindString, plain: isPlain(s), text: s}
}

// Number returns a number value. NaN and the infinities have no JSON form and give a KindUnusable value.
func Number(f float64) Value {
	switch {
	case f == 0: // also -0, which would otherwise have a second spelling
		return Value{kind: KindNumber}
	case math.IsNaN(f):
		return Value{kind: KindUnusable, text: "null"}
	case math.IsInf(f, 0):
		return Value{kind: KindUnusable, text: "null"}
	}
	return Value{kind: KindNumber, num: f}
}

// Object returns an object of the members, sorted by name; of several members of one name the last stays.
func Object(members []Attribute) Value {
	sorted := slices.Clone(members)
	slices.SortStableFunc(sorted, byName)
	kept := sorted[:0]
	for i, m := range sorted {
		if i+1 < len(sorted) && sorted[i+1].Name == m.Name {
			continue
		}
		kept = append(kept, m)
	}
	v := Value{kind: KindObject, ref: &composite{members: kept}}
	v.text = string(v.AppendJSON(nil))
	return v
}

// List returns a list. Lists occur in contexts and inside objects; no flag serves one.
func List(elems []Value) Value {
	return Value{kind: KindList, ref: &composite{elems: slices.Clone(elems)}}
}

func byName(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) }

// Kind returns the JSON kind.
func (v Value) Kind() ValueKind { return v.kind }

// AsBool returns the boolean, false for other kinds.
func (v Value) AsBool() bool { return v.kind == KindBool && v.num != 0 }

// AsString returns the string, "" for other kinds.
func (v Value) AsString() string {
	if v.kind != KindString {
		return ""
	}
	return v.text
}

// AsNumber returns the number, 0 for other kinds.
func (v Value) AsNumber() float64 {
	if v.kind != KindNumber {
		return 0
	}
	return v.num
}

// Members returns the members of an object, sorted by name; the slice must not be changed.
func (v Value) Members() []Attribute {
	if v.ref == nil {
		return nil
	}
	return v.ref.members
}

// Elems returns the elements of a list; the slice must not be changed.
func (v Value) Elems() []Value {
	if v.ref == nil {
		return nil
	}
	return v.ref.elems
}

// Member returns the member of an object by its name.
func (v Value) Member(name string) (Value, bool) {
	if m := findAttribute(v.Members(), name); m != nil {
		return *m, true
	}
	return Value{}, false
}

// Equal reports whether both are the same JSON value. Kinds are never converted.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind {
		return false
	}
	switch v.kind {
	case KindBool, KindNumber:
		return v.num == o.num
	case KindString, KindUnusable:
		return v.text == o.text
	case KindObject:
		return slices.EqualFunc(v.Members(), o.Members(), func(a, b Attribute) bool {
			return a.Name == b.Name && a.Value.Equal(b.Value)
		})
	case KindList:
		return slices.EqualFunc(v.Elems(), o.Elems(), Value.Equal)
	}
	return true
}

// depth is 0 for scalars and one more than the deepest inner value for objects and lists.
func (v Value) depth() int {
	deepest := 0
	for _, m := range v.Members() {
		deepest = max(deepest, m.Value.depth())
	}
	for _, e := range v.Elems() {
		deepest = max(deepest, e.depth())
	}
	if v.kind == KindObject || v.kind == KindList {
		deepest++
	}
	return deepest
}

// exact reports whether every number inside v is one that float64 holds without loss.
func (v Value) exact() bool {
	if v.kind == KindUnusable || (v.kind == KindNumber && v.num == math.Trunc(v.num) && math.Abs(v.num) > maxSafeInteger) {
		return false
	}
	for _, m := range v.Members() {
		if !m.Value.exact() {
			return false
		}
	}
	return !slices.ContainsFunc(v.Elems(), func(e Value) bool { return !e.exact() })
}
