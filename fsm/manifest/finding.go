package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Severity says whether a finding stops an apply.
type Severity string

// The severities. What has an error is left out of the content; warnings and infos apply.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// Finding is one thing to correct, or worth a look.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line,omitzero"`    // from 1; 0 for the file as a whole
	Column   int      `json:"column,omitzero"`  // from 1; 0 where it is not known
	Object   string   `json:"object,omitempty"` // e.g. "flag checkout"; empty outside of one
	Path     string   `json:"path,omitempty"`   // the place within the object or the document; empty for the whole
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"` // e.g. "flag.weights.sum", "yaml.duplicate"
	Message  string   `json:"message"`
}

// String reads like a compiler's line: file:line:column: severity rule: message.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, max(f.Column, 1))
	}
	fmt.Fprintf(&b, ": %s %s: ", f.Severity, f.Rule)
	for _, part := range []string{f.Object, f.Path} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(f.Message)
	return b.String()
}

// Findings are all findings of a set of files, in the order of the files and lines.
type Findings []Finding

// Errors counts those of severity error.
func (f Findings) Errors() int {
	n := 0
	for _, one := range f {
		if one.Severity == SeverityError {
			n++
		}
	}
	return n
}

// Sort orders findings by file, line and column, then by what they say.
func (f Findings) Sort() {
	slices.SortStableFunc(f, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
}

// Failed says whether there is an error among them.
func (f Findings) Failed() bool {
	return slices.ContainsFunc(f, func(one Finding) bool { return one.Severity == SeverityError })
}

// String gives one finding per line.
func (f Findings) String() string {
	lines := make([]string, 0, len(f))
	for _, one := range f {
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

func (f Findings) sort(files map[string]int) {
	slices.SortStableFunc(f, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(files[a.File], files[b.File]), cmp.Compare(a.Line, b.Line))
	})
}

// problems turns what the evaluator says about an object into findings.
func (p *parser) problems(o object, severity Severity, list evaluator.Problems) {
	for _, one := range list {
		p.findings = append(p.findings, Finding{File: p.file, Line: lineOf(o.node, one.Field), Object: o.name(), Path: one.Field,
			Rule: one.Code, Severity: severity, Message: one.Message})
	}
}

func (p *parser) fail(line int, object, field, code, format string, args ...any) {
	p.findings = append(p.findings, Finding{File: p.file, Line: line, Object: object, Path: field, Rule: code,
		Severity: SeverityError, Message: fmt.Sprintf(format, args...)})
}
