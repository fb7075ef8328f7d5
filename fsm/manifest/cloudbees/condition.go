package cloudbees

import (
	"math"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// branch reads conditions and value of a flag or platform.
func (d *document) branch(n node) branch {
	var b branch
	c := n.get("conditions")
	switch {
	case c.kind == mappingNode && len(c.entries) == 0:
		d.warn(c.at, "shape", "conditions is an empty mapping and is read as no conditions (write a list)")
	case c.missing():
	case c.kind != sequenceNode:
		d.refuse(c.at, "shape", "conditions is not a list (begin each condition with a dash)")
	default:
		for _, item := range c.items {
			b.conditions = append(b.conditions, d.condition(item))
		}
	}
	b.value = d.value(n.get("value"))
	return b
}

func (d *document) condition(n node) condition {
	c, errors := condition{at: n.at}, d.errors
	if !d.mapping(n, "a condition") {
		return c
	}
	d.keys(n, manifest.SeverityError, "dependency", "group", "version", "property", "acrossTypesLogicGate", "value")
	c.any = d.gate(n.get("acrossTypesLogicGate"))
	if v := n.get("version"); !v.missing() && d.mapping(v, "version") {
		c.version = d.version(v)
	}
	if v := n.get("dependency"); !v.missing() && d.mapping(v, "dependency") {
		c.dependency = d.dependency(v)
	}
	if v := n.get("group"); !v.missing() && d.mapping(v, "group") {
		c.group = d.membership(v)
	}
	if v := n.get("property"); !v.missing() && d.mapping(v, "property") {
		c.property = d.properties(v)
	}
	v := n.get("value")
	c.value = d.value(v)
	switch {
	case c.tests() > 0 || d.errors > errors:
	case v.kind == absent:
		d.warn(n.at, "condition-empty", "a condition with neither test nor value (remove it)")
	default:
		d.warn(n.at, "condition-always", "a condition without a test always holds: what follows is never reached (move its value to the flag)")
	}
	return c
}

// gate reads an and/or; absent is and.
func (d *document) gate(n node) (any bool) {
	switch {
	case n.missing(), n.kind == scalarNode && n.scalar.text == "and":
		return false
	case n.kind == scalarNode && n.scalar.text == "or":
		return true
	}
	d.refuse(n.at, "operator", "the gate is and or or")
	return false
}

func (d *document) dependency(n node) *dependency {
	d.keys(n, manifest.SeverityError, "flag", "value")
	dep := &dependency{at: n.get("flag").at, flag: d.required(n, "flag", "name the flag this depends on")}
	v := n.get("value")
	if v.missing() || v.kind != scalarNode {
		d.refuse(v.at, "operand-missing", "a dependency without the value it asks for")
	}
	dep.value = v.scalar.text
	return dep
}

func (d *document) membership(n node) *membership {
	d.keys(n, manifest.SeverityError, "operator", "name")
	m, errors := &membership{gate: anyGroup, at: n.get("name").at}, d.errors
	if op := n.get("operator"); !op.missing() {
		switch op.scalar.text {
		case "any", "or", "any-groups":
		case "all", "and", "all-groups":
			m.gate = allGroups
		case "not", "nor":
			m.gate = noGroup
		default:
			d.operator(op, "or", "and", "not", "nor")
		}
	}
	m.names = d.texts(n.get("name"), "name")
	if len(m.names) == 0 && d.errors == errors {
		d.refuse(n.get("name").at, "key-missing", "a group test without a name (name the target groups)")
	}
	return m
}

func (d *document) operator(n node, known ...string) {
	hint := nearest(n.scalar.text, known)
	if hint == "" {
		hint = known[0]
	}
	d.refuse(n.at, "operator", "operator %q is not known (did you mean %s?)", n.scalar.text, hint)
}

func (d *document) version(n node) *predicate {
	d.keys(n, manifest.SeverityError, "operator", "semver")
	p := &predicate{property: appRelease, at: n.get("semver").at, operator: n.get("operator").scalar.text}
	if shape, ok := operatorShapes[p.operator]; !ok || shape != versionShape {
		d.operator(n.get("operator"), "semver-gte", "semver-gt", "semver-eq", "semver-ne", "semver-lt", "semver-lte")
	}
	v := n.get("semver")
	p.operands = []scalar{v.scalar}
	if v.missing() || v.kind != scalarNode {
		d.refuse(v.at, "semver-operand", "an operator without a version (write one, such as 1.2.0)")
	} else {
		d.checkVersion(v)
	}
	return p
}

func (d *document) checkVersion(n node) {
	if !admitted(evaluator.Clause{Attribute: appRelease, Operator: evaluator.OpSemverEqual, Coerce: true,
		Values: []evaluator.Value{evaluator.String(n.scalar.text)}}) {
		d.refuse(n.at, "semver-operand", "%q is not a version (write three numbers, such as 1.2.0)", n.scalar.text)
	}
}

// admitted asks the law whether it takes a clause.
func admitted(c evaluator.Clause) bool {
	probe := evaluator.Segment{Key: "probe", Rules: []evaluator.SegmentRule{{If: []evaluator.Clause{c}}}}
	return len(probe.Check()) == 0
}

func (d *document) properties(n node) *properties {
	list := n.get("propertyConditions")
	if list.kind == absent {
		d.keys(n, manifest.SeverityError, "name", "operator", "operand", "propertyConditions", "logicGate")
		return &properties{list: []predicate{d.predicate(n, "name")}}
	}
	d.keys(n, manifest.SeverityError, "propertyConditions", "logicGate")
	p := &properties{any: d.gate(n.get("logicGate"))}
	if list.kind != sequenceNode || len(list.items) == 0 {
		d.refuse(list.at, "shape", "propertyConditions is not a list of tests")
	}
	for _, item := range list.items {
		if d.mapping(item, "a test") {
			d.keys(item, manifest.SeverityError, "property", "operator", "operand")
			p.list = append(p.list, d.predicate(item, "property"))
		}
	}
	return p
}

// shape says what operands an operator takes.
type shape uint8

const (
	anyShape shape = iota
	noneShape
	listShape
	numberShape
	versionShape
	patternShape
	dateShape
	pairShape
)

var operatorShapes = map[string]shape{
	"in-array": listShape, "eq": anyShape, "ne": anyShape,
	"is-undefined": noneShape, "is-true": noneShape, "is-false": noneShape,
	"gt": numberShape, "gte": numberShape, "lt": numberShape, "lte": numberShape,
	"regex":     patternShape,
	"semver-gt": versionShape, "semver-gte": versionShape, "semver-lt": versionShape, "semver-lte": versionShape,
	"semver-eq": versionShape, "semver-ne": versionShape,
	"before": dateShape, "after": dateShape, "in-between": pairShape,
}

// predicate reads a test; key is the name of the member that names the property.
func (d *document) predicate(n node, key string) predicate {
	p := predicate{at: n.at, property: d.required(n, key, "name the property to test")}
	op := n.get("operator")
	p.operator = op.scalar.text
	kind, known := operatorShapes[p.operator]
	if !known {
		names := make([]string, 0, len(operatorShapes))
		for name := range operatorShapes {
			names = append(names, name)
		}
		slices.Sort(names)
		d.operator(op, names...)
		return p
	}
	v := n.get("operand")
	if kind == noneShape {
		return p
	}
	if v.missing() {
		d.refuse(v.at, "operand-missing", "%s needs an operand", p.operator)
		return p
	}
	list := v.items
	if p.list = v.kind == sequenceNode; !p.list {
		list = []node{v}
	}
	for _, item := range list {
		if item.kind != scalarNode || item.scalar.kind == nullScalar {
			d.refuse(item.at, "shape", "an operand is not a single value")
			return p
		}
		p.operands = append(p.operands, d.operand(item, kind))
	}
	d.count(&p, v, kind)
	return p
}

func (d *document) count(p *predicate, v node, kind shape) {
	low, high := 1, 1
	switch kind {
	case listShape:
		low, high = 0, math.MaxInt
	case patternShape:
		high = 2
	case pairShape:
		low, high = 2, 2
		d.report(v.at, manifest.SeverityInfo, "in-between-bounds", "the bounds themselves are not in between")
	}
	if len(p.operands) < low || len(p.operands) > high {
		d.refuse(v.at, "operand-missing", "%s does not take %d operands", p.operator, len(p.operands))
	}
	if kind == patternShape && len(p.operands) > 0 && !admitted(p.pattern()) {
		d.warn(v.at, "regex", "%q is not a pattern of RE2: the test never holds (correct the pattern)", p.operands[0].text)
	}
}

// operand judges one operand, and turns a number that was given as text into the number.
func (d *document) operand(n node, kind shape) scalar {
	s := n.scalar
	switch kind {
	case numberShape:
		if s.kind == textScalar {
			if plain := plainScalar(s.text); plain.kind == numberScalar {
				d.warn(n.at, "operand-type", "the number %s is given as text and is read as the number (remove the quotes)", s.text)
				s = plain
			}
		}
		if s.kind != numberScalar || math.IsInf(s.number, 0) || math.IsNaN(s.number) {
			d.refuse(n.at, "operand-type", "%q is not a number", s.text)
		}
	case versionShape:
		d.checkVersion(n)
	case dateShape, pairShape:
		if _, ok := instant(s); !ok {
			d.refuse(n.at, "operand-type", "%q is not a date (write 2026-12-31T00:00:00Z)", s.text)
		}
	}
	return s
}
