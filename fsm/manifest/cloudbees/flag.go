package cloudbees

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// The annotations that keep what a definition has no other place for.
const (
	annotationName     = "cloudbees.name"
	annotationPlatform = "cloudbees.platformFlag."
	annotationUnknown  = "cloudbees.unknown."
	annotationRegex    = "cloudbees.regex."
	annotationRenamed  = "cloudbees.attribute."
	annotationText     = "cloudbees.text."
	annotationSticky   = "cloudbees.stickinessProperty"
	annotationSeed     = "cloudbees.seed"
)

// The variants that do not stand for one of the listed values.
const (
	trueVariant  = "true"
	falseVariant = "false"
	inCode       = "in-code"
)

// builder turns one experiment into a flag and its schedules.
type builder struct {
	*importer
	x         *experiment
	flag      *evaluator.Flag
	schedules []*fsm.Schedule
	variants  map[string]string // key by text
	inCode    bool
	salted    bool // a split or schedule carries stickiness and seed
}

func (im *importer) flag(x *experiment) {
	b := &builder{importer: im, x: x, variants: map[string]string{}, flag: &evaluator.Flag{
		Key: im.keys[x], Type: x.kind, Name: x.name, Description: x.description, Tags: x.labels,
		Enabled: x.enabled, Archived: x.archived, Annotations: map[string]string{}}}
	if b.flag.Key != x.flag {
		b.note(annotationName, x.flag)
		im.report(x.file, x.flagAt, manifest.SeverityInfo, "renamed", fmt.Sprintf("%q is no key; the flag is %s here", x.flag, b.flag.Key))
	}
	b.list()
	b.platforms()
	b.branch("", nil, x.root)
	serve := b.serve(x.root.value, "")
	b.flag.Default = &serve
	b.complete()
	if problems := b.flag.Check(); len(problems) > 0 {
		for _, p := range problems {
			im.report(x.file, place{}, manifest.SeverityError, "limit", fmt.Sprintf("the flag cannot be stored: %s: %s", p.Field, p.Message))
		}
		return
	}
	im.out.Content.Flags = append(im.out.Content.Flags, b.flag)
	im.out.Content.Schedules = append(im.out.Content.Schedules, b.schedules...)
	im.out.Paths["flag/"+b.flag.Key] = x.file
}

func (b *builder) note(name, text string) { b.flag.Annotations[name] = text }

// list makes the variants: the available values first, then those that are used.
func (b *builder) list() {
	if b.x.kind == evaluator.TypeBoolean {
		yes, no := evaluator.Bool(true), evaluator.Bool(false)
		b.flag.Variants = []evaluator.Variant{{Key: trueVariant, Value: &yes}, {Key: falseVariant, Value: &no}}
		return
	}
	for _, s := range b.x.available {
		b.variant(s)
	}
	b.x.values(func(v *value) {
		for _, s := range v.options() {
			b.variant(s)
		}
	})
}

// variant is the key of the variant that stands for a value, made when it is new.
func (b *builder) variant(s scalar) string {
	if b.x.kind == evaluator.TypeBoolean {
		if s.isTrue() {
			return trueVariant
		}
		return falseVariant
	}
	if key, ok := b.variants[s.text]; ok {
		return key
	}
	key := "v" + strconv.Itoa(len(b.variants)+1)
	b.variants[s.text] = key
	value := evaluator.String(s.text)
	if b.x.kind == evaluator.TypeNumber {
		value = evaluator.Number(s.number)
		if numberText(s.number) != s.text {
			b.note(annotationText+key, s.text)
		}
	}
	b.flag.Variants = append(b.flag.Variants, evaluator.Variant{Key: key, Value: &value})
	return key
}

