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

// The severities.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Finding is one thing to correct, or worth a look.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`            // from 1; 0 for the file as a whole
	Object   string   `json:"object"`          // e.g. "flag checkout"; empty outside of one
	Field    string   `json:"field,omitempty"` // JSON pointer within the object or the document
	Code     string   `json:"code"`            // e.g. "flag.weights.sum", "yaml.duplicate"
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
}

// String reads like a compiler's line.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	fmt.Fprintf(&b, ": %s: ", f.Severity)
	for _, part := range []string{f.Object, f.Field} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	fmt.Fprintf(&b, "%s (%s)", f.Message, f.Code)
	return b.String()
}

// Findings are all findings of a set of files, in the order of the files and lines.
type Findings []Finding

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
		p.findings = append(p.findings, Finding{File: p.file, Line: lineOf(o.node, one.Field), Object: o.name(), Field: one.Field,
			Code: one.Code, Severity: severity, Message: one.Message})
	}
}

func (p *parser) fail(line int, object, field, code, format string, args ...any) {
	p.findings = append(p.findings, Finding{File: p.file, Line: line, Object: object, Field: field, Code: code,
		Severity: SeverityError, Message: fmt.Sprintf(format, args...)})
}
