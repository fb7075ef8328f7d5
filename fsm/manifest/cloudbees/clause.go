package cloudbees

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// unknown is the text of an annotation: tests whose clauses do not hold all they name, as the file has them.
type unknown struct {
	Group      *unknownGroup      `json:"group,omitempty"`
	Dependency *unknownDependency `json:"dependency,omitempty"`
}

type unknownGroup struct {
	Operator string   `json:"operator"`
	Names    []string `json:"names"`
}

type unknownDependency struct {
	Flag  string `json:"flag"`
	Value string `json:"value"`
}

func (u unknown) text() string {
	b, err := json.Marshal(u)
	if err != nil {
		panic("cloudbees: texts always encode: " + err.Error())
	}
	return string(b)
}

// clauses turns the tests of one way of a condition into clauses, all of which must hold; id is that of the rule and
// offset the number of clauses before.
func (b *builder) clauses(c condition, id string, offset int) []evaluator.Clause {
	var out []evaluator.Clause
	u := unknown{}
	if c.version != nil {
		out = append(out, b.predicate(*c.version, id, offset, b.note)...)
	}
	if c.dependency != nil {
		out = append(out, b.dependency(c.dependency, &u)...)
	}
	if c.group != nil {
		out = append(out, b.member(c.group, b.x.file, !b.x.archived, &u)...)
	}
	if c.property != nil {
		for _, p := range c.property.list {
			out = append(out, b.predicate(p, id, offset+len(out), b.note)...)
		}
	}
	if u != (unknown{}) {
		b.note(annotationUnknown+id, u.text())
	}
	return out
}

// never is a clause that does not hold for anybody.
func never(attribute string) evaluator.Clause {
	return evaluator.Clause{Attribute: attribute, Operator: evaluator.OpIn}
}

// member tests membership. A group that does not exist has no members.
func (im *importer) member(m *membership, file string, live bool, u *unknown) []evaluator.Clause {
	var keys []evaluator.Value
	lacking := false
	for _, name := range m.names {
		key, ok := im.groups[name]
		if !ok && im.single && im.options.Known == nil {
			key, ok = keyed(name), true
		}
		if ok {
			keys = append(keys, evaluator.String(key))
			continue
		}
		if lacking = true; live {
			im.unknown.groups[name] = true
		}
		im.report(file, m.at, manifest.SeverityWarning, "group-unknown", "target group "+strconv.Quote(name)+" does not exist: nobody is in it")
	}
	if lacking {
		u.Group = &unknownGroup{Operator: m.gate, Names: m.names}
	}
	switch {
	case m.gate == allGroups && lacking, m.gate == anyGroup && len(keys) == 0:
		return []evaluator.Clause{never(targetingKey)}
	case m.gate == allGroups:
		var out []evaluator.Clause
		for _, key := range keys {
			out = append(out, evaluator.Clause{Operator: evaluator.OpSegment, Values: []evaluator.Value{key}})
		}
		return out
	case len(keys) == 0:
		return nil
	}
	return []evaluator.Clause{{Operator: evaluator.OpSegment, Values: keys, Negate: m.gate == noGroup}}
}

// dependency tests what another flag serves. One that does not exist counts as the text false.
func (b *builder) dependency(dep *dependency, u *unknown) []evaluator.Clause {
	key, variants, ok := b.target(dep)
	if ok && len(variants) > 0 {
		return []evaluator.Clause{{Operator: evaluator.OpPrerequisite, Attribute: key, Values: variants, IfMissing: dep.value == "false"}}
	}
	u.Dependency = &unknownDependency{Flag: dep.flag, Value: dep.value}
	switch {
	case ok:
		b.report(b.x.file, dep.at, manifest.SeverityWarning, "dependency-value",
			"flag "+strconv.Quote(dep.flag)+" never serves "+strconv.Quote(dep.value))
	case !b.single || b.options.Known != nil:
		if !b.x.archived {
			b.unknown.flags[dep.flag] = true
		}
		b.report(b.x.file, dep.at, manifest.SeverityWarning, "dependency-unknown",
			"flag "+strconv.Quote(dep.flag)+" does not exist or is archived: it counts as false")
	}
	if dep.value == "false" && !ok {
		return nil
	}
	return []evaluator.Clause{never(targetingKey)}
}

// target finds the key of the flag that a dependency names, and those of its variants that have the text asked for.
func (b *builder) target(dep *dependency) (key string, variants []evaluator.Value, ok bool) {
	if to := b.flags[dep.flag]; to != nil {
		return b.keys[to], to.variantsOf(dep.value), true
	}
	f := b.known[dep.flag]
	if f == nil {
		return "", nil, false
	}
	for _, v := range f.Variants {
		if v.Value != nil && variantText(f, v) == dep.value {
			variants = append(variants, evaluator.String(v.Key))
		}
	}
	return f.Key, variants, true
}

// variantsOf lists the variants, as list makes them, that have the text.
func (x *experiment) variantsOf(text string) []evaluator.Value {
	probe := &builder{x: x, variants: map[string]string{}, flag: &evaluator.Flag{Annotations: map[string]string{}}}
	probe.list()
	var out []evaluator.Value
	for _, v := range probe.flag.Variants {
		if variantText(probe.flag, v) == text {
			out = append(out, evaluator.String(v.Key))
		}
	}
	return out
}

