package cloudbees

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/fsm/manifest"
)

// MaxFile is how many bytes one file may have.
const MaxFile = 1 << 20

// The other limits of one file. An alias counts as what it stands for, so a bomb of aliases is refused before it is
// unfolded.
const (
	maxNodes = 50_000
	maxDepth = 32
)

// document is one parsed file while it is read: where findings go, and whether one of them is an error.
type document struct {
	file     string
	findings manifest.Findings
	errors   int
}

// place is a position in a file and in its document.
type place struct {
	line, column int
	path         string
}

func (d *document) report(at place, severity manifest.Severity, rule, format string, args ...any) {
	if severity == manifest.SeverityError {
		d.errors++
	}
	d.findings = append(d.findings, manifest.Finding{File: d.file, Line: at.line, Column: at.column, Path: at.path,
		Severity: severity, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

func (d *document) refuse(at place, rule, format string, args ...any) {
	d.report(at, manifest.SeverityError, rule, format, args...)
}

func (d *document) warn(at place, rule, format string, args ...any) {
	d.report(at, manifest.SeverityWarning, rule, format, args...)
}

// node is a YAML node with its aliases resolved and its place known.
type node struct {
	kind    nodeKind
	scalar  scalar
	entries []entry // mapping, in file order
	items   []node  // sequence
	at      place
}

type nodeKind uint8

const (
	absent nodeKind = iota // the key is not there
	scalarNode
	mappingNode
	sequenceNode
)

type entry struct {
	key   string
	at    place
	value node
}

// get is the value of a key; kind absent when there is none. The place is then the mapping's, with the key's path.
func (n node) get(key string) node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return node{at: n.at.member(key)}
}

// missing says that a key is not there or null.
func (n node) missing() bool {
	return n.kind == absent || n.kind == scalarNode && n.scalar.kind == nullScalar
}

func (p place) member(key string) place {
	if p.path != "" {
		key = p.path + "." + key
	}
	p.path = key
	return p
}

func (p place) nth(i int) place {
	p.path += "[" + strconv.Itoa(i) + "]"
	return p
}

// scalar keeps the literal text: 1.0 is a version for one reader and a number for another.
type scalar struct {
	kind   scalarKind
	text   string
	number float64
}

type scalarKind uint8

const (
	nullScalar scalarKind = iota
	textScalar
	boolScalar
	numberScalar
)

func (s scalar) isTrue() bool { return s.kind == boolScalar && strings.EqualFold(s.text, "true") }

// parse reads the one document of a file; ok is false after a finding that leaves nothing to read.
func (d *document) parse(data []byte) (node, bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		d.refuse(place{line: invalidLine(data), column: 1}, "yaml", "the file is not UTF-8 (save it as UTF-8)")
		return node{}, false
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults())
	if err != nil {
		d.refuse(place{}, "yaml", "the file cannot be read: %v", err)
		return node{}, false
	}
	var root yaml.Node
	switch err := loader.Load(&root); {
	case errors.Is(err, io.EOF):
		d.refuse(place{}, "yaml", "the file holds no document (describe a flag or group, or delete the file)")
		return node{}, false
	case err != nil:
		d.syntax(err)
		return node{}, false
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case err == nil:
		d.refuse(place{line: second.Line, column: second.Column}, "yaml", "the file holds a second document (one flag or group per file)")
		return node{}, false
	case !errors.Is(err, io.EOF):
		d.syntax(err)
		return node{}, false
	}
	return d.root(&root)
}

func (d *document) root(root *yaml.Node) (node, bool) {
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	r := resolver{document: d}
	n := r.resolve(root, place{}, 0)
	if d.errors > 0 {
		return node{}, false
	}
	if n.missing() {
		d.refuse(place{}, "yaml", "the file holds no document (describe a flag or group, or delete the file)")
		return node{}, false
	}
	if n.kind != mappingNode {
		d.refuse(place{line: n.at.line, column: n.at.column}, "yaml", "the document is not a mapping of keys to values")
		return node{}, false
	}
	return n, true
}

// syntax reports what the parser says, where it gave up.
func (d *document) syntax(err error) {
	at, text := place{}, err.Error()
	var load *yaml.LoadError
	if errors.As(err, &load) {
		at, text = place{line: load.Mark.Line, column: load.Mark.Column}, load.Message
		if load.ContextMsg != "" {
			text = load.ContextMsg + ": " + text
		}
	}
	d.refuse(at, "yaml", "the file is not YAML: %s", text)
}

func invalidLine(data []byte) int {
	line := 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		data = data[n:]
	}
	return line
}

