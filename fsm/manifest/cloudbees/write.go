package cloudbees

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/evaluator"
)

// mapping builds a YAML mapping key by key, in the order of the form.
type mapping struct{ node *yaml.Node }

func newMapping() mapping { return mapping{&yaml.Node{Kind: yaml.MappingNode}} }

func (m mapping) add(key string, value *yaml.Node) {
	m.node.Content = append(m.node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}

// text adds a text unless it is empty.
func (m mapping) text(key, text string) {
	if text != "" {
		m.add(key, writeScalar(scalar{kind: textScalar, text: text}))
	}
}

func plain(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

// writeScalar quotes every text that its plain form would turn into something else, here or for a reader of YAML 1.1.
func writeScalar(s scalar) *yaml.Node {
	if s.kind != textScalar {
		return plain(s.text)
	}
	n := plain(s.text)
	n.Tag = "!!str"
	if risky(s.text) {
		n.Style = yaml.SingleQuotedStyle
	}
	if strings.ContainsAny(s.text, "\n\r\t\u0085\u2028\u2029") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func risky(text string) bool {
	if plainScalar(text).kind != textScalar || text == "" {
		return true
	}
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "<<", "=":
		return true
	}
	return text[0] >= '0' && text[0] <= '9' || strings.ContainsRune("+-.", rune(text[0])) // dates, versions, base 60
}

func texts(list []string) *yaml.Node {
	out := sequence()
	for _, text := range list {
		out.Content = append(out.Content, writeScalar(scalar{kind: textScalar, text: text}))
	}
	return out
}

func encode(m mapping) ([]byte, error) {
	return yaml.Dump(m.node, yaml.WithV4Defaults(), yaml.WithLineWidth(-1))
}

// write is the file of a flag.
func (x *experiment) write() ([]byte, error) {
	m := newMapping()
	m.add("type", plain("experiment"))
	m.text("flag", x.flag)
	if len(x.available) > 0 || x.kind != evaluator.TypeBoolean {
		list := sequence()
		for _, s := range x.available {
			list.Content = append(list.Content, writeScalar(s))
		}
		m.add("availableValues", list)
	}
	m.text("name", x.name)
	m.text("description", x.description)
	if !x.enabled {
		m.add("enabled", plain("false"))
	}
	if len(x.labels) > 0 {
		m.add("labels", texts(x.labels))
	}
	m.text("stickinessProperty", x.sticky)
	m.text("seed", x.seed)
	if len(x.platforms) > 0 {
		list := sequence()
		for _, p := range x.platforms {
			one := newMapping()
			one.text("name", p.name)
			one.text("flag", p.flag)
			x.writeBranch(one, p.branch)
			list.Content = append(list.Content, one.node)
		}
		m.add("platforms", list)
	}
	x.writeBranch(m, x.root)
	return encode(m)
}

func (x *experiment) writeBranch(m mapping, b branch) {
	if len(b.conditions) > 0 {
		list := sequence()
		for _, c := range b.conditions {
			list.Content = append(list.Content, x.writeCondition(c))
		}
		m.add("conditions", list)
	}
	x.writeValue(m, b.value)
}

func (x *experiment) writeCondition(c condition) *yaml.Node {
	m := newMapping()
	if c.dependency != nil {
		one := newMapping()
		one.text("flag", c.dependency.flag)
		one.add("value", writeScalar(scalar{kind: textScalar, text: c.dependency.value}))
		m.add("dependency", one.node)
	}
	if c.group != nil {
		m.add("group", c.group.write())
	}
	if c.version != nil {
		one := newMapping()
		one.text("operator", c.version.operator)
		one.add("semver", writeScalar(c.version.operands[0]))
		m.add("version", one.node)
	}
	if c.property != nil {
		m.add("property", c.property.write())
	}
	if c.any {
		m.add("acrossTypesLogicGate", plain("or"))
	}
	x.writeValue(m, c.value)
	if len(m.node.Content) == 0 { // a condition that always holds and gives the value in code
		m.add("value", plain("null"))
	}
	return m.node
}

func (x *experiment) writeValue(m mapping, v value) {
	switch v.kind {
	case oneValue:
		m.add("value", writeScalar(v.one))
	case shareValue:
		list := sequence()
		for _, s := range v.shares {
			list.Content = append(list.Content, writeShare("", s.percentage, s.option))
		}
		m.add("value", list)
	case levelValue:
		list := sequence()
		for _, l := range v.levels {
			list.Content = append(list.Content, writeShare(l.from.Format("2006-01-02T15:04:05.000Z"), l.percentage, v.option))
		}
		m.add("value", list)
	}
}

func writeShare(from string, percentage int, option scalar) *yaml.Node {
	m := newMapping()
	if from != "" {
		m.add("from", plain(from))
	}
	m.add("percentage", plain(percent(percentage)))
	m.add("option", writeScalar(option))
	return m.node
}

func (m *membership) write() *yaml.Node {
	one := newMapping()
	if m.gate != anyGroup {
		one.add("operator", plain(m.gate))
	}
	one.add("name", texts(m.names))
	return one.node
}

func (p *properties) write() *yaml.Node {
	if len(p.list) == 1 && !p.any {
		return p.list[0].write("name")
	}
	m := newMapping()
	list := sequence()
	for _, one := range p.list {
		list.Content = append(list.Content, one.write("property"))
	}
	m.add("propertyConditions", list)
	if p.any {
		m.add("logicGate", plain("or"))
	}
	return m.node
}

func (p predicate) write(key string) *yaml.Node {
	m := newMapping()
	m.text("operator", p.operator)
	m.text(key, p.property)
	switch {
	case p.list:
		list := sequence()
		for _, s := range p.operands {
			list.Content = append(list.Content, writeScalar(s))
		}
		m.add("operand", list)
	case len(p.operands) == 1:
		m.add("operand", writeScalar(p.operands[0]))
	}
	return m.node
}

// write is the file of a target group.
func (g *targetGroup) write() ([]byte, error) {
	m := newMapping()
	m.add("type", plain("target-group"))
	m.text("name", g.name)
	m.text("description", g.description)
	if g.any {
		m.add("operator", plain("or"))
	}
	list := sequence()
	for _, t := range g.tests {
		if t.nested == nil {
			list.Content = append(list.Content, t.predicate.write("property"))
			continue
		}
		one, group := newMapping(), newMapping()
		operator := map[string]string{anyGroup: "any-groups", allGroups: "all-groups", noGroup: noGroup}[t.nested.gate]
		group.add("name", texts(t.nested.names))
		group.add("operator", plain(operator))
		one.add("group", group.node)
		list.Content = append(list.Content, one.node)
	}
	m.add("conditions", list)
	return encode(m)
}
