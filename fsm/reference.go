package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Flags and segments are the nodes of one graph per environment; what a definition names are its edges. The evaluator
// binds references late, so this file is what keeps every one of them good.
const (
	maxFlagDepth    = 8 // references from flag to flag on one path
	maxSegmentDepth = 4 // references from segment to segment on one path
)

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

// edges lists the nodes an item refers to.
func (it *item) edges() []string {
	if it == nil || it.refs == nil {
		return nil
	}
	out := make([]string, 0, len(it.refs.Flags)+len(it.refs.Segments))
	for _, f := range it.refs.Flags {
		out = append(out, nodeName(ObjectFlag, f.Flag))
	}
	for _, s := range it.refs.Segments {
		out = append(out, nodeName(ObjectSegment, s))
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
	names := d.env.Referrers(t.kind, t.key)
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

// judgeEdges asks whether everything a definition names exists, without a cycle and not too deep. References that are
// as before were judged before, unless their target changed: that is judged where the target is.
func (d *draft) judgeEdges(t *touch) error {
	old, now := t.before, t.now
	if now.refs == nil || old != nil && old.refs != nil && sameReferences(old.refs, now.refs) {
		return nil
	}
	var problems evaluator.Problems
	for _, ref := range now.refs.Flags {
		if code, message := d.dangling(ref); code != "" {
			problems = append(problems, problem(t.pointer(ObjectFlag, ref.Flag), code, message)...)
		}
	}
	for _, key := range now.refs.Segments {
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
		return x.Flag == y.Flag && slices.Equal(x.Variants, y.Variants)
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
	for _, name := range d.env.Referrers(t.kind, t.key) {
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

// depth is the longest path through a node, counted per kind.
type depth struct{ flags, segments int }

func (a depth) max(b depth) depth {
	return depth{max(a.flags, b.flags), max(a.segments, b.segments)}
}

// step is what an edge adds.
func step(from, to string) depth {
	switch {
	case strings.HasPrefix(to, "flag/"):
		return depth{flags: 1}
	case strings.HasPrefix(from, "segment/"):
		return depth{segments: 1}
	}
	return depth{}
}

func (a depth) plus(b depth) depth { return depth{a.flags + b.flags, a.segments + b.segments} }

// judgePaths refuses cycles and paths that are too long. What lies above a node is walked only when the node itself
// became deeper: otherwise nothing above it did.
func (d *draft) judgePaths(t *touch) error {
	name := nodeName(t.kind, t.key)
	down := walk{env: d.env, seen: map[string]depth{}}
	below, cycle := down.below(name)
	if cycle != nil {
		return &Error{Kind: KindInvalid, Target: d.name(t), Detail: "references go round in a circle: " + strings.Join(cycle, " -> "),
			Problems: problem("", "reference.cycle", strings.Join(cycle, " -> "))}
	}
	total := below
	if t.before != nil {
		before := walk{env: d.before, seen: map[string]depth{}}
		if was, _ := before.below(name); below.flags > was.flags || below.segments > was.segments {
			above := walk{env: d.env, seen: map[string]depth{}}
			total = below.plus(above.above(name))
		}
	}
	if total.flags > maxFlagDepth || total.segments > maxSegmentDepth {
		message := fmt.Sprintf("references are nested %d flags and %d segments deep, %d and %d are allowed",
			total.flags, total.segments, maxFlagDepth, maxSegmentDepth)
		return &Error{Kind: KindInvalid, Target: d.name(t), Detail: message + "; name fewer", Problems: problem("", "reference.depth", message)}
	}
	return nil
}

// walk measures the graph, each node once.
type walk struct {
	env  *Environment
	seen map[string]depth
	path []string
}

// below follows references; a cycle is returned as the names along it, first and last the same.
func (w *walk) below(name string) (depth, []string) {
	if known, ok := w.seen[name]; ok {
		return known, nil
	}
	if at := slices.Index(w.path, name); at >= 0 {
		return depth{}, append(slices.Clone(w.path[at:]), name)
	}
	it, ok := w.env.node(name)
	if !ok {
		return depth{}, nil
	}
	w.path = append(w.path, name)
	var deepest depth
	for _, target := range it.edges() {
		under, cycle := w.below(target)
		if cycle != nil {
			return depth{}, cycle
		}
		deepest = deepest.max(under.plus(step(name, target)))
	}
	w.path = w.path[:len(w.path)-1]
	w.seen[name] = deepest
	return deepest, nil
}

// above follows referrers; there is no cycle any more when it is asked.
func (w *walk) above(name string) depth {
	if known, ok := w.seen[name]; ok {
		return known
	}
	var deepest depth
	if set, ok := w.env.referrers.Get(name); ok {
		set.All(func(from string, _ struct{}, _ uint64) bool {
			deepest = deepest.max(w.above(from).plus(step(from, name)))
			return true
		})
	}
	w.seen[name] = deepest
	return deepest
}
