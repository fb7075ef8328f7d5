package cloudbees

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// clauseReader reads the clauses of one rule back into tests.
type clauseReader struct {
	*lifter
	at    string // JSON pointer of the rule
	rule  string // its id
	notes map[string]string
}

// condition lifts the rules of one condition; skip is the number of clauses that are the platform's.
func (w *lifting) condition(rules []evaluator.Rule, skip int) (condition, error) {
	var ways []condition
	for _, r := range rules {
		c, err := w.way(r, skip)
		if err != nil {
			return c, err
		}
		ways = append(ways, c)
	}
	if len(ways) == 1 {
		return ways[0], nil
	}
	if c, ok := foldProperties(ways); ok {
		return c, nil
	}
	if c, ok := foldTypes(ways); ok {
		return c, nil
	}
	return condition{}, cannot("/rules/"+rules[0].ID, "these alternatives cannot be said in one condition")
}

// foldProperties joins ways that differ in one property test each.
func foldProperties(ways []condition) (condition, bool) {
	c := ways[0]
	list := &properties{any: true}
	for _, way := range ways {
		if way.property == nil || len(way.property.list) != 1 ||
			(way.version == nil) != (c.version == nil) || (way.group == nil) != (c.group == nil) || (way.dependency == nil) != (c.dependency == nil) {
			return c, false
		}
		list.list = append(list.list, way.property.list[0])
	}
	c.property = list
	return c, true
}

// foldTypes joins ways of one type of test each.
func foldTypes(ways []condition) (condition, bool) {
	c := condition{any: true}
	var list []*properties
	for _, way := range ways {
		switch {
		case way.tests() != 1, way.version != nil && c.version != nil, way.dependency != nil && c.dependency != nil, way.group != nil && c.group != nil:
			return c, false
		case way.version != nil:
			c.version = way.version
		case way.dependency != nil:
			c.dependency = way.dependency
		case way.group != nil:
			c.group = way.group
		default:
			list = append(list, way.property)
		}
	}
	switch {
	case len(list) == 1:
		c.property = list[0]
	case len(list) > 1:
		c.property = &properties{any: true}
		for _, p := range list {
			if len(p.list) != 1 {
				return c, false
			}
			c.property.list = append(c.property.list, p.list[0])
		}
	}
	return c, true
}

