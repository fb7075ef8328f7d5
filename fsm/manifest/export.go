package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// Export writes content as one YAML document, flags and segments by key. Salts and ranges that a first commit would
// give anyway are left out: people edit weights, and what they leave open moves as few users as possible. Ranges with
// a past are kept, because they cannot be made again.
func Export(c fsm.Content) ([]byte, error) {
	flags, segments := slices.Clone(c.Flags), slices.Clone(c.Segments)
	slices.SortFunc(flags, func(a, b *evaluator.Flag) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(segments, func(a, b *evaluator.Segment) int { return cmp.Compare(a.Key, b.Key) })
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range flags {
		if err := add(root, "flags", opened(f).Canonical()); err != nil {
			return nil, fmt.Errorf("manifest: export flag %s: %w", f.Key, err)
		}
	}
	for _, s := range segments {
		if err := add(root, "segments", s.Canonical()); err != nil {
			return nil, fmt.Errorf("manifest: export segment %s: %w", s.Key, err)
		}
	}
	for _, s := range c.Schedules {
		if err := add(root, "schedules", s.Record()); err != nil {
			return nil, fmt.Errorf("manifest: export the schedule of flag %s: %w", s.Flag, err)
		}
	}
	if len(root.Content) == 0 {
		return []byte("flags: []\n"), nil
	}
	out, err := yaml.Dump(root, yaml.WithV4Defaults(), yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("manifest: export: %w", err)
	}
	return out, nil
}

// opened is the flag without what a first commit fills in.
func opened(f *evaluator.Flag) *evaluator.Flag {
	out := *f
	out.Rules = slices.Clone(f.Rules)
	for i := range out.Rules {
		r := &out.Rules[i]
		r.Then.Split = openedSplit(r.Then.Split, evaluator.DefaultSalt(f.Key, r.ID))
	}
	if f.Default != nil {
		serve := *f.Default
		serve.Split = openedSplit(serve.Split, evaluator.DefaultSalt(f.Key, ""))
		out.Default = &serve
	}
	return &out
}

func openedSplit(s *evaluator.Split, salt string) *evaluator.Split {
	if s == nil {
		return nil
	}
	out := *s
	if out.Salt == salt {
		out.Salt = ""
	}
	if slices.Equal(out.Ranges, evaluator.Reallocate(nil, out.Weights)) {
		out.Ranges = nil
	}
	return &out
}

// add appends a record to the list of that name.
func add(root *yaml.Node, name string, record []byte) error {
	n, err := nodeOf(jsontext.NewDecoder(bytes.NewReader(record)))
	if err != nil {
		return err
	}
	n.Style = 0 // each object stands in lines of its own
	list := member(root, name)
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		root.Content = append(root.Content, text(name), list)
	}
	list.Content = append(list.Content, n)
	return nil
}

// nodeOf reads one JSON value. Small mappings and lists without inner structure stay on one line.
func nodeOf(d *jsontext.Decoder) (*yaml.Node, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '{':
		return children(d, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, '}')
	case '[':
		return children(d, &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}, ']')
	case '"':
		return text(token.String()), nil
	case '0':
		return scalar("", token.String()), nil
	case 'n':
		return scalar("!!null", "null"), nil
	}
	return scalar("!!bool", token.String()), nil
}

func children(d *jsontext.Decoder, n *yaml.Node, end jsontext.Kind) (*yaml.Node, error) {
	for d.PeekKind() != end {
		child, err := nodeOf(d)
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.MappingNode && len(n.Content)%2 == 0 && child.Value == "off" {
			child.Style = 0 // a member of every flag, which nobody writes in quotes
		}
		n.Content = append(n.Content, child)
	}
	if flat(n) {
		n.Style = yaml.FlowStyle
	}
	_, err := d.ReadToken()
	return n, err
}

// flat says whether a node reads well on one line: few short values.
func flat(n *yaml.Node) bool {
	length := 0
	for _, child := range n.Content {
		if child.Kind != yaml.ScalarNode && (child.Style != yaml.FlowStyle || child.Kind == yaml.MappingNode) {
			return false
		}
		length += width(child) + 2
	}
	return length <= 80
}

func width(n *yaml.Node) int {
	length := len(n.Value)
	for _, child := range n.Content {
		length += width(child) + 2
	}
	return length
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// text is quoted unless it is plainly a word: what another reader of YAML could take for a boolean, a number or a date
// must stay text.
func text(s string) *yaml.Node {
	n := scalar("!!str", s)
	if !word(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func word(s string) bool {
	switch s {
	case "y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF",
		"true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL":
		return false
	}
	if s == "" || !(s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' || c == '/') {
			return false
		}
	}
	return true
}
