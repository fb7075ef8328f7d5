package evaluator

import (
	"maps"
	"slices"
	"strconv"
)

// Canonical returns the canonical JSON of the flag: members in the order of the struct, zero values and defaults
// omitted, tags sorted and unique, no spaces. DecodeFlag of it gives an equal flag, and Canonical again the same
// bytes. It is written by hand because these bytes are hashed by every node: no release of a JSON library may
// change them.
func (f *Flag) Canonical() []byte { return exactly(appendFlag(make([]byte, 0, usualRecord), f, true)) }

// usualRecord is room for most flags.
const usualRecord = 512

// Canonical returns the canonical JSON of the segment. Include and Exclude keep their order.
func (s *Segment) Canonical() []byte { return appendSegment(nil, s, true) }

// exactly gives a record that is kept for long just the memory it needs.
func exactly(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// record writes JSON objects; a comma is due unless a bracket was just opened.
type record struct{ b []byte }

func (w *record) comma() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *record) open(bracket byte) {
	w.comma()
	w.b = append(w.b, bracket)
}

func (w *record) close(bracket byte) { w.b = append(w.b, bracket) }

// name writes a member name of the schema; the value must follow through one of the methods below.
func (w *record) name(name string) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *record) member(name string, bracket byte) {
	w.name(name)
	w.b = append(w.b, bracket)
}

func (w *record) must(name, text string) {
	w.name(name)
	w.b = appendString(w.b, text)
}

// text writes a member unless it is empty or what absence means.
func (w *record) text(name, text, absent string) {
	if text != "" && text != absent {
		w.must(name, text)
	}
}

func (w *record) flag(name string, set bool) {
	if set {
		w.name(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *record) value(name string, v *Value) {
	if v != nil {
		w.name(name)
		w.b = v.AppendJSON(w.b)
	}
}

func (w *record) integer(name string, n uint64) {
	w.name(name)
	w.b = strconv.AppendUint(w.b, n, 10)
}

func (w *record) texts(name string, texts []string) {
	if len(texts) == 0 {
		return
	}
	w.member(name, '[')
	for _, text := range texts {
		w.comma()
		w.b = appendString(w.b, text)
	}
	w.close(']')
}

// appendFlag writes f; without prose it leaves out what evaluation never needs and only people read.
func appendFlag(dst []byte, f *Flag, prose bool) []byte {
	w := &record{b: dst}
	w.open('{')
	w.must("key", f.Key)
	w.text("kind", string(f.Kind), string(KindFlag))
	w.must("type", string(f.Type))
	if prose {
		w.prose(f)
	}
	w.metadata(f.Metadata)
	w.flag("temporary", f.Temporary)
	w.text("expires", f.Expires, "")
	w.flag("archived", f.Archived)
	w.flag("clientVisible", f.ClientVisible)
	w.value("value", f.Value)
	w.flag("enabled", f.Enabled)
	w.variants(f.Variants)
	w.text("off", f.Off, "")
	w.prerequisites(f.Prerequisites)
	w.rules(f.Rules, prose)
	if f.Default != nil {
		w.serve("default", f.Default)
	}
	w.close('}')
	return w.b
}

func (w *record) prose(f *Flag) {
	w.text("name", f.Name, "")
	w.text("description", f.Description, "")
	w.text("owner", f.Owner, "")
	tags := slices.Clone(f.Tags)
	slices.Sort(tags)
	w.texts("tags", slices.Compact(tags))
	w.annotations(f.Annotations)
}

func (w *record) annotations(annotations map[string]string) {
	if len(annotations) == 0 {
		return
	}
	w.member("annotations", '{')
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		w.comma()
		w.b = append(appendString(w.b, name), ':')
		w.b = appendString(w.b, annotations[name])
	}
	w.close('}')
}

func (w *record) metadata(metadata map[string]Value) {
	if len(metadata) == 0 {
		return
	}
	w.name("metadata")
	w.b = appendMembers(w.b, sortedMetadata(metadata))
}

func (w *record) variants(variants []Variant) {
	if len(variants) == 0 {
		return
	}
	w.member("variants", '[')
	for _, v := range variants {
		w.open('{')
		w.must("key", v.Key)
		w.value("value", v.Value)
		w.close('}')
	}
	w.close(']')
}

func (w *record) prerequisites(prerequisites []Prerequisite) {
	if len(prerequisites) == 0 {
		return
	}
	w.member("prerequisites", '[')
	for _, p := range prerequisites {
		w.open('{')
		w.must("flag", p.Flag)
		w.member("variants", '[')
		for _, v := range p.Variants {
			w.comma()
			w.b = appendString(w.b, v)
		}
		w.close(']')
		w.close('}')
	}
	w.close(']')
}

func (w *record) rules(rules []Rule, prose bool) {
	if len(rules) == 0 {
		return
	}
	w.member("rules", '[')
	for i := range rules {
		r := &rules[i]
		w.open('{')
		w.must("id", r.ID)
		if prose {
			w.text("description", r.Description, "")
		}
		if len(r.If) > 0 {
			w.clauses(r.If)
		}
		w.serve("then", &r.Then)
		w.close('}')
	}
	w.close(']')
}

func (w *record) clauses(clauses []Clause) {
	w.member("if", '[')
	for i := range clauses {
		c := &clauses[i]
		w.open('{')
		w.text("attribute", c.Attribute, "")
		w.must("operator", c.Operator)
		if len(c.Values) > 0 {
			w.member("values", '[')
			for _, v := range c.Values {
				w.comma()
				w.b = v.AppendJSON(w.b)
			}
			w.close(']')
		}
		w.flag("negate", c.Negate)
		w.flag("ifMissing", c.IfMissing)
		w.flag("coerce", c.Coerce)
		w.flag("ignoreCase", c.IgnoreCase)
		w.close('}')
	}
	w.close(']')
}

func (w *record) serve(name string, s *Serve) {
	w.member(name, '{')
	w.text("variant", s.Variant, "")
	if s.Split != nil {
		w.split(s.Split)
	}
	w.text("label", s.Label, "")
	w.close('}')
}

func (w *record) split(s *Split) {
	w.member("split", '{')
	w.text("by", s.By, targetingKey)
	w.text("salt", s.Salt, "")
	w.text("hash", s.Hash, HashMurmur3)
	w.text("missing", s.Missing, "")
	w.member("weights", '[')
	for _, weight := range s.Weights {
		w.open('{')
		w.must("variant", weight.Variant)
		w.name("weight")
		w.b = strconv.AppendInt(w.b, int64(weight.Weight), 10)
		w.close('}')
	}
	w.close(']')
	if len(s.Ranges) > 0 {
		w.member("ranges", '[')
		for _, r := range s.Ranges {
			w.open('{')
			w.must("variant", r.Variant)
			w.integer("from", r.From)
			w.integer("to", r.To)
			w.flag("down", r.Down)
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
}

func appendSegment(dst []byte, s *Segment, prose bool) []byte {
	w := &record{b: dst}
	w.open('{')
	w.must("key", s.Key)
	if prose {
		w.text("name", s.Name, "")
		w.text("description", s.Description, "")
		w.annotations(s.Annotations)
	}
	w.text("by", s.By, targetingKey)
	w.texts("include", s.Include)
	w.texts("exclude", s.Exclude)
	if len(s.Rules) > 0 {
		w.member("rules", '[')
		for _, r := range s.Rules {
			w.open('{')
			w.clauses(r.If)
			w.close('}')
		}
		w.close(']')
	}
	w.close('}')
	return w.b
}
