package fsm

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// Comparison is what two environments declare differently. Only meaning counts: the places that splits keep in each
// environment do not, and what is archived is absent.
type Comparison struct {
	Entries        []ItemDiff // by key, then kind
	Unchanged      int
	SourceRevision uint64 // of the last change of a declaration there
	TargetRevision uint64
}

// ItemDiff is one difference.
type ItemDiff struct {
	Kind   ItemKind
	Key    string
	Change ChangeType
	Source []byte // canonical JSON; nil when it is absent there
	Target []byte
}

// ItemKind tells items apart as people do: a config is stored like a flag.
type ItemKind string

// The kinds of items.
const (
	ItemFlag    ItemKind = "flag"
	ItemConfig  ItemKind = "config"
	ItemSegment ItemKind = "segment"
)

// ChangeType is what a promotion does to an item of the target.
type ChangeType string

// The types of changes.
const (
	ChangeAdded    ChangeType = "added"    // in the source only
	ChangeModified ChangeType = "modified" // in both, with another meaning
	ChangeRemoved  ChangeType = "removed"  // in the target only
)

// Compare says what a promotion of everything from source would change in target. Compare(b, a) mirrors Compare(a, b).
func Compare(source, target *Environment) *Comparison {
	c := comparer{source: source, target: target}
	steps, unchanged := c.all()
	out := &Comparison{Unchanged: unchanged, SourceRevision: source.declaredAt, TargetRevision: target.declaredAt}
	for i := range steps {
		out.Entries = append(out.Entries, steps[i].entry())
	}
	slices.SortFunc(out.Entries, func(a, b ItemDiff) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Kind, b.Kind)) })
	return out
}

// stepItem is one item on its way: source is nil for one that is removed, target for one that was never there. A target
// that is archived stands here too, because it is what will be changed.
type stepItem struct {
	kind           ObjectKind
	key            string
	change         ChangeType
	source, target *item
}

func (s *stepItem) entry() ItemDiff {
	e := ItemDiff{Key: s.key, Change: s.change}
	if s.change != ChangeRemoved {
		e.Source = s.source.Record
	}
	if s.change != ChangeAdded {
		e.Target = s.target.Record
	}
	e.Kind = itemKind(s.kind, cmp.Or(s.source, s.target))
	return e
}

func itemKind(kind ObjectKind, it *item) ItemKind {
	if kind == ObjectSegment {
		return ItemSegment
	}
	if k, _ := headOf(it.Record); k == string(evaluator.KindConfig) {
		return ItemConfig
	}
	return ItemFlag
}

// comparer walks two environments.
type comparer struct {
	source, target *Environment
}

// all compares everything, in the order of kind and key.
func (c *comparer) all() (steps []stepItem, unchanged int) {
	for _, kind := range []ObjectKind{ObjectFlag, ObjectSegment} {
		from := len(steps)
		c.source.table(kind).All(func(_ string, it *item, _ uint64) bool {
			if s, differs := c.item(kind, it.Key); differs {
				steps = append(steps, s)
			} else if s.source != nil {
				unchanged++
			}
			return true
		})
		c.target.table(kind).All(func(_ string, it *item, _ uint64) bool {
			if absent(kind, it) {
				return true
			}
			if other, ok := c.source.item(kind, it.Key); !ok || absent(kind, other) {
				steps = append(steps, stepItem{kind: kind, key: it.Key, change: ChangeRemoved, target: it})
			}
			return true
		})
		slices.SortFunc(steps[from:], func(a, b stepItem) int { return cmp.Compare(a.key, b.key) })
	}
	return steps, unchanged
}

// item compares one that the source has; source of the answer is nil when it is absent there.
func (c *comparer) item(kind ObjectKind, key string) (s stepItem, differs bool) {
	s = stepItem{kind: kind, key: key, change: ChangeAdded}
	it, ok := c.source.item(kind, key)
	if !ok || absent(kind, it) {
		return s, false
	}
	s.source = it
	if s.target, ok = c.target.item(kind, key); !ok {
		s.target = nil
		return s, true
	}
	if absent(kind, s.target) {
		return s, true
	}
	s.change = ChangeModified
	return s, !sameMeaning(kind, it, s.target)
}

// absent tells whether an item that is stored counts as not being there.
func absent(kind ObjectKind, it *item) bool { return kind == ObjectFlag && archivedRecord(it.Record) }

// archivedRecord reads one member of a flag's record. Inside a text quotes are escaped, so what is not found is not
// there; what is found may belong to a value, and only decoding tells.
func archivedRecord(record []byte) bool {
	return bytes.Contains(record, []byte(`"archived":true`)) && mustDecode(evaluator.FlagOf(record)).Archived
}

// sameMeaning compares declarations without the ranges of their splits. Records are canonical: without ranges, other
// bytes are another meaning.
func sameMeaning(kind ObjectKind, a, b *item) bool {
	if a.digest() == b.digest() {
		return true
	}
	if kind == ObjectSegment || !hasRanges(a.Record) || !hasRanges(b.Record) {
		return false
	}
	return bytes.Equal(withoutRanges(a.Flag()).Canonical(), withoutRanges(b.Flag()).Canonical())
}

func hasRanges(record []byte) bool { return bytes.Contains(record, []byte(`"ranges":[`)) }

// withoutRanges opens the places of every split, as a declaration written by hand would.
func withoutRanges(f *evaluator.Flag) *evaluator.Flag {
	open := func(s *evaluator.Split) *evaluator.Split {
		if s == nil {
			return nil
		}
		opened := *s
		opened.Ranges = nil
		return &opened
	}
	out := *f
	out.Rules = slices.Clone(f.Rules)
	for i := range out.Rules {
		out.Rules[i].Then.Split = open(out.Rules[i].Then.Split)
	}
	if f.Default != nil {
		serve := *f.Default
		serve.Split = open(serve.Split)
		out.Default = &serve
	}
	return &out
}

// Meaning is the record of an item as a comparison shows it: without its key and without what is derived.
func (e ItemDiff) Meaning(record []byte) []byte {
	if record == nil || e.Kind == ItemSegment {
		return record
	}
	if !hasRanges(record) {
		return record
	}
	return withoutRanges(mustDecode(evaluator.FlagOf(record))).Canonical()
}

// headOf reads kind and type of a flag's record, which stand behind its key in every canonical form.
func headOf(record []byte) (kind, valueType string) {
	rest, kind := record, string(evaluator.KindFlag)
	for _, name := range []string{"key", "kind", "type"} {
		after, ok := bytes.CutPrefix(rest[1:], []byte(`"`+name+`":"`))
		if !ok {
			continue
		}
		end := bytes.IndexByte(after, '"') // none of the three is ever escaped
		switch name {
		case "kind":
			kind = string(after[:end])
		case "type":
			valueType = string(after[:end])
		}
		rest = after[end+1:]
	}
	return kind, valueType
}
