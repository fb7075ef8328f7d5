package cloudbees

import "github.com/hoistflags/hoist/fsm/manifest"

// targetGroup is one target group as its file says it.
type targetGroup struct {
	file, name, description string
	nameAt                  place
	any                     bool
	tests                   []groupTest
	broken                  bool
}

// groupTest is a predicate or, with nested set, a test of other groups.
type groupTest struct {
	predicate predicate
	nested    *membership
}

func (d *document) targetGroup(n node) *targetGroup {
	g := &targetGroup{file: d.file, nameAt: n.get("name").at}
	d.keys(n, manifest.SeverityWarning, "version", "type", "name", "description", "operator", "conditions")
	d.header(n)
	g.name, g.description = d.required(n, "name", "name the target group"), d.text(n, "description")
	if op := n.get("operator"); !op.missing() {
		if g.any = op.scalar.text == "or"; !g.any && op.scalar.text != "and" {
			d.operator(op, "and", "or")
		}
	}
	list := n.get("conditions")
	switch {
	case list.missing(), list.kind == sequenceNode && len(list.items) == 0, list.kind == mappingNode && len(list.entries) == 0:
		d.refuse(list.at, "group-empty", "a target group that states no test (add conditions, or delete the file)")
	case list.kind != sequenceNode:
		d.refuse(list.at, "shape", "conditions is not a list (begin each condition with a dash)")
	}
	for _, item := range list.items {
		if d.mapping(item, "a condition") {
			g.tests = append(g.tests, d.groupTest(item))
		}
	}
	g.broken = d.errors > 0
	return g
}

func (d *document) groupTest(n node) groupTest {
	if nested := n.get("group"); nested.kind != absent {
		d.keys(n, manifest.SeverityError, "group")
		if d.mapping(nested, "group") {
			return groupTest{nested: d.membership(nested)}
		}
		return groupTest{}
	}
	d.keys(n, manifest.SeverityError, "property", "operator", "operand", "group")
	return groupTest{predicate: d.predicate(n, "property")}
}
