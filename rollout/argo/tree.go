package argo

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"bytes"

	"go.yaml.in/yaml/v4"
)

// Refusal is one thing that has no meaning for flags.
type Refusal struct {
	File   string
	Line   int
	Field  string
	Reason string
}

func (r Refusal) String() string {
	if r.Field == "" {
		return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Reason)
	}
	return fmt.Sprintf("%s:%d: %s: %s", r.File, r.Line, r.Field, r.Reason)
}

// Refusals are all of a file, in order.
type Refusals []Refusal

// Error gives one line each.
func (r Refusals) Error() string {
	lines := make([]string, len(r))
	for i, one := range r {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// field is a place in a document.
type field struct {
	c    *converter
	node *yaml.Node // nil: not there
	path string
}

func (f field) refuse(reason string, args ...any) {
	line := 0
	if f.node != nil {
		line = f.node.Line
	}
	f.c.refusals = append(f.c.refusals, Refusal{f.c.in.File, line, f.path, fmt.Sprintf(reason, args...)})
}

func (f field) exists() bool { return f.node != nil }

// get finds a member.
func (f field) get(name string) field {
	out := field{c: f.c, path: strings.TrimPrefix(f.path+"."+name, ".")}
	if f.node == nil || f.node.Kind != yaml.MappingNode {
		return out
	}
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		if f.node.Content[i].Value == name {
			out.node = f.node.Content[i+1]
		}
	}
	return out
}

// members lists the names of a mapping, in order.
func (f field) members() (out []string) {
	if f.node == nil || f.node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(f.node.Content); i += 2 {
		out = append(out, f.node.Content[i].Value)
	}
	return out
}

func (f field) items() (out []field) {
	if f.node == nil || f.node.Kind != yaml.SequenceNode {
		return nil
	}
	for i, n := range f.node.Content {
		out = append(out, field{c: f.c, node: n, path: fmt.Sprintf("%s[%d]", f.path, i)})
	}
	return out
}

// text is a scalar; empty when there is none.
func (f field) text() string {
	if f.node == nil || f.node.Kind != yaml.ScalarNode || f.node.Tag == "!!null" {
		return ""
	}
	return f.node.Value
}

// only refuses members that are not known, and those that belong to pods unless the caller is lenient.
func (f field) only(known, pods []string) {
	for _, name := range f.members() {
		switch m := f.get(name); {
		case slices.Contains(known, name):
		case !slices.Contains(pods, name):
			m.refuse("it has no meaning for flags")
		case f.c.in.Lenient:
			f.c.note("%s is about pods and was left out", m.path)
		default:
			m.refuse("it is about pods, of which a flag has none; --lenient leaves it out with a note")
		}
	}
}

// documents reads every document of the file.
func documents(data []byte) ([]*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var out []*yaml.Node
	for {
		var n yaml.Node
		err := loader.Load(&n)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		root := &n
		if root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
			root = root.Content[0]
		}
		if root.Kind == yaml.MappingNode {
			out = append(out, root)
		}
	}
}
