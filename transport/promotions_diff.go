package transport

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/fsm"
)

// The JSON of a comparison.
type (
	diffBody struct {
		SourceEnvironment string         `json:"sourceEnvironment"`
		TargetEnvironment string         `json:"targetEnvironment"`
		Added             []presentBody  `json:"added"`
		Modified          []modifiedBody `json:"modified"`
		Removed           []presentBody  `json:"removed"`
		Unchanged         int            `json:"unchanged"`
		SourceRevision    uint64         `json:"sourceRevision"`
		TargetRevision    uint64         `json:"targetRevision"`
	}
	presentBody struct {
		Key   string         `json:"key"`
		Value jsontext.Value `json:"value"`
		Kind  fsm.ItemKind   `json:"kind"`
	}
	modifiedBody struct {
		Key         string         `json:"key"`
		SourceValue jsontext.Value `json:"sourceValue"`
		TargetValue jsontext.Value `json:"targetValue"`
		Kind        fsm.ItemKind   `json:"kind"`
		Changes     []string       `json:"changes"` // JSON pointers
	}
)

func diffBodyOf(c *fsm.Comparison, source, target, kind, pattern string) *diffBody {
	out := &diffBody{SourceEnvironment: source, TargetEnvironment: target, Added: []presentBody{}, Modified: []modifiedBody{}, Removed: []presentBody{},
		Unchanged: c.Unchanged, SourceRevision: c.SourceRevision, TargetRevision: c.TargetRevision}
	for _, e := range c.Entries {
		if !shows(e, kind, pattern) {
			continue
		}
		switch e.Change {
		case fsm.ChangeAdded:
			out.Added = append(out.Added, presentBody{e.Key, shownValue(e, e.Source), e.Kind})
		case fsm.ChangeRemoved:
			out.Removed = append(out.Removed, presentBody{e.Key, shownValue(e, e.Target), e.Kind})
		default:
			from, to := e.Meaning(e.Target), e.Meaning(e.Source)
			out.Modified = append(out.Modified, modifiedBody{e.Key, shownValue(e, e.Source), shownValue(e, e.Target), e.Kind, pointers(from, to)})
		}
	}
	return out
}

// shownValue is the value of a config itself, and of everything else the declared object without its key.
func shownValue(e fsm.ItemDiff, record []byte) jsontext.Value {
	members := membersOf(e.Meaning(record))
	if e.Kind == fsm.ItemConfig {
		if i := slices.IndexFunc(members, func(m jsonMember) bool { return m.name == "value" }); i >= 0 {
			return members[i].value
		}
	}
	out := []byte{'{'}
	for _, m := range members {
		if m.name == "key" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), m.name...), '"', ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

// jsonMember is a member of an object, or an element of an array with its index for a name.
type jsonMember struct {
	name  string
	value jsontext.Value
}

// membersOf takes an object or an array of canonical JSON apart; nil for anything else.
func membersOf(record []byte) (out []jsonMember) {
	d := jsontext.NewDecoder(bytes.NewReader(record))
	open, err := d.ReadToken()
	if err != nil || open.Kind() != '{' && open.Kind() != '[' {
		return nil
	}
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		m := jsonMember{name: strconv.Itoa(len(out))}
		if open.Kind() == '{' {
			name, err := d.ReadToken()
			if err != nil {
				return out
			}
			m.name = name.String()
		}
		value, err := d.ReadValue()
		if err != nil {
			return out
		}
		m.value = bytes.Clone(value)
		out = append(out, m)
	}
	return out
}

// maxPointers bounds what one item says about itself.
const maxPointers = 50

// pointers names the places at which two records differ, as deep as both have the same kind of value.
func pointers(from, to []byte) []string {
	out := differing(nil, "", from, to)
	return append([]string{}, out[:min(maxPointers, len(out))]...)
}

func differing(out []string, at string, from, to jsontext.Value) []string {
	if bytes.Equal(from, to) || len(out) > maxPointers {
		return out
	}
	if len(from) == 0 || len(to) == 0 || from[0] != to[0] || from[0] != '{' && from[0] != '[' {
		return append(out, at)
	}
	was, is := membersOf(from), membersOf(to)
	values := make(map[string]jsontext.Value, len(was))
	for _, m := range was {
		values[m.name] = m.value
	}
	for _, m := range is {
		out = differing(out, at+"/"+escaped(m.name), values[m.name], m.value)
		delete(values, m.name)
	}
	for _, m := range was {
		if _, gone := values[m.name]; gone {
			out = append(out, at+"/"+escaped(m.name))
		}
	}
	return out
}

// escaped is a name as part of a JSON pointer (RFC 6901).
func escaped(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }
