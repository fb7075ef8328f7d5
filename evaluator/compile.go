package evaluator

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// Compiled is a flag ready for evaluation: immutable, shared by pointer between snapshots and environments. It is a
// type of its own so that nobody can evaluate what was not checked. References to other flags and to segments are
// kept as hashed keys and bound at evaluation, so a change of one flag never recompiles another.
type Compiled struct {
	key           string
	hash          uint64
	record        []byte
	metadata      []Attribute
	references    *References // nil when there are none
	kind          Kind
	typ           Type
	archived      bool
	clientVisible bool
	enabled       bool // for prerequisites: enabled and not killed

	constant      *Result // the answer to every context, if there is one
	failed        *Result // the answer when a prerequisite is not met
	prerequisites []prerequisite
	rules         []rule
	fallback      target // served when no rule matches
}

type prerequisite struct {
	flag     reference
	variants []string
}

type rule struct {
	id      string
	clauses []clause
	then    target
	run     *run // of this and the following rules, at the first of them
}

// target is what a rule or the default serves: one result, or a split of several.
type target struct {
	result *Result
	split  *split
}

// reference is the key of a flag or segment with its hash, bound in the snapshot at evaluation.
type reference struct {
	key  string
	hash uint64
}

func refer(key string) reference { return reference{key: key, hash: hashText(key)} }

// Compile compiles an *effective* flag. It fails only with Problems, exactly when Check finds some. Splits without
// salt or ranges get those of a first commit (Settle). f is not kept.
func Compile(f *Flag) (*Compiled, error) { return CompileOf(f, nil) }

// CompileOf is Compile of a flag whose declaration is kept as record, which never changes: if it has no prose, the same
// bytes are Record.
func CompileOf(f *Flag, record []byte) (*Compiled, error) {
	if problems := f.Check(); len(problems) > 0 {
		return nil, problems
	}
	f = f.Settle(nil)
	c := &Compiled{
		key:           f.Key,
		hash:          hashText(f.Key),
		kind:          cmp.Or(f.Kind, KindFlag),
		typ:           f.Type,
		archived:      f.Archived,
		clientVisible: f.ClientVisible,
		record:        recordOf(f, record),
		metadata:      sortedMetadata(f.Metadata),
	}
	if refs := f.References(); len(refs.Flags)+len(refs.Segments) > 0 {
		c.references = &refs
	}
	if c.kind == KindConfig {
		c.constant = &Result{Value: f.Value.encoded(), HasValue: true, Reason: ReasonStatic}
		return c, nil
	}
	b := builder{flag: f, names: make(selectors)}
	b.build(c)
	return c, nil
}

func recordOf(f *Flag, kept []byte) []byte {
	room := len(kept) // what the flag says without prose is no longer
	if room == 0 {
		room = usualRecord
	}
	b := appendFlag(make([]byte, 0, room), f, false)
	if bytes.Equal(b, kept) {
		return kept
	}
	return exactly(b)
}

// builder turns the serves of one flag into results that evaluation only has to copy.
type builder struct {
	flag  *Flag
	names selectors
}

func (b *builder) build(c *Compiled) {
	f := b.flag
	if !f.Enabled {
		c.constant = b.result(f.Off, ReasonDisabled, "", "")
		return
	}
	c.enabled = f.Default.Label != LabelKill
	reason := ReasonDefault
	if len(f.Rules) == 0 && len(f.Prerequisites) == 0 {
		reason = ReasonStatic
		if f.Default.Variant != "" {
			c.constant = b.result(f.Default.Variant, reason, "", f.Default.Label)
			return
		}
	}
	if len(f.Prerequisites) > 0 {
		c.failed = b.result(f.Off, ReasonPrerequisiteFailed, "", "")
	}
	for _, p := range f.Prerequisites {
		c.prerequisites = append(c.prerequisites, prerequisite{flag: refer(p.Flag), variants: slices.Clone(p.Variants)})
	}
	c.rules = make([]rule, len(f.Rules))
	for i, r := range f.Rules {
		c.rules[i] = rule{id: r.ID, clauses: compileClauses(r.If, b.names), then: b.target(r.Then, r.ID, ReasonTargetingMatch)}
	}
	linkRuns(c.rules)
	c.fallback = b.target(*f.Default, "", reason)
}

func (b *builder) target(s Serve, ruleID string, reason Reason) target {
	if s.Split == nil {
		return target{result: b.result(s.Variant, reason, ruleID, s.Label)}
	}
	if ruleID == "" {
		reason = ReasonDefault // of `missing`
	}
	return target{split: b.split(s, ruleID, reason)}
}

// result is the answer that serves variant; no variant means the caller's default.
func (b *builder) result(variant string, reason Reason, ruleID, label string) *Result {
	r := &Result{Variant: variant, Reason: reason, RuleID: ruleID, Label: label}
	for _, v := range b.flag.Variants {
		if v.Key == variant && v.Value != nil {
			r.Value, r.HasValue = v.Value.encoded(), true
		}
	}
	return r
}

func sortedMetadata(metadata map[string]Value) []Attribute {
	if len(metadata) == 0 {
		return nil
	}
	sorted := make([]Attribute, 0, len(metadata))
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		sorted = append(sorted, Attribute{Name: name, Value: metadata[name]})
	}
	return sorted
}

// Key returns the flag's key.
func (c *Compiled) Key() string { return c.key }

// ClientVisible reports whether browser tokens may see the flag.
func (c *Compiled) ClientVisible() bool { return c.clientVisible }

// Archived reports whether the flag is kept but not served.
func (c *Compiled) Archived() bool { return c.archived }

// Type returns the type of every value the flag serves.
func (c *Compiled) Type() Type { return c.typ }

// Kind returns KindFlag or KindConfig.
func (c *Compiled) Kind() Kind { return c.kind }

// Record is the canonical JSON of the effective flag without prose (name, description, owner, tags, annotations),
// salts and ranges filled in: what Follow carries. DecodeFlag and Compile of it give an equal Compiled. The bytes
// must not be changed.
func (c *Compiled) Record() []byte { return c.record }

// Metadata is the flag's own metadata, sorted by name. The slice must not be changed.
func (c *Compiled) Metadata() []Attribute { return c.metadata }

// References lists what the flag refers to.
func (c *Compiled) References() References {
	if c.references == nil {
		return References{}
	}
	return *c.references
}