// way lifts one rule: tests that must all hold.
func (w *lifting) way(r evaluator.Rule, skip int) (condition, error) {
	var c condition
	u, err := restore(w.from.Annotations[annotationUnknown+r.ID])
	if err != nil {
		return c, cannot("/annotations/"+annotationUnknown+r.ID, "%v", err)
	}
	if u.Dependency != nil {
		c.dependency = &dependency{flag: u.Dependency.Flag, value: u.Dependency.Value}
	}
	if u.Group != nil {
		c.group = &membership{gate: u.Group.Operator, names: u.Group.Names}
	}
	reader := &clauseReader{lifter: w.lifter, at: "/rules/" + r.ID, rule: r.ID, notes: w.from.Annotations}
	for i := skip; i < len(r.If); i++ {
		clause := r.If[i]
		switch {
		case clause.Operator == evaluator.OpPrerequisite:
			err = w.dependsOn(&c, clause, reader.place(i))
		case clause.Operator == evaluator.OpSegment && u.Group == nil:
			err = reader.joins(&c, clause, i)
		case clause.Operator == evaluator.OpSegment:
		case isNever(clause) && clause.Attribute == targetingKey && u != (unknown{}):
		default:
			i, err = reader.property(&c, r.If, i)
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func isNever(c evaluator.Clause) bool {
	return c.Operator == evaluator.OpIn && len(c.Values) == 0 && !c.Negate && !c.IfMissing && !c.Coerce
}

func (r *clauseReader) place(i int) string { return r.at + "/if/" + strconv.Itoa(i) }

func (w *lifting) dependsOn(c *condition, clause evaluator.Clause, at string) error {
	if c.dependency != nil {
		return cannot(at, "a condition depends on one flag there")
	}
	to := w.flags[clause.Attribute]
	if to == nil || len(clause.Values) == 0 {
		return cannot(at, "flag %s is not there", clause.Attribute)
	}
	for _, v := range to.Variants {
		if v.Key == clause.Values[0].AsString() && v.Value != nil {
			c.dependency = &dependency{flag: flagName(to), value: variantText(to, v)}
			return nil
		}
	}
	return cannot(at, "variant %s of flag %s has no value", clause.Values[0].AsString(), clause.Attribute)
}

// joins adds a segment clause to the group test of the condition: clauses of one segment each are its and form.
func (r *clauseReader) joins(c *condition, clause evaluator.Clause, i int) error {
	m := &membership{gate: anyGroup}
	if clause.Negate {
		m.gate = noGroup
	}
	for _, v := range clause.Values {
		name, ok := r.groups[v.AsString()]
		if !ok {
			return cannot(r.place(i), "segment %s is not there", v.AsString())
		}
		m.names = append(m.names, name)
	}
	if c.group == nil {
		c.group = m
		return nil
	}
	if len(m.names) != 1 || m.gate != anyGroup || c.group.gate == noGroup || c.group.gate == anyGroup && len(c.group.names) > 1 {
		return cannot(r.place(i), "a condition has one test of groups there")
	}
	c.group.gate = allGroups
	c.group.names = append(c.group.names, m.names...)
	return nil
}

// property adds the test of the clause at i, and returns the last clause that it used.
func (r *clauseReader) property(c *condition, clauses []evaluator.Clause, i int) (int, error) {
	p, last, err := r.predicate(clauses, i)
	if err != nil {
		return i, err
	}
	if p.property == appRelease && operatorShapes[p.operator] == versionShape && c.version == nil && c.property == nil {
		c.version = &p
		return last, nil
	}
	if c.property == nil {
		c.property = &properties{}
	}
	c.property.list = append(c.property.list, p)
	return last, nil
}

// tests reads the rule of a segment.
func (r *clauseReader) tests(clauses []evaluator.Clause) ([]groupTest, error) {
	var out []groupTest
	noted := map[int]bool{}
	for i := 0; ; {
		if u, err := restore(r.note(annotationUnknown, i)); err == nil && u.Group != nil && !noted[i] {
			noted[i] = true
			m := &membership{gate: u.Group.Operator, names: u.Group.Names}
			out = append(out, groupTest{nested: m})
			i += r.span(m)
			continue
		}
		if i >= len(clauses) {
			return out, nil
		}
		if clauses[i].Operator == evaluator.OpSegment {
			c := condition{}
			if err := r.joins(&c, clauses[i], i); err != nil {
				return nil, err
			}
			for i++; i < len(clauses) && clauses[i].Operator == evaluator.OpSegment && r.note(annotationUnknown, i) == ""; i++ {
				if r.joins(&c, clauses[i], i) != nil {
					break
				}
			}
			out = append(out, groupTest{nested: c.group})
			continue
		}
		p, last, err := r.predicate(clauses, i)
		if err != nil {
			return nil, err
		}
		i = last + 1
		out = append(out, groupTest{predicate: p})
	}
}

func (r *clauseReader) note(kind string, i int) string {
	return r.notes[kind+r.rule+"."+strconv.Itoa(i+1)]
}

// span is the number of clauses that a test of groups became.
func (r *clauseReader) span(m *membership) int {
	for _, name := range r.groups {
		if slices.Contains(m.names, name) {
			return 1
		}
	}
	if m.gate == noGroup {
		return 0
	}
	return 1
}

// predicate reads the clause at i, and the next where both together are in-between.
func (r *clauseReader) predicate(clauses []evaluator.Clause, i int) (predicate, int, error) {
	c := clauses[i]
	p := predicate{property: r.lifter.property(c.Attribute)}
	if strings.HasPrefix(c.Attribute, "/") && p.property == c.Attribute {
		return p, i, cannot(r.place(i)+"/attribute", "there are no paths into objects there")
	}
	if c.IgnoreCase {
		return p, i, cannot(r.place(i)+"/ignoreCase", "texts are compared as they are there")
	}
	if text := r.note(annotationRegex, i); text != "" && isNever(c) {
		p.operator, p.operands = "regex", []scalar{{kind: textScalar, text: text}}
		return p, i, nil
	}
	if p.operator = operatorOf(c); p.operator == "" {
		return p, i, cannot(r.place(i)+"/operator", "there is no test like %s with these settings there", c.Operator)
	}
	if p.operator == "after" && i+1 < len(clauses) && clauses[i+1].Attribute == c.Attribute && operatorOf(clauses[i+1]) == "before" &&
		len(c.Values) == 1 && len(clauses[i+1].Values) == 1 {
		p.operator, p.list = "in-between", true
		p.operands = []scalar{operandOf(c.Values[0]), operandOf(clauses[i+1].Values[0])}
		return p, i + 1, nil
	}
	if kind := operatorShapes[p.operator]; kind != noneShape {
		if kind != listShape && len(c.Values) != 1 {
			return p, i, cannot(r.place(i)+"/values", "%s takes one operand there", p.operator)
		}
		for _, v := range c.Values {
			p.operands = append(p.operands, operandOf(v))
		}
		p.list = kind == listShape
	}
	if p.operator == "regex" {
		p.splitFlags()
	}
	return p, i, nil
}

// operatorOf is the source's operator for a clause, or "".
func operatorOf(c evaluator.Clause) string {
	only := func(want bool) bool {
		return len(c.Values) == 1 && c.Values[0].Kind() == evaluator.KindBool && c.Values[0].AsBool() == want
	}
	if c.Operator == evaluator.OpIn && !c.Negate && !c.Coerce {
		switch {
		case !c.IfMissing && only(true):
			return "is-true"
		case c.IfMissing && only(false):
			return "is-false"
		case !c.IfMissing:
			return "in-array"
		}
		return ""
	}
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		op := operations[name]
		if op.operator == c.Operator && op.operator != evaluator.OpIn &&
			op.negate == c.Negate && op.ifMissing == c.IfMissing && op.coerce == c.Coerce {
			return name
		}
	}
	if c.Operator == evaluator.OpIn && c.Negate && c.IfMissing && !c.Coerce {
		return "ne"
	}
	return ""
}

func operandOf(v evaluator.Value) scalar {
	switch v.Kind() {
	case evaluator.KindBool:
		return scalar{kind: boolScalar, text: strconv.FormatBool(v.AsBool())}
	case evaluator.KindNumber:
		return scalar{kind: numberScalar, text: numberText(v.AsNumber()), number: v.AsNumber()}
	}
	return scalar{kind: textScalar, text: v.AsString()}
}

var leadingFlags = regexp.MustCompile(`^\(\?([ims]+)\)`)

// splitFlags writes the flags of a pattern as the second operand that they are there.
func (p *predicate) splitFlags() {
	text := p.operands[0].text
	m := leadingFlags.FindStringSubmatch(text)
	if m == nil {
		return
	}
	p.list = true
	p.operands = []scalar{{kind: textScalar, text: text[len(m[0]):]}, {kind: textScalar, text: m[1]}}
}
