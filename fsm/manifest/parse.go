package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// Source is one named text: YAML, or JSON, which is YAML too. It may hold several documents.
type Source struct {
	Name string
	Data []byte
}

// Limits of what is read.
const (
	MaxFile   = 64 << 20 // bytes of one source
	maxDepth  = 48       // nested mappings and lists
	maxCopies = 200_000  // nodes that aliases repeat, per source
)

// Parse reads documents of the form
//
//	flags: [{key: …, type: …}]
//	segments: [{key: …}]
//	schedules: [{flag: …, levels: […]}]
//
// and joins them. It reads on after an error, so that one run names everything; what has an error is not in the content.
func Parse(sources ...Source) (fsm.Content, Findings) {
	p := &parser{seen: map[string]string{}}
	files := map[string]int{}
	for i, s := range sources {
		files[s.Name] = i
		p.source(s)
	}
	p.unused()
	p.findings.sort(files)
	return p.content, p.findings
}

type parser struct {
	file     string
	copies   int // budget of the file for nodes repeated by aliases
	content  fsm.Content
	findings Findings
	seen     map[string]string // place by kind and folded key
	segments []object          // places, for the lint
}

// object is one flag or segment with its place.
type object struct {
	file string
	kind fsm.ObjectKind
	key  string
	node *yaml.Node
}

func (o object) name() string { return string(o.kind) + " " + o.key }

func (p *parser) source(s Source) {
	p.file, p.copies = s.Name, maxCopies
	if len(s.Data) > MaxFile {
		p.fail(0, "", "", "yaml.size", "the file has more than %d MiB; divide it", MaxFile>>20)
		return
	}
	loader, err := yaml.NewLoader(bytes.NewReader(s.Data))
	if err != nil {
		p.syntax(err)
		return
	}
	for {
		var document yaml.Node
		err := loader.Load(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.syntax(err)
			return
		}
		p.document(&document)
	}
}

// syntax reports text that is no YAML; what stands behind it in the file cannot be read.
func (p *parser) syntax(err error) {
	line := 0
	var one *yaml.LoadError
	var several *yaml.LoadErrors
	switch {
	case errors.As(err, &one):
		line = one.Mark.Line
	case errors.As(err, &several) && len(several.Errors) > 0:
		line = several.Errors[0].Mark.Line
	}
	p.fail(line, "", "", "yaml.syntax", "%s", strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " "))
}

func (p *parser) document(n *yaml.Node) {
	if n.Kind == yaml.DocumentNode {
		if len(n.Content) == 0 {
			return
		}
		n = n.Content[0]
	}
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n.Line, "", "", "manifest.shape", "a document is a mapping with flags, segments and schedules")
		return
	}
	known := map[string]fsm.ObjectKind{"flags": fsm.ObjectFlag, "segments": fsm.ObjectSegment, "schedules": objectSchedule}
	given := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		kind, ok := known[key.Value]
		switch {
		case !ok:
			p.fail(key.Line, "", "/"+key.Value, "manifest.unknown", "%q is not known here; a document has flags, segments and schedules", key.Value)
		case given[key.Value]:
			p.fail(key.Line, "", "/"+key.Value, "yaml.duplicate", "%q is given twice in one document; join them", key.Value)
		default:
			p.content.StatesSchedules = p.content.StatesSchedules || kind == objectSchedule
			p.list(kind, key, value)
		}
		given[key.Value] = true
	}
}

func (p *parser) list(kind fsm.ObjectKind, key, value *yaml.Node) {
	if isNull(value) {
		return
	}
	if value.Kind != yaml.SequenceNode {
		p.fail(value.Line, "", "/"+key.Value, "manifest.shape", "%s is a list; begin each with a dash", key.Value)
		return
	}
	for i, n := range value.Content {
		p.object(object{file: p.file, kind: kind, key: keyOf(n, i), node: n})
	}
}

// keyOf names an object for messages even when it does not decode.
func keyOf(n *yaml.Node, i int) string {
	if k := member(n, "key"); k != nil && k.Kind == yaml.ScalarNode && k.Value != "" {
		return k.Value
	}
	return fmt.Sprintf("%d", i+1)
}

func (p *parser) object(o object) {
	before := len(p.findings)
	record := p.json(o)
	if len(p.findings) > before {
		return
	}
	if o.kind == objectSchedule {
		p.schedule(o, record)
		return
	}
	var err error
	var problems, lint evaluator.Problems
	var flag *evaluator.Flag
	var segment *evaluator.Segment
	if o.kind == fsm.ObjectFlag {
		if flag, err = evaluator.DecodeFlag(record); err == nil {
			problems, lint = flag.Check(), flag.Lint()
		}
	} else if segment, err = evaluator.DecodeSegment(record); err == nil {
		problems = segment.Check()
	}
	if err != nil && !errors.As(err, &problems) {
		p.fail(o.node.Line, o.name(), "", "decode", "%v", err)
		return
	}
	p.problems(o, SeverityError, problems)
	if len(problems) > 0 || p.again(o) {
		return
	}
	p.problems(o, SeverityWarning, lint)
	if flag != nil {
		p.content.Flags = append(p.content.Flags, flag)
	} else {
		p.content.Segments = append(p.content.Segments, segment)
		p.segments = append(p.segments, o)
	}
}

// objectSchedule is a schedule in a document; it has no key of its own.
const objectSchedule fsm.ObjectKind = "schedule"

func (p *parser) schedule(o object, record []byte) {
	s, err := fsm.DecodeSchedule(record)
	if err != nil {
		p.fail(o.node.Line, o.name(), "", "decode", "%v", err)
		return
	}
	if problems := s.Check(); len(problems) > 0 {
		p.problems(o, SeverityError, problems)
		return
	}
	for _, other := range p.content.Schedules {
		if other.Flag == s.Flag && other.Rule == s.Rule {
			p.fail(o.node.Line, o.name(), "/flag", "manifest.duplicate", "this place of flag %s has a schedule already; keep one", s.Flag)
			return
		}
	}
	p.content.Schedules = append(p.content.Schedules, s)
}

// again refuses a key that was given before; those of flags count as the same when they differ only in case.
func (p *parser) again(o object) bool {
	id, words := string(o.kind)+"/"+o.key, "is"
	if o.kind == fsm.ObjectFlag {
		id, words = strings.ToLower(id), "is, or one that differs only in case,"
	}
	place, again := p.seen[id]
	if again {
		p.fail(o.node.Line, o.name(), "/key", "manifest.duplicate", "this key %s given at %s already; keep one", words, place)
		return true
	}
	p.seen[id] = fmt.Sprintf("%s:%d", p.file, o.node.Line)
	return false
}

// unused names segments that nothing in these files asks for. It is no error: something elsewhere may.
func (p *parser) unused() {
	unused := evaluator.UnusedSegments(p.content.Flags, p.content.Segments)
	for _, o := range p.segments {
		if slices.Contains(unused, o.key) {
			p.findings = append(p.findings, Finding{File: o.file, Line: o.node.Line, Object: o.name(), Rule: "segment.unused",
				Severity: SeverityWarning, Message: "nothing in these files asks for this segment"})
		}
	}
}
