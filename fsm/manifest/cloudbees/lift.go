package cloudbees

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// inexpressible says which field of a definition the form has no words for.
type inexpressible struct{ field, why string }

func (e *inexpressible) Error() string { return e.field + ": " + e.why }

func cannot(field, format string, args ...any) error {
	return &inexpressible{field: field, why: fmt.Sprintf(format, args...)}
}

// lifter turns definitions back into what a file says: the way of builder, backwards.
type lifter struct {
	options    Options
	attributes map[string]string // source name by hoist name
	flags      map[string]*evaluator.Flag
	groups     map[string]string                   // name by key
	schedules  map[string]map[string]*fsm.Schedule // by flag and rule
}

func newLifter(content fsm.Content, o Options) *lifter {
	l := &lifter{options: o, attributes: map[string]string{}, flags: map[string]*evaluator.Flag{}, groups: map[string]string{},
		schedules: map[string]map[string]*fsm.Schedule{}}
	for from, to := range o.Attributes {
		l.attributes[to] = from
	}
	for _, f := range content.Flags {
		l.flags[f.Key] = f
	}
	for _, s := range content.Segments {
		l.groups[s.Key] = groupName(s)
	}
	for _, s := range content.Schedules {
		if l.schedules[s.Flag] == nil {
			l.schedules[s.Flag] = map[string]*fsm.Schedule{}
		}
		l.schedules[s.Flag][s.Rule] = s
	}
	return l
}

// lifting is one flag on its way back.
type lifting struct {
	*lifter
	from   *evaluator.Flag
	x      *experiment
	sticky string // attribute of all splits
	salt   string
	split  bool // one was seen
}

func (l *lifter) experiment(f *evaluator.Flag) (*experiment, error) {
	switch {
	case f.Kind == evaluator.KindConfig:
		return nil, cannot("/kind", "a config is not a flag there")
	case f.Type == evaluator.TypeObject:
		return nil, cannot("/type", "there are no objects there")
	case f.Off != "":
		return nil, cannot("/off", "a flag that is off gives the value in code there")
	case len(f.Prerequisites) > 0:
		return nil, cannot("/prerequisites", "only conditions depend on flags there")
	case f.Default == nil:
		return nil, cannot("/default", "it has no default")
	}
	w := &lifting{lifter: l, from: f, x: &experiment{flag: flagName(f), name: f.Name, description: f.Description, labels: f.Tags,
		enabled: f.Enabled, archived: f.Archived, kind: f.Type, sticky: f.Annotations[annotationSticky], seed: f.Annotations[annotationSeed]}}
	w.available()
	if err := w.rules(); err != nil {
		return nil, err
	}
	var err error
	if w.x.root.value, err = w.value("/default", "", *f.Default); err != nil {
		return nil, err
	}
	if w.split {
		if w.sticky != "" {
			w.x.sticky = w.property(w.sticky)
		}
		if w.salt != f.Key || w.options.Hash != "" {
			w.x.seed = w.salt
		}
	}
	return w.x, nil
}

// available lists the values of a flag that is not boolean.
func (w *lifting) available() {
	for _, v := range w.from.Variants {
		if v.Value != nil && w.x.kind != evaluator.TypeBoolean {
			w.x.available = append(w.x.available, w.scalar(v))
		}
	}
}

func (w *lifting) scalar(v evaluator.Variant) scalar {
	text := variantText(w.from, v)
	switch w.x.kind {
	case evaluator.TypeBoolean:
		return scalar{kind: boolScalar, text: text}
	case evaluator.TypeNumber:
		return scalar{kind: numberScalar, text: text, number: v.Value.AsNumber()}
	}
	return scalar{kind: textScalar, text: text}
}

var ruleID = regexp.MustCompile(`^(?:(.+)\.)?(?:c([1-9][0-9]*)(?:\.([1-9][0-9]*))?|(value))$`)

