package manifest

import (
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"
)

// json turns the YAML of one object into JSON for the evaluator's decoder. What YAML can say and JSON cannot becomes a
// finding.
func (p *parser) json(o object) []byte {
	c := converter{parser: p, object: o}
	return c.append(nil, o.node, "", 0)
}

type converter struct {
	*parser
	object object
	alias  int // how many aliases the current node is under
}

func (c *converter) refuse(n *yaml.Node, at, code, format string, args ...any) {
	c.fail(n.Line, c.object.name(), at, code, format, args...)
}

func (c *converter) append(b []byte, n *yaml.Node, at string, depth int) []byte {
	if depth > maxDepth {
		c.refuse(n, at, "yaml.depth", "more than %d levels are nested; make it flatter", maxDepth)
		return append(b, "null"...)
	}
	if c.alias > 0 {
		if c.copies--; c.copies < 0 {
			if c.copies == -1 {
				c.refuse(n, at, "yaml.alias", "aliases repeat more than %d nodes; write fewer", maxCopies)
			}
			return append(b, "null"...)
		}
	}
	switch n.Kind {
	case yaml.AliasNode:
		c.alias++
		b = c.append(b, n.Alias, at, depth+1)
		c.alias--
		return b
	case yaml.MappingNode:
		return c.mapping(b, n, at, depth)
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, one := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			b = c.append(b, one, at+"/"+strconv.Itoa(i), depth+1)
		}
		return append(b, ']')
	case yaml.ScalarNode:
		return c.scalar(b, n, at)
	}
	c.refuse(n, at, "yaml.shape", "only mappings, lists and values can stand here")
	return append(b, "null"...)
}

func (c *converter) mapping(b []byte, n *yaml.Node, at string, depth int) []byte {
	b = append(b, '{')
	lines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			c.refuse(key, at, "yaml.key", "the name %q is not text; put it in quotes (merge keys and lists cannot be names)", key.Value)
			continue
		}
		here := at + "/" + escape(key.Value)
		if line, twice := lines[key.Value]; twice {
			c.refuse(key, here, "yaml.duplicate", "%q is given in line %d already; keep one", key.Value, line)
			continue
		}
		if len(lines) > 0 {
			b = append(b, ',')
		}
		lines[key.Value] = key.Line
		b = c.text(b, key, here)
		b = append(b, ':')
		b = c.append(b, value, here, depth+1)
	}
	return append(b, '}')
}

func (c *converter) scalar(b []byte, n *yaml.Node, at string) []byte {
	switch n.ShortTag() {
	case "!!null":
		return append(b, "null"...)
	case "!!bool":
		return strconv.AppendBool(b, strings.EqualFold(n.Value, "true"))
	case "!!int", "!!float":
		return c.number(b, n, at)
	case "!!str", "!!timestamp": // a date is text: nothing reads it as a time
		return c.text(b, n, at)
	}
	c.refuse(n, at, "yaml.tag", "the tag %s is not known; write text, numbers, true, false, lists or mappings", n.Tag)
	return append(b, "null"...)
}

func (c *converter) text(b []byte, n *yaml.Node, at string) []byte {
	out, err := jsontext.AppendQuote(b, n.Value)
	if err != nil {
		c.refuse(n, at, "yaml.encoding", "the text is not UTF-8")
		return append(b, `""`...)
	}
	return out
}

// number keeps the digits of a JSON number as they are, and rewrites what only YAML knows: 0x1f, 0o17, 1_000, +1, .5
func (c *converter) number(b []byte, n *yaml.Node, at string) []byte {
	v := jsontext.Value(n.Value)
	if v.IsValid() && v.Kind() == '0' {
		return append(b, n.Value...)
	}
	plain := strings.TrimPrefix(strings.ReplaceAll(n.Value, "_", ""), "+")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return strconv.AppendInt(b, i, 10)
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		c.refuse(n, at, "yaml.number", "%s is no finite number", n.Value)
		return append(b, '0')
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// member finds a value of a mapping.
func member(n *yaml.Node, name string) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// lineOf follows a JSON pointer as far as the text goes and says in which line it ends.
func lineOf(n *yaml.Node, pointer string) int {
	line := n.Line
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		if n.Kind == yaml.SequenceNode {
			if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(n.Content) {
				next = n.Content[i]
			}
		} else {
			next = member(n, unescape(token))
		}
		if next == nil {
			return line
		}
		n, line = next, next.Line
	}
	return line
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func unescape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}
