package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

// Nodes tell which flags were asked for by name, coarsely: a flag at most once a day. That says which ones nobody needs.

// NoteUse says that flags of an environment were evaluated on the day of the entry, and whether somebody read the environment
// as a whole, which names no flag. Only the cluster itself sends it.
type NoteUse struct {
	Scope
	Flags []string `json:"flags,omitempty"`
	Whole bool     `json:"whole,omitzero"`
}

const verbNoteUse = "environment.use"

// Verb names the change for rights; it has no audit row.
func (NoteUse) Verb() string { return verbNoteUse }

func (c NoteUse) target() Target { return c.object(ObjectEnvironment, c.Environment) }

// wholeUse is the name under which it is noted that an environment was read as a whole; no key looks like it.
const wholeUse = "*"

const dayMillis = int64(24 * time.Hour / time.Millisecond)

// noteUse notes the day. What is noted already, and flags that are not there, change nothing.
func (d *draft) noteUse(c NoteUse) error {
	day := d.state.now / dayMillis
	note := func(key string) {
		old, noted := d.env.used.Get(key)
		if noted && old >= day {
			return
		}
		if noted {
			d.state.rest.remove(usedLeaf(d.env, key, old))
		}
		d.env.used = d.env.used.With(key, day, d.state.index)
		d.state.rest.add(usedLeaf(d.env, key, day))
		d.stirred = true
	}
	for _, key := range c.Flags {
		if _, ok := d.before.Flag(key); ok {
			note(key)
		}
	}
	if c.Whole {
		note(wholeUse)
	}
	return nil
}

// forgetUse drops what is noted of a deleted flag.
func (w *flusher) forgetUse(key string) {
	if day, noted := w.env.used.Get(key); noted {
		w.state.rest.remove(usedLeaf(w.env, key, day))
		w.env.used = w.env.used.Without(key)
	}
}

func usedLeaf(e *Environment, key string, day int64) sum {
	return newLeaf(leafUsed, e.tenant, e.key, key).numbers(uint64(day)).sum()
}

func (e *Environment) saveUse(w *writer) {
	var keys []string
	e.used.All(func(key string, _ int64, _ uint64) bool {
		keys = append(keys, key)
		return true
	})
	slices.Sort(keys)
	for _, key := range keys {
		day, _ := e.used.Get(key)
		w.strings(key).numbers(uint64(day)).end(recordUsed)
	}
}

func (l *loader) use(r *reader) error {
	key, day := r.string(), int64(r.uvarint())
	l.env.used = l.env.used.With(key, day, l.env.revision)
	l.state.rest.add(usedLeaf(l.env, key, day))
	return nil
}

// Used is the day on which a flag was last evaluated by name, as unix ms of its begin; false when it never was.
func (e *Environment) Used(flag string) (day int64, ok bool) {
	day, ok = e.used.Get(flag)
	return day * dayMillis, ok
}

// ReadWhole is the day on which the environment was last read as a whole, by a follower or in bulk.
func (e *Environment) ReadWhole() (day int64, ok bool) { return e.Used(wholeUse) }

// StaleFlag is a flag that may be taken away, and why.
type StaleFlag struct {
	Flag    *evaluator.Flag
	Reasons []string
	Since   int64 // unix ms: of the oldest reason
}

// Stale lists flags that are past their expiry, that serve everybody the same and have not changed for so many days, or
// that nobody evaluated by name for as long; by age. While the environment is read as a whole too, nobody knows the last.
func (e *Environment) Stale(now int64, days int) []StaleFlag {
	var out []StaleFlag
	whole, read := e.ReadWhole()
	before := now - int64(days)*dayMillis
	for _, r := range e.Flags() {
		f := r.Flag()
		if f.Archived {
			continue
		}
		s := StaleFlag{Flag: f, Since: now}
		if at, err := time.Parse(time.DateOnly, f.Expires); err == nil && at.UnixMilli() < now {
			s.because(at.UnixMilli(), "expired on "+f.Expires)
		}
		if variant := settled(f); variant != "" && r.UpdatedAt <= before && len(e.Exposures(r.Key)) == 0 {
			s.because(r.UpdatedAt, fmt.Sprintf("serves %s to everybody, unchanged since %s", variant, dateOf(r.UpdatedAt)))
		}
		used, ever := e.Used(r.Key)
		switch {
		case read && whole > before || r.UpdatedAt > before:
		case !ever:
			s.because(r.UpdatedAt, "never evaluated since its last change on "+dateOf(r.UpdatedAt))
		case used <= before:
			s.because(used, "not evaluated since "+dateOf(used))
		}
		if len(s.Reasons) > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b StaleFlag) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), strings.Compare(a.Flag.Key, b.Flag.Key))
	})
	return out
}

func (s *StaleFlag) because(since int64, reason string) {
	s.Reasons, s.Since = append(s.Reasons, reason), min(s.Since, since)
}

func dateOf(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }

// settled is the one variant that an enabled flag serves, whoever asks; empty when that depends.
func settled(f *evaluator.Flag) string {
	if f.Kind == evaluator.KindConfig || !f.Enabled || f.Default == nil || len(f.Prerequisites) > 0 {
		return ""
	}
	variant := certain(*f.Default)
	for _, r := range f.Rules {
		if certain(r.Then) != variant {
			return ""
		}
	}
	return variant
}

// certain is the variant that a serve gives to everybody.
func certain(s evaluator.Serve) string {
	for key, weight := range sharesOf(s) {
		if weight == int(All) {
			return key
		}
	}
	return ""
}