// rules sorts the rules into platforms and conditions by their ids, and folds what was expanded.
func (w *lifting) rules() error {
	list := w.from.Rules
	for len(list) > 0 {
		first := list[0]
		id := ruleID.FindStringSubmatch(first.ID)
		if id == nil {
			return cannot("/rules/"+first.ID, "conditions have no ids of their own there")
		}
		n := 1
		for id[2] != "" && n < len(list) && strings.HasPrefix(list[n].ID, prefixOf(id)+"c"+id[2]+".") {
			n++
		}
		if err := w.rule(id, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func prefixOf(id []string) string {
	if id[1] == "" {
		return ""
	}
	return id[1] + "."
}

// rule puts the rules of one condition, or the value of a platform, in its place.
func (w *lifting) rule(id []string, rules []evaluator.Rule) error {
	at := "/rules/" + rules[0].ID
	to, skip := &w.x.root, 0
	if id[1] != "" {
		p, err := w.platform(id[1], rules[0])
		if err != nil {
			return err
		}
		to, skip = &p.branch, 1
	} else if id[4] != "" {
		return cannot(at, "conditions have no ids of their own there")
	}
	value, err := w.value(at+"/then", rules[0].ID, rules[0].Then)
	if err != nil {
		return err
	}
	if id[4] != "" {
		to.value = value
		return nil
	}
	c, err := w.condition(rules, skip)
	if err != nil {
		return err
	}
	c.value = value
	to.conditions = append(to.conditions, c)
	return nil
}

// platform finds or adds the platform whose rules have the prefix.
func (w *lifting) platform(prefix string, r evaluator.Rule) (*platform, error) {
	if len(r.If) == 0 || r.If[0].Operator != evaluator.OpIn || w.property(r.If[0].Attribute) != platformName || len(r.If[0].Values) != 1 {
		return nil, cannot("/rules/"+r.ID+"/if", "a rule with this id tests the platform first")
	}
	name := r.If[0].Values[0].AsString()
	if n := len(w.x.platforms); n > 0 && w.x.platforms[n-1].name == name {
		return &w.x.platforms[n-1], nil
	}
	w.x.platforms = append(w.x.platforms, platform{name: name, flag: w.from.Annotations[annotationPlatform+prefix]})
	return &w.x.platforms[len(w.x.platforms)-1], nil
}

// value is what a serve says in the form, with the schedule that stands beside it.
func (w *lifting) value(at, rule string, s evaluator.Serve) (value, error) {
	if levels := w.schedules[w.from.Key][rule]; levels != nil {
		return w.levels(at, s, levels)
	}
	if s.Split != nil {
		return w.shares(at, s.Split)
	}
	option, ok := w.option(s.Variant)
	if !ok {
		return value{}, nil
	}
	return value{kind: oneValue, one: option}, nil
}

// option is the value of a variant; ok is false for the value in code.
func (w *lifting) option(key string) (scalar, bool) {
	for _, v := range w.from.Variants {
		if v.Key == key && v.Value != nil {
			return w.scalar(v), true
		}
	}
	return scalar{}, false
}

// same remembers stickiness and salt, which the form has once per flag.
func (w *lifting) once(at, by, salt string) error {
	if by == "" {
		by = targetingKey
	}
	if w.split && (w.sticky != by || w.salt != salt) {
		return cannot(at, "all shares of a flag have one stickiness property and one seed there")
	}
	w.split, w.sticky, w.salt = true, by, salt
	return nil
}

func (w *lifting) shares(at string, s *evaluator.Split) (value, error) {
	if s.Missing != "" {
		return value{}, cannot(at+"/split/missing", "there is no value for people without a stickiness property there")
	}
	if err := w.once(at+"/split", s.By, s.Salt); err != nil {
		return value{}, err
	}
	v := value{kind: shareValue}
	for _, weight := range s.Weights {
		option, ok := w.option(weight.Variant)
		if !ok {
			v.rest += weight.Weight
			continue
		}
		v.shares = append(v.shares, share{percentage: weight.Weight, option: option})
	}
	if w.x.kind == evaluator.TypeBoolean && len(v.shares) == 2 {
		v.rest, v.shares = v.shares[1].percentage, v.shares[:1]
	}
	if len(v.shares) == 0 {
		return value{}, cannot(at+"/split", "a list of shares that name no value")
	}
	return v, nil
}

func (w *lifting) levels(at string, s evaluator.Serve, from *fsm.Schedule) (value, error) {
	if s.Variant != from.Base {
		return value{}, cannot(at, "a schedule starts from %s there", from.Base)
	}
	if err := w.once(at, from.By, from.Salt); err != nil {
		return value{}, err
	}
	v := value{kind: levelValue}
	v.option, _ = w.option(from.Variant)
	for _, l := range from.Levels {
		moment, ok := instant(scalar{kind: textScalar, text: l.At})
		if !ok {
			return value{}, cannot(at, "%q is not a date", l.At)
		}
		v.levels = append(v.levels, level{from: moment, percentage: l.Weight})
	}
	return v, nil
}

// property is the source name of an attribute.
func (l *lifter) property(attribute string) string {
	if from, ok := l.attributes[attribute]; ok {
		return from
	}
	if attribute == targetingKey {
		return distinctID
	}
	if rest, ok := strings.CutPrefix(attribute, "/~1"); ok && !strings.Contains(rest, "/") {
		return "/" + strings.NewReplacer("~1", "/", "~0", "~").Replace(rest)
	}
	return attribute
}

// group lifts a segment; include and exclude lists are tests of the identity there.
func (l *lifter) group(s *evaluator.Segment) (*targetGroup, error) {
	switch {
	case len(s.Include)+len(s.Exclude) > 0:
		return nil, cannot("/include", "there are no lists of members there")
	case s.By != "":
		return nil, cannot("/by", "there are no lists of members there")
	case len(s.Rules) == 0:
		return nil, cannot("/rules", "a target group needs a test")
	}
	g := &targetGroup{name: groupName(s), description: s.Description, any: len(s.Rules) > 1}
	for i, r := range s.Rules {
		at := "/rules/" + strconv.Itoa(i)
		w := &clauseReader{lifter: l, at: at, rule: "r" + strconv.Itoa(i+1), notes: s.Annotations}
		tests, err := w.tests(r.If)
		if err != nil {
			return nil, err
		}
		if g.any && len(tests) != 1 {
			return nil, cannot(at, "groups join their tests all by and, or all by or, there")
		}
		g.tests = append(g.tests, tests...)
	}
	return g, nil
}

// restore reads what an annotation kept of tests that the clauses do not hold.
func restore(text string) (unknown, error) {
	var u unknown
	if text == "" {
		return u, nil
	}
	err := json.Unmarshal([]byte(text), &u)
	return u, err
}