// variantText is the value of a variant as the source writes it.
func variantText(f *evaluator.Flag, v evaluator.Variant) string {
	if text, ok := f.Annotations[annotationText+v.Key]; ok {
		return text
	}
	switch v.Value.Kind() {
	case evaluator.KindBool:
		return strconv.FormatBool(v.Value.AsBool())
	case evaluator.KindNumber:
		return numberText(v.Value.AsNumber())
	}
	return v.Value.AsString()
}

// operation is the hoist side of an operator.
type operation struct {
	operator          string
	negate, ifMissing bool
	coerce            bool
}

var operations = map[string]operation{
	"in-array": {operator: evaluator.OpIn},
	"eq":       {operator: evaluator.OpIn},
	"ne":       {operator: evaluator.OpIn, negate: true, ifMissing: true},

	"is-undefined": {operator: evaluator.OpExists, negate: true},
	"is-true":      {operator: evaluator.OpIn},
	"is-false":     {operator: evaluator.OpIn, ifMissing: true},

	"gt": {operator: evaluator.OpGreater, coerce: true}, "gte": {operator: evaluator.OpGreaterEqual, coerce: true},
	"lt": {operator: evaluator.OpLess, coerce: true}, "lte": {operator: evaluator.OpLessEqual, coerce: true},

	"regex": {operator: evaluator.OpMatches},

	"semver-gt": {operator: evaluator.OpSemverMore, coerce: true}, "semver-gte": {operator: evaluator.OpSemverGTE, coerce: true},
	"semver-lt": {operator: evaluator.OpSemverLess, coerce: true}, "semver-lte": {operator: evaluator.OpSemverLTE, coerce: true},
	"semver-eq": {operator: evaluator.OpSemverEqual, coerce: true}, "semver-ne": {operator: evaluator.OpSemverEqual, negate: true, coerce: true},

	"before": {operator: evaluator.OpBefore, coerce: true}, "after": {operator: evaluator.OpAfter, coerce: true},
}

// predicate turns one test into clauses; only in-between needs two. at is the number of the clause in its rule.
func (im *importer) predicate(p predicate, rule string, at int, note func(name, text string)) []evaluator.Clause {
	attribute := im.attribute(p.property, note)
	if p.operator == "in-between" {
		low, high := p, p
		low.operator, low.operands = "after", p.operands[:1]
		high.operator, high.operands = "before", p.operands[1:]
		return append(im.predicate(low, rule, at, note), im.predicate(high, rule, at+1, note)...)
	}
	if p.operator == "regex" {
		c := p.pattern()
		if c.Attribute = attribute; !admitted(c) {
			note(annotationRegex+rule+"."+strconv.Itoa(at+1), p.patternText())
			c = never(attribute)
		}
		return []evaluator.Clause{c}
	}
	op := operations[p.operator]
	c := evaluator.Clause{Attribute: attribute, Operator: op.operator, Negate: op.negate, IfMissing: op.ifMissing, Coerce: op.coerce}
	switch p.operator {
	case "is-true":
		c.Values = []evaluator.Value{evaluator.Bool(true)}
	case "is-false":
		c.Values = []evaluator.Value{evaluator.Bool(false)}
	case "eq":
		c.IfMissing = len(p.operands) > 0 && p.operands[0].kind == boolScalar && !p.operands[0].isTrue()
	}
	for _, s := range p.operands {
		c.Values = append(c.Values, operandValue(s, operatorShapes[p.operator]))
	}
	return []evaluator.Clause{c}
}

func operandValue(s scalar, kind shape) evaluator.Value {
	switch {
	case kind == versionShape:
		return evaluator.String(s.text)
	case kind == dateShape && s.kind != numberScalar:
		if t, err := time.Parse(day, strings.TrimSpace(s.text)); err == nil {
			return evaluator.String(t.Format(time.RFC3339))
		}
		return evaluator.String(strings.TrimSpace(s.text))
	case s.kind == boolScalar:
		return evaluator.Bool(s.isTrue())
	case s.kind == numberScalar:
		return evaluator.Number(s.number)
	}
	return evaluator.String(s.text)
}

// pattern is the clause of a regex test; a second operand holds its flags.
func (p predicate) pattern() evaluator.Clause {
	return evaluator.Clause{Attribute: "probe", Operator: evaluator.OpMatches, Values: []evaluator.Value{evaluator.String(p.patternText())}}
}

func (p predicate) patternText() string {
	text := p.operands[0].text
	if len(p.operands) < 2 {
		return text
	}
	flags := ""
	for _, r := range p.operands[1].text {
		switch {
		case strings.ContainsRune("ims", r) && !strings.ContainsRune(flags, r):
			flags += string(r)
		case !strings.ContainsRune("gu", r): // g and u change nothing in a test
			flags += string(r)
		}
	}
	if flags == "" {
		return text
	}
	return "(?" + flags + ")" + text
}
