package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// Describe says in lines what changes from one content to the other, flags first, by key: "flag checkout: enabled
// false → true", "flag checkout: rule beta: weight new 25% → 50%". What to leaves open (salts, ranges) is no change.
// With prune, what to does not have is deleted.
func Describe(from, to fsm.Content, prune bool) []string {
	var d describer
	was, is := byKey(from.Flags, flagKey), byKey(to.Flags, flagKey)
	for _, key := range keys(was, is) {
		d.object = "flag " + key
		switch old, now := was[key], is[key]; {
		case old == nil:
			d.say("new, %s", summary(now))
		case now != nil:
			old = old.Settle(nil) // nothing but what a first commit fills in
			d.flag(old, now.Settle(old))
		case prune:
			d.say("deleted")
		}
	}
	before, after := byKey(from.Segments, segmentKey), byKey(to.Segments, segmentKey)
	for _, key := range keys(before, after) {
		d.object = "segment " + key
		switch old, now := before[key], after[key]; {
		case old == nil:
			d.say("new, %d included, %d excluded, %d rules", len(now.Include), len(now.Exclude), len(now.Rules))
		case now != nil:
			d.segment(old, now)
		case prune:
			d.say("deleted")
		}
	}
	return d.lines
}

func flagKey(f *evaluator.Flag) string       { return f.Key }
func segmentKey(s *evaluator.Segment) string { return s.Key }

func byKey[T any](list []*T, key func(*T) string) map[string]*T {
	m := make(map[string]*T, len(list))
	for _, one := range list {
		m[key(one)] = one
	}
	return m
}

func keys[T any](a, b map[string]*T) []string {
	var out []string
	for key := range a {
		out = append(out, key)
	}
	for key := range b {
		out = append(out, key)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func summary(f *evaluator.Flag) string {
	if f.Kind == evaluator.KindConfig {
		return "config " + shown(f.Value)
	}
	state := "disabled"
	if f.Enabled {
		state = "enabled"
	}
	return fmt.Sprintf("%s, %s, %d variants, %d rules", f.Type, state, len(f.Variants), len(f.Rules))
}

type describer struct {
	object string
	lines  []string
}

func (d *describer) say(format string, args ...any) {
	d.lines = append(d.lines, d.object+": "+fmt.Sprintf(format, args...))
}

// change says a field's old and new value, unless they are the same.
func (d *describer) change(field, old, now string) {
	if old != now {
		d.say("%s %s → %s", field, orNone(old), orNone(now))
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func (d *describer) flag(old, now *evaluator.Flag) {
	if slices.Equal(old.Canonical(), now.Canonical()) {
		return
	}
	before := len(d.lines)
	d.change("kind", string(old.Kind), string(now.Kind))
	d.change("type", string(old.Type), string(now.Type))
	d.change("enabled", strconv.FormatBool(old.Enabled), strconv.FormatBool(now.Enabled))
	d.change("archived", strconv.FormatBool(old.Archived), strconv.FormatBool(now.Archived))
	d.change("client visible", strconv.FormatBool(old.ClientVisible), strconv.FormatBool(now.ClientVisible))
	d.change("value", shown(old.Value), shown(now.Value))
	d.variants(old.Variants, now.Variants)
	d.change("off variant", old.Off, now.Off)
	d.prerequisites(old.Prerequisites, now.Prerequisites)
	d.rules(old.Rules, now.Rules)
	d.serve("default", old.Default, now.Default)
	d.prose(old, now)
	if len(d.lines) == before {
		d.say("changed")
	}
}

func (d *describer) prose(old, now *evaluator.Flag) {
	d.change("name", old.Name, now.Name)
	d.change("owner", old.Owner, now.Owner)
	d.change("tags", strings.Join(old.Tags, ","), strings.Join(now.Tags, ","))
	d.change("temporary", strconv.FormatBool(old.Temporary), strconv.FormatBool(now.Temporary))
	d.change("expires", old.Expires, now.Expires)
	if old.Description != now.Description {
		d.say("description changed")
	}
	if !maps.Equal(old.Annotations, now.Annotations) {
		d.say("annotations changed")
	}
	if !sameMetadata(old.Metadata, now.Metadata) {
		d.say("metadata changed")
	}
}

func sameMetadata(a, b map[string]evaluator.Value) bool {
	if len(a) != len(b) {
		return false
	}
	for key, v := range a {
		if w, ok := b[key]; !ok || !v.Equal(w) {
			return false
		}
	}
	return true
}

// shown is a value as JSON, cut when long.
func shown(v *evaluator.Value) string {
	if v == nil {
		return ""
	}
	text := string(v.AppendJSON(nil))
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:57], "") + "..."
	}
	return text
}

func (d *describer) variants(old, now []evaluator.Variant) {
	values := map[string]string{}
	for _, v := range old {
		values[v.Key] = "without value"
		if v.Value != nil {
			values[v.Key] = shown(v.Value)
		}
	}
	for _, v := range now {
		value := "without value"
		if v.Value != nil {
			value = shown(v.Value)
		}
		if was, ok := values[v.Key]; ok {
			d.change("variant "+v.Key, was, value)
		} else {
			d.say("variant %s added, %s", v.Key, value)
		}
		delete(values, v.Key)
	}
	for _, v := range old {
		if _, gone := values[v.Key]; gone {
			d.say("variant %s removed", v.Key)
		}
	}
}

func (d *describer) prerequisites(old, now []evaluator.Prerequisite) {
	words := func(list []evaluator.Prerequisite) string {
		var out []string
		for _, p := range list {
			out = append(out, p.Flag+"="+strings.Join(p.Variants, "|"))
		}
		return strings.Join(out, ", ")
	}
	d.change("prerequisites", words(old), words(now))
}

func (d *describer) rules(old, now []evaluator.Rule) {
	at := map[string]*evaluator.Rule{}
	var was, is []string
	for i := range old {
		at[old[i].ID] = &old[i]
		was = append(was, old[i].ID)
	}
	kept := map[string]bool{}
	for i := range now {
		r := &now[i]
		is = append(is, r.ID)
		before, ok := at[r.ID]
		if !ok {
			d.say("rule %s added: %s", r.ID, served(&r.Then))
			continue
		}
		kept[r.ID] = true
		if !sameClauses(before.If, r.If) {
			d.say("rule %s: conditions changed", r.ID)
		}
		d.serve("rule "+r.ID, &before.Then, &r.Then)
	}
	for _, r := range old {
		if !kept[r.ID] {
			d.say("rule %s removed", r.ID)
		}
	}
	gone := func(id string) bool { return !kept[id] }
	was, is = slices.DeleteFunc(was, gone), slices.DeleteFunc(is, gone)
	d.change("order of rules", strings.Join(was, ","), strings.Join(is, ","))
}

func sameClauses(a, b []evaluator.Clause) bool {
	return slices.EqualFunc(a, b, func(x, y evaluator.Clause) bool {
		return x.Attribute == y.Attribute && x.Operator == y.Operator && x.Negate == y.Negate && x.IfMissing == y.IfMissing &&
			x.Coerce == y.Coerce && x.IgnoreCase == y.IgnoreCase && slices.EqualFunc(x.Values, y.Values, evaluator.Value.Equal)
	})
}

func served(s *evaluator.Serve) string {
	switch {
	case s == nil:
		return ""
	case s.Split == nil:
		return s.Variant
	}
	var out []string
	for _, w := range s.Split.Weights {
		out = append(out, w.Variant+" "+percent(w.Weight))
	}
	return strings.Join(out, ", ")
}

// percent writes thousandths of a percent.
func percent(weight int) string {
	return strconv.FormatFloat(float64(weight)/1000, 'f', -1, 64) + "%"
}

func (d *describer) serve(place string, old, now *evaluator.Serve) {
	if old == nil || now == nil || old.Split == nil || now.Split == nil {
		d.change(place+": serves", served(old), served(now))
		return
	}
	was := map[string]int{}
	for _, w := range old.Split.Weights {
		was[w.Variant] = w.Weight
	}
	for _, w := range now.Split.Weights {
		d.change(place+": weight "+w.Variant, percent(was[w.Variant]), percent(w.Weight))
		delete(was, w.Variant)
	}
	for _, w := range old.Split.Weights {
		if weight, gone := was[w.Variant]; gone && weight > 0 {
			d.change(place+": weight "+w.Variant, percent(weight), "")
		}
	}
	d.change(place+": split by", old.Split.By, now.Split.By)
	d.change(place+": salt", old.Split.Salt, now.Split.Salt)
	d.change(place+": hash", old.Split.Hash, now.Split.Hash)
	d.change(place+": without key", old.Split.Missing, now.Split.Missing)
	if !slices.Equal(old.Split.Ranges, now.Split.Ranges) && slices.Equal(old.Split.Weights, now.Split.Weights) {
		d.say("%s: ranges changed, users move", place)
	}
}

func (d *describer) segment(old, now *evaluator.Segment) {
	if slices.Equal(old.Canonical(), now.Canonical()) {
		return
	}
	before := len(d.lines)
	d.change("by", old.By, now.By)
	d.members("included", old.Include, now.Include)
	d.members("excluded", old.Exclude, now.Exclude)
	if !slices.EqualFunc(old.Rules, now.Rules, func(a, b evaluator.SegmentRule) bool { return sameClauses(a.If, b.If) }) {
		d.say("rules changed")
	}
	d.change("name", old.Name, now.Name)
	if old.Description != now.Description {
		d.say("description changed")
	}
	if !maps.Equal(old.Annotations, now.Annotations) {
		d.say("annotations changed")
	}
	if len(d.lines) == before {
		d.say("changed")
	}
}

func (d *describer) members(list string, old, now []string) {
	was, added := make(map[string]bool, len(old)), 0
	for _, m := range old {
		was[m] = true
	}
	for _, m := range now {
		if !was[m] {
			added++
		}
		delete(was, m)
	}
	if added > 0 || len(was) > 0 {
		d.say("%s +%d −%d", list, added, len(was))
	}
}
