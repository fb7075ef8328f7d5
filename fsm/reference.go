package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Flags and segments are the nodes of one graph per environment; what a definition names are its edges. The evaluator
// binds references late, so this file is what keeps every one of them good.

// referrerSet holds the names of the nodes that refer to one node.
type referrerSet = evaluator.Index[struct{}]

func nodeName(kind ObjectKind, key string) string { return string(kind) + "/" + key }

// Referrers lists what names the flag or segment, as "flag/checkout" or "segment/beta", sorted.
func (e *Environment) Referrers(kind ObjectKind, key string) []string {
	set, ok := e.referrers.Get(nodeName(kind, key))
	if !ok {
		return nil
	}
	names := make([]string, 0, set.Len())
	set.All(func(name string, _ struct{}, _ uint64) bool {
		names = append(names, name)
		return true
	})
	slices.Sort(names)
	return names
}

// edges lists the names of the nodes an item refers to.
func (it *item) edges() []string {
	links := it.links()
	out := make([]string, 0, len(links))
	for _, l := range links {
		out = append(out, l.to)
	}
	return out
}

// links are the edges with how often each is made.
func (it *item) links() []edge {
	if it == nil || it.refs == nil {
		return nil
	}
	out := make([]edge, 0, len(it.refs.Flags)+len(it.refs.Segments))
	for _, f := range it.refs.Flags {
		out = append(out, edge{nodeName(ObjectFlag, f.Flag), f.Times})
	}
	for _, s := range it.refs.Segments {
		out = append(out, edge{nodeName(ObjectSegment, s.Segment), s.Times})
	}
	return out
}

func (e *Environment) node(name string) (*item, bool) {
	kind, key, _ := strings.Cut(name, "/")
	return e.item(ObjectKind(kind), key)
}

