package evaluator

import (
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of one definition. What needs the other flags (dangling references, cycles, depth, counts) is judged
// by the law above.
const (
	maxKey           = 128
	maxRules         = 64
	maxClauses       = 32
	maxVariants      = 64
	maxVariantBytes  = 64 << 10
	maxClauseValues  = 10_000
	maxValueBytes    = 1 << 10
	maxPrerequisites = 16
	maxMembers       = 1_000_000
	maxMemberBytes   = 512
	maxPatternBytes  = 256
	maxPatternCost   = 256
	maxPatterns      = 4
	maxPatternsCost  = 1024
)

// Check returns everything that can be judged about a flag without looking at others; empty means that it compiles.
func (f *Flag) Check() Problems {
	c := checker{owner: "flag"}
	root := place{}
	c.key(root.at("key"), f.Key)
	c.about(&root, f)
	if f.Kind == KindConfig {
		c.config(&root, f)
		return c.problems
	}
	if f.Kind != "" && f.Kind != KindFlag {
		c.add(root.at("kind"), "kind", "kind %q is unknown; use flag or config", f.Kind)
	}
	if f.Value != nil {
		c.add(root.at("value"), "value", "only a config has a value of its own; a flag serves variants")
	}
	c.variantList(&root, f)
	if f.Off != "" {
		c.variant(root.at("off"), f.Off)
	}
	c.prerequisites(&root, f)
	c.rules(&root, f)
	if f.Default == nil {
		c.add(root.at("default"), "default.missing", "a flag needs a default: what it serves when no rule matches")
	} else {
		c.serve(root.at("default"), f.Default)
	}
	return c.problems
}

// checker collects the problems of one flag or segment.
type checker struct {
	problems Problems
	owner    string // "flag" or "segment", the first part of every code
	variants []Variant
	patterns int
	cost     int
}

func (c *checker) add(field place, code, format string, args ...any) {
	c.problems.add(field, c.owner+"."+code, format, args...)
}

// ValidKey reports whether key can name a flag, segment, variant or rule: ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$.
func ValidKey(key string) bool {
	if key == "" || len(key) > maxKey {
		return false
	}
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

func (c *checker) key(at place, key string) {
	if !ValidKey(key) {
		c.add(at, "key", "key %.140q is not valid; use 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit", key)
	}
}

// line checks text that is shown in one line: no control characters and nothing that turns its direction around.
func (c *checker) line(at place, text string) { c.prose(at, text, "") }

func (c *checker) prose(at place, text, allowed string) {
	if !utf8.ValidString(text) {
		c.add(at, "text", "the text is not valid UTF-8")
		return
	}
	for _, r := range text {
		if (unicode.IsControl(r) && !strings.ContainsRune(allowed, r)) || unicode.Is(unicode.Bidi_Control, r) {
			c.add(at, "text", "the text contains the control character %U; remove it", r)
			return
		}
	}
}

func (c *checker) annotations(at place, annotations map[string]string) {
	if len(annotations) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		c.line(at.at(name), name)
		c.prose(at.at(name), annotations[name], "\n\r\t")
	}
}

// about checks what does not take part in evaluation.
func (c *checker) about(root *place, f *Flag) {
	c.line(root.at("name"), f.Name)
	c.prose(root.at("description"), f.Description, "\n\r\t")
	c.line(root.at("owner"), f.Owner)
	tags := root.at("tags")
	for i, tag := range f.Tags {
		c.line(tags.nth(i), tag)
	}
	c.annotations(root.at("annotations"), f.Annotations)
	metadata := root.at("metadata")
	for _, m := range sortedMetadata(f.Metadata) {
		c.metadata(metadata.at(m.Name), m)
	}
	if f.Temporary && f.Expires == "" {
		c.add(root.at("expires"), "expires.missing", "a temporary flag needs the date at which it expires")
	}
	if f.Expires != "" {
		if _, err := time.Parse(time.DateOnly, f.Expires); err != nil {
			c.add(root.at("expires"), "expires", "%q is not a date; write it as 2026-12-31", f.Expires)
		}
	}
	switch f.Type {
	case TypeBoolean, TypeString, TypeNumber, TypeObject:
	default:
		c.add(root.at("type"), "type", "type %q is unknown; use boolean, string, number or object", f.Type)
	}
}

func (c *checker) metadata(at place, m Attribute) {
	c.line(at, m.Name)
	if strings.HasPrefix(m.Name, "hoist.") {
		c.add(at, "metadata.reserved", "names that begin with hoist. are the server's own; choose another one")
	}
	switch {
	case m.Value.kind != KindBool && m.Value.kind != KindString && m.Value.kind != KindNumber && m.Value.kind != KindUnusable:
		c.add(at, "metadata.type", "metadata is boolean, string or number")
	case !m.Value.exact():
		c.add(at, "value.number", "the number does not survive JSON; integers end at ±9007199254740991")
	}
}

// config refuses everything but the value.
func (c *checker) config(root *place, f *Flag) {
	if f.Value == nil {
		c.add(root.at("value"), "value.missing", "a config needs a value")
	} else {
		c.value(root.at("value"), f.Type, *f.Value)
	}
	const message = "a config has only a value; use kind flag for variants and rules"
	for _, given := range []struct {
		name string
		is   bool
	}{
		{"enabled", f.Enabled}, {"variants", len(f.Variants) > 0}, {"off", f.Off != ""},
		{"prerequisites", len(f.Prerequisites) > 0}, {"rules", len(f.Rules) > 0}, {"default", f.Default != nil},
	} {
		if given.is {
			c.add(root.at(given.name), "config", message)
		}
	}
}

// value checks one served value.
func (c *checker) value(at place, want Type, v Value) {
	switch kind, known := want.kind(); {
	case v.kind == KindUnusable, !v.exact():
		c.add(at, "value.number", "the number does not survive JSON; integers end at ±9007199254740991")
	case known && v.kind != kind:
		c.add(at, "value.type", "the value is not of the flag's type %s", want)
	case v.depth() > maxDepth:
		c.add(at, "value.depth", "objects nest at most %d levels", maxDepth)
	case (v.kind == KindString || v.kind == KindObject) && len(v.AppendJSON(nil)) > maxVariantBytes:
		c.add(at, "value.size", "a value is at most %d bytes of JSON", maxVariantBytes)
	}
}

// kind is that of the type's values; false for a type that is none.
func (t Type) kind() (ValueKind, bool) {
	switch t {
	case TypeBoolean:
		return KindBool, true
	case TypeString:
		return KindString, true
	case TypeNumber:
		return KindNumber, true
	case TypeObject:
		return KindObject, true
	}
	return 0, false
}

func (c *checker) variantList(root *place, f *Flag) {
	at := root.at("variants")
	c.variants = f.Variants
	if len(f.Variants) == 0 {
		c.add(at, "variants.missing", "a flag needs variants")
	}
	if len(f.Variants) > maxVariants {
		c.add(at, "variants.many", "a flag has at most %d variants", maxVariants)
	}
	truths := [2]int{}
	for i, v := range f.Variants[:min(len(f.Variants), maxVariants)] {
		one := at.nth(i)
		c.key(one.at("key"), v.Key)
		if slices.ContainsFunc(f.Variants[:i], func(other Variant) bool { return other.Key == v.Key }) {
			c.add(one.at("key"), "variants.duplicate", "variant %q is listed twice", v.Key)
		}
		if v.Value == nil {
			continue
		}
		c.value(one.at("value"), f.Type, *v.Value)
		if v.Value.kind == KindBool {
			truths[int(v.Value.num)]++
		}
	}
	if f.Type == TypeBoolean && len(f.Variants) > 0 && truths != [2]int{1, 1} {
		c.add(at, "variants.boolean", "a boolean flag has exactly one variant that is true and one that is false")
	}
}

func (c *checker) variant(at place, key string) {
	if !slices.ContainsFunc(c.variants, func(v Variant) bool { return v.Key == key }) {
		c.add(at, "variant.unknown", "there is no variant %.140q", key)
	}
}

func (c *checker) prerequisites(root *place, f *Flag) {
	at := root.at("prerequisites")
	if len(f.Prerequisites) > maxPrerequisites {
		c.add(at, "prerequisites.many", "a flag has at most %d prerequisites", maxPrerequisites)
	}
	for i, p := range f.Prerequisites {
		one := at.nth(i)
		c.key(one.at("flag"), p.Flag)
		if p.Flag == f.Key {
			c.add(one.at("flag"), "prerequisites.self", "a flag cannot be its own prerequisite")
		}
		if len(p.Variants) == 0 {
			c.add(one.at("variants"), "prerequisites.variants", "name the variants of %q that meet the prerequisite", p.Flag)
		}
		variants := one.at("variants")
		for j, v := range p.Variants {
			c.key(variants.nth(j), v)
		}
	}
}

func (c *checker) rules(root *place, f *Flag) {
	at := root.at("rules")
	if len(f.Rules) > maxRules {
		c.add(at, "rules.many", "a flag has at most %d rules", maxRules)
	}
	for i := range f.Rules[:min(len(f.Rules), maxRules)] {
		r, one := &f.Rules[i], at.nth(i)
		c.key(one.at("id"), r.ID)
		if slices.ContainsFunc(f.Rules[:i], func(other Rule) bool { return other.ID == r.ID }) {
			c.add(one.at("id"), "rules.duplicate", "rule id %q is used twice", r.ID)
		}
		c.prose(one.at("description"), r.Description, "\n\r\t")
		c.clauses(one.at("if"), r.If)
		c.serve(one.at("then"), &r.Then)
	}
}

// pattern checks one regular expression, and counts its cost towards the definition's budget.
func (c *checker) pattern(at place, pattern string, ignoreCase bool) {
	if len(pattern) > maxPatternBytes {
		c.add(at, "pattern.long", "a pattern is at most %d bytes", maxPatternBytes)
		return
	}
	parsed, err := syntax.Parse(patternText(pattern, ignoreCase), syntax.Perl)
	if err != nil {
		c.add(at, "pattern", "not a pattern of RE2 (%v); look-around and back-references do not exist there", err)
		return
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxPatternCost {
		c.add(at, "pattern.cost", "the pattern is too complex; at most %d instructions", maxPatternCost)
		return
	}
	before := c.patterns <= maxPatterns && c.cost <= maxPatternsCost
	c.patterns++
	c.cost += len(program.Inst)
	if before && (c.patterns > maxPatterns || c.cost > maxPatternsCost) {
		c.add(at, "patterns", "at most %d patterns with %d instructions together", maxPatterns, maxPatternsCost)
	}
}
