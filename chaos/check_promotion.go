package chaos

import (
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/fsm"
)

// promotionCheck judges promotions into Production entry by entry, from the replayed states. Nothing else writes there, so
// what is declared there says whether a promotion happened as a whole.
type promotionCheck struct {
	happened map[string]*passage // by the id of the promotion
}

// passage is what is remembered of a promotion that happened.
type passage struct {
	before, after string // what Production declared
	undone        bool
}

func newPromotionCheck() *promotionCheck { return &promotionCheck{happened: map[string]*passage{}} }

// step compares the state before an entry with the one after it.
func (c *promotionCheck) step(e Entry, before, now *fsm.State) (out []Violation) {
	env, ok := now.Environment(fsm.DefaultTenant, Production)
	old, existed := before.Environment(fsm.DefaultTenant, Production)
	if !ok || !existed || env == old {
		return nil
	}
	bad := func(format string, args ...any) {
		out = append(out, found(Whole, e.Applied, "entry %d: %s", e.Index, fmt.Sprintf(format, args...)))
	}
	moved := ""
	for _, change := range env.Changes() {
		was, ok := old.Change(change.ID)
		if change.Kind != fsm.ChangePromotion || ok && was.Status == change.Status {
			continue
		}
		switch change.Status {
		case fsm.ChangeCompleted:
			c.executed(now, old, env, change, bad)
		case fsm.ChangeRolledBack:
			c.undone(old, env, change, bad)
		default:
			continue
		}
		if moved != "" {
			bad("promotions %s and %s happen at once", moved, change.ID)
		}
		moved = change.ID
	}
	if moved == "" && old.DeclaredHash() != env.DeclaredHash() {
		bad("what %s declares changes, and no promotion does it", Production)
	}
	return out
}

// executed: all of the source is there, by the word of two people, and for the first time.
func (c *promotionCheck) executed(now *fsm.State, old, env *fsm.Environment, change *fsm.Change, bad func(string, ...any)) {
	if c.happened[change.ID] != nil {
		bad("promotion %s happens a second time", change.ID)
	}
	c.happened[change.ID] = &passage{before: old.DeclaredHash(), after: env.DeclaredHash()}
	source, ok := now.Environment(fsm.DefaultTenant, change.Promotion.Source)
	if !ok || source.DeclaredHash() != env.DeclaredHash() {
		bad("promotion %s happens, and %s does not declare what %s does", change.ID, Production, change.Promotion.Source)
	}
	if change.Executed != env.Revision() && old.DeclaredHash() != env.DeclaredHash() {
		bad("promotion %s says that it happened at revision %d, %s changed at %d", change.ID, change.Executed, Production, env.Revision())
	}
	another := func(a fsm.Consent) bool { return a.Hash == change.Hash && !fsm.SamePerson(a.By, change.Author) }
	if !slices.ContainsFunc(change.Approvals, another) {
		bad("promotion %s happens without the approval of a second person", change.ID)
	}
}

// undone: what was declared before the promotion is declared again, unless another one came between.
func (c *promotionCheck) undone(old, env *fsm.Environment, change *fsm.Change, bad func(string, ...any)) {
	p := c.happened[change.ID]
	switch {
	case p == nil:
		bad("promotion %s is rolled back and never happened", change.ID)
	case p.undone:
		bad("promotion %s is rolled back a second time", change.ID)
	case old.DeclaredHash() == p.after && env.DeclaredHash() != p.before:
		bad("promotion %s is rolled back, and %s does not declare what it did before", change.ID, Production)
	}
	if p != nil {
		p.undone = true
	}
}
