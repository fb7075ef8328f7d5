package fsm

import (
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// Diff returns the commands that turn what is declared in from into to; from may be nil for an empty environment.
// What to leaves open (salts, ranges) does not differ from what is stored. With prune, what to does not have is deleted
// at the end. The order is safe one by one: what is named comes before those who name it, and what loses something
// comes after those who stop naming it. Where two changes need each other, only a Batch of all of them will do.
func Diff(scope Scope, from *Environment, to Content, prune bool) []Command {
	x := differ{scope: scope, from: from, puts: map[string]Command{}, refs: map[string]evaluator.References{}}
	for _, s := range to.Segments {
		x.segment(s)
	}
	for _, f := range to.Flags {
		x.flag(f)
	}
	drops, puts := x.schedules(to)
	if from == nil {
		return append(x.ordered(), puts...)
	}
	early, late := x.deletions(to, prune)
	out := append(early, drops...)
	out = append(out, x.ordered()...)
	out = append(out, puts...)
	return append(out, late...)
}

// schedules compares those of the flags that to names. A schedule changes in one step with the flag it stands beside:
// alone, either of the two may not fit the other.
func (x *differ) schedules(to Content) (drops, puts []Command) {
	kept := map[string]map[string]bool{} // owners by flag
	for _, s := range to.Schedules {
		if kept[s.Flag] == nil {
			kept[s.Flag] = map[string]bool{}
		}
		kept[s.Flag][s.owner()] = true
		if old := x.schedule(s); old == nil || !old.Equal(s) {
			puts = append(puts, PutSchedule{Scope: x.scope, Schedule: s})
		}
	}
	if !to.StatesSchedules || x.from == nil {
		return nil, puts
	}
	for _, f := range to.Flags {
		for _, exposure := range x.from.Exposures(f.Key) {
			if exposure.Schedule != nil && exposure.Schedule.stated() && !kept[f.Key][exposure.Owner] {
				drops = append(drops, DropSchedule{Scope: x.scope, Flag: f.Key, Rule: exposure.Schedule.Rule})
			}
		}
	}
	return drops, puts
}

func (x *differ) schedule(s *Schedule) *Schedule {
	if x.from == nil {
		return nil
	}
	for _, exposure := range x.from.Exposures(s.Flag) {
		if exposure.Owner == s.owner() {
			return exposure.Schedule
		}
	}
	return nil
}

// differ collects the changes by node name.
type differ struct {
	scope Scope
	from  *Environment
	puts  map[string]Command
	refs  map[string]evaluator.References // of the new forms
	names []string
}

func (x *differ) segment(s *evaluator.Segment) {
	if old, ok := x.stored(ObjectSegment, s.Key); ok && old.digest() == digestOf(s.Canonical()) {
		return
	}
	x.add(nodeName(ObjectSegment, s.Key), PutSegment{Scope: x.scope, Segment: s}, s.References())
}

func (x *differ) flag(f *evaluator.Flag) {
	node := nodeName(ObjectFlag, f.Key)
	it, ok := x.stored(ObjectFlag, f.Key)
	if !ok {
		x.add(node, PutFlag{Scope: x.scope, Flag: f}, f.References())
		return
	}
	old := it.Flag()
	settled := f.Settle(old)
	if it.digest() == digestOf(settled.Canonical()) {
		return
	}
	flipped := *old
	flipped.Enabled = settled.Enabled
	if digestOf(flipped.Canonical()) == digestOf(settled.Canonical()) {
		x.add(node, SetEnabled{Scope: x.scope, Key: f.Key, Enabled: f.Enabled}, f.References())
		return
	}
	x.add(node, PutFlag{Scope: x.scope, Flag: f}, f.References())
}

func (x *differ) stored(kind ObjectKind, key string) (*item, bool) {
	if x.from == nil {
		return nil, false
	}
	return x.from.item(kind, key)
}

func (x *differ) add(node string, c Command, refs evaluator.References) {
	x.names = append(x.names, node)
	x.puts[node], x.refs[node] = c, refs
}

// ordered sorts the puts so that each stands after those it waits for. A circle of waiting is cut where it was entered.
func (x *differ) ordered() []Command {
	slices.Sort(x.names)
	done := map[string]bool{}
	var out []Command
	var visit func(node string)
	visit = func(node string) {
		if _, changes := x.puts[node]; !changes || done[node] {
			return
		}
		done[node] = true
		for _, before := range x.before(node) {
			visit(before)
		}
		out = append(out, x.puts[node])
	}
	for _, node := range x.names {
		visit(node)
	}
	return out
}

// before lists what has to change earlier than node: those who stop naming something it loses, then what it names.
func (x *differ) before(node string) []string {
	var out []string
	if x.from != nil {
		if it, ok := x.from.node(node); ok && x.narrows(node, it) {
			out = append(out, x.leaving(node)...)
		}
	}
	now := item{refs: new(evaluator.References)}
	*now.refs = x.refs[node]
	return append(out, now.edges()...)
}

// narrows says whether a flag loses a variant or is archived.
func (x *differ) narrows(node string, it *item) bool {
	put, ok := x.puts[node].(PutFlag)
	if !ok {
		return false
	}
	old := it.Flag()
	return put.Flag.Archived && !old.Archived ||
		slices.ContainsFunc(old.Variants, func(v evaluator.Variant) bool { return !hasVariant(put.Flag, v.Key) })
}

// leaving lists the nodes that name node now, sorted.
func (x *differ) leaving(node string) []string {
	set, ok := x.from.referrers.Get(node)
	if !ok {
		return nil
	}
	var names []string
	set.All(func(name string, _ struct{}, _ uint64) bool {
		names = append(names, name)
		return true
	})
	slices.Sort(names)
	return names
}

// deletions lists what to does not have: early what only makes room for a key that differs in case, late the rest, those
// who name others before what they name.
func (x *differ) deletions(to Content, prune bool) (early, late []Command) {
	if !prune {
		return nil, nil
	}
	folded := map[string]bool{}
	for _, f := range to.Flags {
		folded[indexKey(ObjectFlag, f.Key)] = true
	}
	gone, names := x.gone(to)
	done := map[string]bool{}
	var visit func(node string)
	visit = func(node string) {
		c, goes := gone[node]
		if !goes || done[node] {
			return
		}
		done[node] = true
		for _, referrer := range x.leaving(node) {
			visit(referrer)
		}
		if d, ok := c.(DeleteFlag); ok && folded[indexKey(ObjectFlag, d.Key)] {
			early = append(early, c)
			return
		}
		late = append(late, c)
	}
	for _, node := range names {
		visit(node)
	}
	return early, late
}

// gone gives the deletion for each node that to does not have, and their names in order.
func (x *differ) gone(to Content) (map[string]Command, []string) {
	kept := map[string]bool{}
	for _, f := range to.Flags {
		kept[nodeName(ObjectFlag, f.Key)] = true
	}
	for _, s := range to.Segments {
		kept[nodeName(ObjectSegment, s.Key)] = true
	}
	gone := map[string]Command{}
	var names []string
	for _, r := range x.from.Flags() {
		if node := nodeName(ObjectFlag, r.Key); !kept[node] {
			gone[node], names = DeleteFlag{Scope: x.scope, Key: r.Key}, append(names, node)
		}
	}
	for _, r := range x.from.Segments() {
		if node := nodeName(ObjectSegment, r.Key); !kept[node] {
			gone[node], names = DeleteSegment{Scope: x.scope, Key: r.Key}, append(names, node)
		}
	}
	return gone, names
}