// resolver unfolds aliases and judges what no reader may meet: depth, size, repeated keys, foreign tags.
type resolver struct {
	*document
	nodes int
}

func (r *resolver) resolve(y *yaml.Node, at place, depth int) node {
	at.line, at.column = y.Line, y.Column
	if r.errors > 0 {
		return node{}
	}
	if r.nodes++; r.nodes > maxNodes {
		r.refuse(place{}, "size", "the file has more than %d values, aliases unfolded (split it, or write the values out)", maxNodes)
		return node{}
	}
	if depth > maxDepth {
		r.refuse(place{}, "yaml", "values are nested deeper than %d (write it flatter)", maxDepth)
		return node{}
	}
	switch y.Kind {
	case yaml.AliasNode:
		return r.resolve(y.Alias, at, depth+1)
	case yaml.MappingNode:
		return r.mapping(y, at, depth)
	case yaml.SequenceNode:
		r.tagged(y, at, "!!seq")
		n := node{kind: sequenceNode, at: at}
		for i, item := range y.Content {
			n.items = append(n.items, r.resolve(item, at.nth(i), depth+1))
		}
		return n
	case yaml.ScalarNode:
		return node{kind: scalarNode, scalar: r.scalar(y, at), at: at}
	}
	r.refuse(at, "yaml", "a value of an unknown kind")
	return node{}
}

func (r *resolver) mapping(y *yaml.Node, at place, depth int) node {
	r.tagged(y, at, "!!map")
	n := node{kind: mappingNode, at: at}
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k := y.Content[i]
		if k.Kind != yaml.ScalarNode {
			r.refuse(place{line: k.Line, column: k.Column, path: at.path}, "yaml", "a key is not plain text")
			return node{}
		}
		if seen[k.Value] {
			r.refuse(place{line: k.Line, column: k.Column}, "yaml", "key %q stands here twice (remove one)", k.Value)
			return node{}
		}
		seen[k.Value] = true
		inside := at.member(k.Value)
		inside.line, inside.column = k.Line, k.Column
		n.entries = append(n.entries, entry{key: k.Value, at: inside, value: r.resolve(y.Content[i+1], inside, depth+1)})
	}
	return n
}

// tagged refuses an explicit tag other than the one the value has anyway.
func (r *resolver) tagged(y *yaml.Node, at place, allowed ...string) {
	if y.Style&yaml.TaggedStyle == 0 {
		return
	}
	for _, tag := range allowed {
		if y.ShortTag() == tag {
			return
		}
	}
	r.refuse(at, "yaml", "tag %s is not known here (write the plain value)", y.Tag)
}

var (
	integerText = regexp.MustCompile(`^[-+]?[0-9]+$`)
	floatText   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	basedText   = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
)

// scalar reads a scalar by the core rules of YAML 1.2: yes, no, on and off are text, and so are dates.
func (r *resolver) scalar(y *yaml.Node, at place) scalar {
	s := scalar{kind: textScalar, text: y.Value}
	r.tagged(y, at, "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp")
	if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 ||
		y.Style&yaml.TaggedStyle != 0 && y.ShortTag() == "!!str" {
		return s
	}
	return plainScalar(y.Value)
}

func plainScalar(text string) scalar {
	s := scalar{kind: textScalar, text: text}
	switch text {
	case "", "~", "null", "Null", "NULL":
		s.kind = nullScalar
	case "true", "True", "TRUE", "false", "False", "FALSE":
		s.kind = boolScalar
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
		s.kind, s.number = numberScalar, math.Inf(1)
	case ".nan", ".NaN", ".NAN":
		s.kind, s.number = numberScalar, math.NaN()
	default:
		if integerText.MatchString(text) || floatText.MatchString(text) {
			if f, err := strconv.ParseFloat(text, 64); err == nil {
				s.kind, s.number = numberScalar, f
			}
		} else if basedText.MatchString(text) {
			if i, err := strconv.ParseInt(text, 0, 64); err == nil {
				s.kind, s.number = numberScalar, float64(i)
			}
		}
	}
	return s
}
