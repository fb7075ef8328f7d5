package fsm

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
)

// maxFlags is how many flags an environment holds, archived ones included.
const maxFlags = 100_000

func (d *draft) putFlag(c Command, f *evaluator.Flag) error {
	var old *evaluator.Flag
	if it, ok := d.env.item(ObjectFlag, f.Key); ok {
		old = it.Flag()
	}
	if err := d.mayPut(c, f, old); err != nil {
		return err
	}
	settled := settle(f, old)
	return d.putSettled(c, settled)
}

// putSettled stores a flag whose salts and ranges are decided.
func (d *draft) putSettled(c Command, f *evaluator.Flag) error {
	if touched := d.put(c, ObjectFlag, f.Key, f.Canonical(), f.References()); touched != nil {
		touched.flag = f
	}
	return nil
}

func (d *draft) mayPut(c Command, f, old *evaluator.Flag) error {
	var problems evaluator.Problems
	switch {
	case old == nil:
		if other, taken := d.env.flags.Get(indexKey(ObjectFlag, f.Key)); taken {
			problems = append(problems, problem("/key", "flag.key.case",
				fmt.Sprintf("%q differs only in case from the existing flag %q; choose another key", f.Key, other.Key))...)
		}
		if d.env.flags.Len() >= maxFlags {
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
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: Scope{d.env.tenant, d.env.key}.object(ObjectFlag, f.Key).String(),
		Detail: "the flag cannot be stored here; correct the named fields", Problems: problems}
}

func kindOf(f *evaluator.Flag) evaluator.Kind {
	if f.Kind == "" {
		return evaluator.KindFlag
	}
	return f.Kind
}

// edit changes one field of a stored flag.
func (d *draft) edit(c Command, key string, change func(*evaluator.Flag) error) error {
	it, ok := d.env.item(ObjectFlag, key)
	if !ok {
		return missingItem(c)
	}
	f := it.Flag()
	if err := change(f); err != nil {
		return err
	}
	return d.putSettled(c, f)
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
	if touched := d.put(c, ObjectSegment, s.Key, s.Canonical(), s.References()); touched != nil {
		touched.seg = s
	}
	return nil
}

// restore writes an older version again. Its salts and ranges come back with it, and so do its users.
func (d *draft) restore(c Restore) error {
	for _, v := range d.env.versions(c.Object, c.Key) {
		if v.Revision != c.Revision {
			continue
		}
		if v.Record == nil {
			return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
				Detail: fmt.Sprintf("revision %d deleted it; restore an older revision", c.Revision)}
		}
		if c.Object == ObjectSegment {
			return d.putSegment(c, mustDecode(evaluator.DecodeSegment(v.Record)))
		}
		return d.putFlag(c, mustDecode(evaluator.DecodeFlag(v.Record)))
	}
	return notFound(c, fmt.Sprintf("no version of revision %d is kept; list the history for those that are", c.Revision))
}
