package fsm

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
)

// maxFlags is how many flags an environment holds, archived ones included.
const maxFlags = 100_000

func (d *draft) putFlag(c Command, f *evaluator.Flag) error {
	t := d.at(ObjectFlag, f.Key)
	var old *evaluator.Flag
	if t.now != nil {
		old = t.declared()
	}
	if err := d.mayPut(c, t, f, old); err != nil {
		return err
	}
	t.declare(c, f.Settle(old))
	return nil
}

// declare stores a flag whose salts and ranges are decided.
func (t *touch) declare(c Command, f *evaluator.Flag) {
	t.define(c, f.Canonical(), f.References())
	t.flag = f
}

func (d *draft) mayPut(c Command, t *touch, f, old *evaluator.Flag) error {
	var problems evaluator.Problems
	switch {
	case old == nil:
		if other := d.occupant(f.Key); other != "" {
			problems = append(problems, problem("/key", "flag.key.case",
				fmt.Sprintf("%q differs only in case from the existing flag %q; choose another key", f.Key, other))...)
		}
		if d.before.flags.Len()+len(d.folded) > maxFlags {
			problems = append(problems, problem("/key", "flag.limit",
				fmt.Sprintf("the environment holds %d flags already; delete some", maxFlags))...)
		}
	default:
		if f.Type != old.Type {
			problems = append(problems, problem("/type", "flag.type.fixed",
				fmt.Sprintf("the type is %s and never changes; make a new flag", old.Type))...)
		}
		if kindOf(f) != kindOf(old) {
			problems = append(problems, problem("/kind", "flag.kind.fixed",
				fmt.Sprintf("the kind is %s and never changes; make a new one", kindOf(old)))...)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: d.name(t), Problems: problems,
		Detail: "the flag cannot be stored here; correct the named fields"}
}

// occupant is the key of a flag that differs from key only in case, as things stand within this command.
func (d *draft) occupant(key string) string {
	folded := indexKey(ObjectFlag, key)
	if it, ok := d.before.flags.Get(folded); ok && it.Key != key && d.at(ObjectFlag, it.Key).now != nil {
		return it.Key
	}
	for _, t := range d.folded[folded] {
		if t.key != key && t.now != nil {
			return t.key
		}
	}
	return ""
}

func kindOf(f *evaluator.Flag) evaluator.Kind {
	if f.Kind == "" {
		return evaluator.KindFlag
	}
	return f.Kind
}

// edit changes a field that is a truth in a copy of a stored flag. What was decoded stays so: the copy is what its record
// would decode to.
func (d *draft) edit(c Command, key string, change func(*evaluator.Flag) error) error {
	t := d.at(ObjectFlag, key)
	if t.now == nil {
		return missingItem(c)
	}
	f := *t.declared()
	if err := change(&f); err != nil {
		return err
	}
	decoded := t.decoded
	t.declare(c, &f)
	t.decoded = decoded
	return nil
}

func (d *draft) setEnabled(c SetEnabled) error {
	return d.edit(c, c.Key, func(f *evaluator.Flag) error {
		if f.Kind == evaluator.KindConfig {
			return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
				Detail: "a config always serves its value and cannot be switched; change the value or archive it"}
		}
		f.Enabled = c.Enabled
		return nil
	})
}

func (d *draft) setArchived(c SetArchived) error {
	return d.edit(c, c.Key, func(f *evaluator.Flag) error {
		f.Archived = c.Archived
		return nil
	})
}

func (d *draft) putSegment(c Command, s *evaluator.Segment) error {
	t := d.at(ObjectSegment, s.Key)
	t.define(c, s.Canonical(), s.References())
	t.segment = s
	return nil
}

// restore writes an older version again. Its salts and ranges come back with it, and so do its users.
func (d *draft) restore(c Restore) error {
	for _, v := range d.before.versions(c.Object, c.Key) {
		if v.Revision != c.Revision {
			continue
		}
		if v.Record == nil {
			return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
				Detail: fmt.Sprintf("revision %d deleted it; restore an older revision", c.Revision)}
		}
		if c.Object == ObjectSegment {
			return d.putSegment(c, mustDecode(evaluator.SegmentOf(v.Record)))
		}
		return d.putFlag(c, mustDecode(evaluator.FlagOf(v.Record)))
	}
	return notFound(c, fmt.Sprintf("no version of revision %d is kept; list the history for those that are", c.Revision))
}