func numberText(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// nothing is what a branch without a value serves: false, or the value in code.
func (b *builder) nothing() string {
	if b.x.kind == evaluator.TypeBoolean {
		return falseVariant
	}
	b.inCode = true
	return inCode
}

// platforms puts the rules of every platform before those of all others.
func (b *builder) platforms() {
	taken := &naming{taken: map[string]bool{}}
	for _, p := range b.x.platforms {
		prefix := taken.free(keyed(p.name)[:min(len(keyed(p.name)), 100)])
		if p.flag != "" {
			b.note(annotationPlatform+prefix, p.flag)
		}
		only := evaluator.Clause{Attribute: b.attribute(platformName, b.note), Operator: evaluator.OpIn,
			Values: []evaluator.Value{evaluator.String(p.name)}}
		b.branch(prefix+".", []evaluator.Clause{only}, p.branch)
		id := prefix + ".value"
		b.flag.Rules = append(b.flag.Rules, evaluator.Rule{ID: id, If: []evaluator.Clause{only}, Then: b.serve(p.branch.value, id)})
	}
}

func (b *builder) branch(prefix string, extra []evaluator.Clause, from branch) {
	for i, c := range from.conditions {
		id := prefix + "c" + strconv.Itoa(i+1)
		for n, way := range b.ways(c) {
			one := id
			if n > 0 {
				one += "." + strconv.Itoa(n+1)
			}
			clauses := b.clauses(way, one, len(extra))
			b.flag.Rules = append(b.flag.Rules, evaluator.Rule{ID: one, If: append(extra[:len(extra):len(extra)], clauses...), Then: b.serve(c.value, one)})
		}
	}
}

// ways lists the conditions of which one must hold, each all of its tests: the forms with or, expanded.
func (b *builder) ways(c condition) []condition {
	var out []condition
	switch {
	case c.any:
		if c.version != nil {
			out = append(out, condition{version: c.version})
		}
		if c.dependency != nil {
			out = append(out, condition{dependency: c.dependency})
		}
		if c.group != nil {
			out = append(out, condition{group: c.group})
		}
		if c.property != nil {
			out = append(out, b.ways(condition{property: c.property})...)
		}
	case c.property != nil && c.property.any:
		for _, p := range c.property.list {
			one := c
			one.property = &properties{list: []predicate{p}}
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		out = []condition{c}
	}
	return out
}

// serve is what a branch gives. Levels in time become a schedule beside the flag; the flag itself serves the level
// before the first.
func (b *builder) serve(v value, rule string) evaluator.Serve {
	switch v.kind {
	case oneValue:
		return evaluator.Serve{Variant: b.variant(v.one)}
	case shareValue:
		split := b.split()
		split.Weights = b.weights(v)
		return evaluator.Serve{Split: split}
	case levelValue:
		split, base := b.split(), falseVariant
		if !v.option.isTrue() {
			base = trueVariant
		}
		s := &fsm.Schedule{Flag: b.flag.Key, Rule: rule, Variant: b.variant(v.option), Base: base,
			By: split.By, Salt: split.Salt, Hash: split.Hash}
		for _, l := range v.levels {
			s.Levels = append(s.Levels, fsm.Level{At: l.from.UTC().Format(fsm.InstantForm), Weight: l.percentage})
		}
		b.schedules = append(b.schedules, s)
		return evaluator.Serve{Variant: base}
	}
	return evaluator.Serve{Variant: b.nothing()}
}

// split is without weights yet. One salt for all splits of the flag: a person has one place in it.
func (b *builder) split() *evaluator.Split {
	b.salted = true
	s := &evaluator.Split{Salt: b.flag.Key}
	if b.x.seed != "" {
		s.Salt, s.Hash = b.x.seed, b.options.Hash
	}
	if by := b.sticky(); by != targetingKey {
		s.By = by
	}
	return s
}

func (b *builder) sticky() string {
	if b.x.sticky == "" {
		return targetingKey
	}
	return b.attribute(b.x.sticky, b.note)
}

func (b *builder) weights(v value) []evaluator.Weight {
	var out []evaluator.Weight
	for _, s := range v.shares {
		out = append(out, evaluator.Weight{Variant: b.variant(s.option), Weight: s.percentage})
	}
	switch {
	case b.x.kind == evaluator.TypeBoolean && len(v.shares) == 1:
		other := falseVariant
		if out[0].Variant == falseVariant {
			other = trueVariant
		}
		out = append(out, evaluator.Weight{Variant: other, Weight: v.rest})
	case v.rest > 0 && b.x.kind == evaluator.TypeBoolean:
		for i := range out {
			if out[i].Variant == falseVariant {
				out[i].Weight += v.rest
			}
		}
	case v.rest > 0:
		out = append(out, evaluator.Weight{Variant: b.nothing(), Weight: v.rest})
	}
	return out
}

// complete adds what only the whole flag knows.
func (b *builder) complete() {
	if b.inCode {
		b.flag.Variants = append(b.flag.Variants, evaluator.Variant{Key: inCode})
	}
	if len(b.flag.Variants) == 0 { // a string flag always lists something; this is for the law
		b.flag.Variants = []evaluator.Variant{{Key: inCode}}
	}
	if !b.salted {
		if b.x.sticky != "" && b.x.sticky != distinctID {
			b.note(annotationSticky, b.x.sticky)
		}
		if b.x.seed != "" {
			b.note(annotationSeed, b.x.seed)
		}
	}
	if len(b.flag.Annotations) == 0 {
		b.flag.Annotations = nil
	}
}

// attribute is the hoist name of a property; a renamed one is noted for the way back.
func (im *importer) attribute(property string, note func(name, text string)) string {
	if property == distinctID {
		return targetingKey
	}
	if to, ok := im.options.Attributes[property]; ok {
		note(annotationRenamed+to, property)
		return to
	}
	if strings.HasPrefix(property, "/") { // a name, not a pointer
		return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(property)
	}
	return property
}

func (im *importer) segment(g *targetGroup) {
	s := &evaluator.Segment{Key: im.groups[g.name], Description: g.description}
	notes := map[string]string{}
	note := func(name, text string) { notes[name] = text }
	if s.Key != g.name {
		s.Name = g.name
		note(annotationName, g.name)
	}
	for i, t := range g.tests {
		id := "r1"
		if g.any || i == 0 {
			s.Rules = append(s.Rules, evaluator.SegmentRule{})
			id = "r" + strconv.Itoa(len(s.Rules))
		}
		rule := &s.Rules[len(s.Rules)-1]
		if t.nested != nil {
			u := unknown{}
			clauses := im.member(t.nested, g.file, true, &u)
			if u.Group != nil {
				note(annotationUnknown+id+"."+strconv.Itoa(len(rule.If)+1), u.text())
			}
			rule.If = append(rule.If, clauses...)
			continue
		}
		rule.If = append(rule.If, im.predicate(t.predicate, id, len(rule.If), note)...)
	}
	if len(notes) > 0 {
		s.Annotations = maps.Clone(notes)
	}
	if problems := s.Check(); len(problems) > 0 {
		for _, p := range problems {
			im.report(g.file, place{}, manifest.SeverityError, "limit", fmt.Sprintf("the target group cannot be stored: %s: %s", p.Field, p.Message))
		}
		return
	}
	im.out.Content.Segments = append(im.out.Content.Segments, s)
	im.out.Paths["segment/"+s.Key] = g.file
}

// day is for operands that say a day only.
const day = time.DateOnly