// judge looks at everything the command changed, when all of it is in place.
func (d *draft) judge() error {
	for _, t := range d.moved {
		if err := d.overtaken(t); err != nil {
			return err
		}
		if t.now == nil {
			if err := d.refuseReferred(t, "deleted"); err != nil {
				return err
			}
			if err := d.guardDeletion(t); err != nil {
				return err
			}
			continue
		}
		if err := d.judgeEdges(t); err != nil {
			return err
		}
		if err := d.guardSeats(t); err != nil {
			return err
		}
		if err := d.guardSchedules(t); err != nil {
			return err
		}
		if err := d.judgePolicy(t); err != nil {
			return err
		}
		if t.before != nil && t.before != t.now && t.kind == ObjectFlag {
			if err := d.judgeNarrowed(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseReferred refuses to take away what others still name.
func (d *draft) refuseReferred(t *touch, done string) error {
	names := slices.DeleteFunc(d.env.Referrers(t.kind, t.key), d.archived)
	if len(names) == 0 {
		return nil
	}
	shown := strings.Join(names[:min(5, len(names))], ", ")
	if more := len(names) - 5; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	e := &Error{Kind: KindConflict, Target: d.name(t), Detail: fmt.Sprintf("it cannot be %s: %s refer to it; change them first", done, shown)}
	if t.before != nil {
		e.Revision = t.before.Revision
	}
	return e
}

// archived tells whether a node is a flag that is kept but not served. What such a flag names binds nobody: it is judged
// when the flag comes back.
func (d *draft) archived(node string) bool {
	it, ok := d.env.node(node)
	return ok && strings.HasPrefix(node, string(ObjectFlag)+"/") && archivedRecord(it.Record)
}

// judgeEdges asks whether everything a definition names exists, without a cycle and not too deep. References that are
// as before were judged before, unless their target changed: that is judged where the target is.
func (d *draft) judgeEdges(t *touch) error {
	old, now := t.before, t.now
	if now.refs == nil || t.kind == ObjectFlag && archivedRecord(now.Record) {
		return nil
	}
	if old != nil && old.refs != nil && sameReferences(old.refs, now.refs) && !(t.kind == ObjectFlag && archivedRecord(old.Record)) {
		return nil
	}
	var problems evaluator.Problems
	for _, ref := range now.refs.Flags {
		if code, message := d.dangling(ref); code != "" {
			problems = append(problems, problem(t.pointer(ObjectFlag, ref.Flag), code, message)...)
		}
	}
	for _, ref := range now.refs.Segments {
		key := ref.Segment
		if _, ok := d.env.item(ObjectSegment, key); !ok {
			problems = append(problems, problem(t.pointer(ObjectSegment, key), "reference.segment.missing",
				fmt.Sprintf("segment %q does not exist; create it first", key))...)
		}
	}
	if len(problems) > 0 {
		return &Error{Kind: KindInvalid, Target: d.name(t), Problems: problems, Detail: "it names what does not exist; correct the named fields"}
	}
	return d.judgePaths(t)
}

func sameReferences(a, b *evaluator.References) bool {
	return slices.Equal(a.Segments, b.Segments) && slices.EqualFunc(a.Flags, b.Flags, func(x, y evaluator.FlagReference) bool {
		return x.Flag == y.Flag && x.Times == y.Times && slices.Equal(x.Variants, y.Variants)
	})
}

// dangling says what is wrong with a reference to a flag; an empty code means nothing.
func (d *draft) dangling(ref evaluator.FlagReference) (code, message string) {
	it, ok := d.env.item(ObjectFlag, ref.Flag)
	if !ok {
		return "reference.flag.missing", fmt.Sprintf("flag %q does not exist; create it first", ref.Flag)
	}
	target := d.flag(it)
	if target.Archived {
		return "reference.flag.archived", fmt.Sprintf("flag %q is archived; bring it back or name another", ref.Flag)
	}
	for _, v := range ref.Variants {
		if !hasVariant(target, v) {
			return "reference.variant.missing", fmt.Sprintf("flag %q has no variant %q", ref.Flag, v)
		}
	}
	return "", ""
}

func hasVariant(f *evaluator.Flag, key string) bool {
	return slices.ContainsFunc(f.Variants, func(v evaluator.Variant) bool { return v.Key == key })
}

// flag is the declared flag of an item, decoded once per command if the command touched it.
func (d *draft) flag(it *item) *evaluator.Flag {
	if t, ok := d.byNode[nodeName(ObjectFlag, it.Key)]; ok {
		return t.declared()
	}
	return it.Flag()
}

// judgeNarrowed asks those who name a flag whether what it lost matters to them.
func (d *draft) judgeNarrowed(t *touch) error {
	if _, named := d.env.referrers.Get(nodeName(t.kind, t.key)); !named {
		return nil
	}
	was, is := t.before.Flag(), t.declared()
	if is.Archived && !was.Archived {
		return d.refuseReferred(t, "archived")
	}
	lost := slices.ContainsFunc(was.Variants, func(v evaluator.Variant) bool { return !hasVariant(is, v.Key) })
	if !lost {
		return nil
	}
	for _, name := range slices.DeleteFunc(d.env.Referrers(t.kind, t.key), d.archived) {
		referrer, _ := d.env.node(name)
		for _, ref := range referrer.refs.Flags {
			if ref.Flag != t.key {
				continue
			}
			if _, message := d.dangling(ref); message != "" {
				return &Error{Kind: KindConflict, Target: d.name(t), Revision: t.before.Revision,
					Detail: fmt.Sprintf("%s still asks for a variant that is taken away: %s; change that first", name, message)}
			}
		}
	}
	return nil
}

// pointer finds the place in a definition that names the target, as a JSON pointer.
func (t *touch) pointer(kind ObjectKind, key string) string {
	if t.kind == ObjectSegment {
		for i, r := range t.defined().Rules {
			if at := clausePointer(r.If, kind, key); at != "" {
				return fmt.Sprintf("/rules/%d%s", i, at)
			}
		}
		return ""
	}
	f := t.declared()
	for i, p := range f.Prerequisites {
		if kind == ObjectFlag && p.Flag == key {
			return fmt.Sprintf("/prerequisites/%d/flag", i)
		}
	}
	for i, r := range f.Rules {
		if at := clausePointer(r.If, kind, key); at != "" {
			return fmt.Sprintf("/rules/%d%s", i, at)
		}
	}
	return ""
}

func clausePointer(clauses []evaluator.Clause, kind ObjectKind, key string) string {
	for i, c := range clauses {
		if kind == ObjectFlag && c.Operator == "prerequisite" && c.Attribute == key {
			return fmt.Sprintf("/if/%d/attribute", i)
		}
		if kind == ObjectSegment && c.Operator == "segment" {
			for j, v := range c.Values {
				if v.Kind() == evaluator.KindString && v.AsString() == key {
					return fmt.Sprintf("/if/%d/values/%d", i, j)
				}
			}
		}
	}
	return ""
}
