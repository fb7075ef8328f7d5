package fsm

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
)

// draft is one command at work: a private copy of the state that becomes the next one if nothing is refused.
// Everything big in it is persistent, so throwing it away undoes everything.
type draft struct {
	state    *State
	proposal *Proposal
	env      *Environment // private copy of the environment being changed; nil before enter
	before   *Environment // the same as the last entry left it
	touched  []*touch     // in the order of the first touch
	byNode   map[string]*touch
	object   uint64 // revision of the touched object, for the receipt
	changed  bool
}

// touch is one flag or segment that the command changes.
type touch struct {
	kind ObjectKind
	key  string
	flag *evaluator.Flag    // as declared now; nil = decode the record if needed
	seg  *evaluator.Segment // likewise
}

func (d *draft) run(c Command) error {
	switch c := c.(type) {
	case CreateTenant:
		return d.createTenant(c)
	case CreateEnvironment:
		return d.createEnvironment(c)
	}
	if err := d.enter(c); err != nil {
		return err
	}
	if err := d.expect(c); err != nil {
		return err
	}
	if err := d.do(c); err != nil {
		return err
	}
	return d.finish()
}

// enter opens the environment the command acts in.
func (d *draft) enter(c Command) error {
	t := c.target()
	env, ok := d.state.Environment(t.Tenant, t.Environment)
	if !ok {
		return notFound(c, fmt.Sprintf("there is no environment %q in tenant %q; create it or name another", t.Environment, t.Tenant))
	}
	d.before, d.env, d.byNode = env, env.clone(), map[string]*touch{}
	return nil
}

func notFound(c Command, detail string) *Error {
	return &Error{Kind: KindNotFound, Op: c.Verb(), Target: c.target().String(), Detail: detail}
}

func missingItem(c Command) *Error {
	return notFound(c, "it does not exist; check the key and the environment")
}

// expect compares the expected revision with that of the object: of the flag or segment, or of the environment for a
// batch of several changes.
func (d *draft) expect(c Command) error {
	expected := d.proposal.ExpectedRevision
	if expected == nil {
		return nil
	}
	if inner := d.state.inside(c); len(inner) == 1 {
		c = inner[0]
	}
	t, current := c.target(), d.env.revision
	if t.Object == ObjectFlag || t.Object == ObjectSegment {
		current = 0
		if it, ok := d.env.item(t.Object, t.Key); ok {
			current = it.Revision
		}
	}
	return compareRevision(c, *expected, current)
}

func compareRevision(c Command, expected, current uint64) error {
	if expected == current {
		return nil
	}
	e := &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: current}
	switch {
	case expected == 0:
		e.Kind = KindExists
		e.Detail = fmt.Sprintf("it exists already, at revision %d; choose another key or name that revision to replace it", current)
	case current == 0:
		e.Detail = fmt.Sprintf("expected at revision %d, but it does not exist; it was deleted meanwhile, read again", expected)
	default:
		e.Detail = fmt.Sprintf("expected at revision %d, but it is at %d; read it again and repeat the change", expected, current)
	}
	return e
}

func (d *draft) do(c Command) error {
	switch c := c.(type) {
	case PutFlag:
		return d.putFlag(c, c.Flag)
	case DeleteFlag:
		return d.remove(c)
	case SetEnabled:
		return d.setEnabled(c)
	case SetArchived:
		return d.setArchived(c)
	case Kill:
		return d.kill(c)
	case Unkill:
		return d.unkill(c)
	case PutSegment:
		return d.putSegment(c, c.Segment)
	case DeleteSegment:
		return d.remove(c)
	case Restore:
		return d.restore(c)
	case Batch:
		return d.batch(c.Commands)
	case Stage:
		return d.stage(c)
	case Commit:
		return d.commit(c)
	}
	return &Error{Kind: KindInternal, Op: c.Verb(), Detail: fmt.Sprintf("no law for %T", c)}
}

// batch runs commands one after the other; what they refer to is judged when all are done.
func (d *draft) batch(commands []Command) error {
	for _, c := range commands {
		if err := d.do(withDefault(c, d.env)); err != nil {
			return err
		}
	}
	d.object = 0
	if d.changed {
		d.object = d.state.index
	}
	return nil
}

func withDefault(c Command, e *Environment) Command {
	if scopeOf(c) == (Scope{}) {
		return withScope(c, Scope{e.tenant, e.key})
	}
	return c
}

// finish judges references, compiles what was touched and puts the environment back.
func (d *draft) finish() error {
	if !d.changed {
		return nil
	}
	if len(d.touched) > 0 {
		if err := d.judge(); err != nil {
			return err
		}
		changes, err := d.compile()
		if err != nil {
			return err
		}
		d.env.revision = d.state.index
		d.env.snapshot = d.env.snapshot.With(changes)
	}
	d.state.replaceEnvironment(d.env)
	return nil
}

// compile makes what the touched flags and segments serve from now on.
func (d *draft) compile() (evaluator.Changes, error) {
	changes := evaluator.Changes{Revision: d.state.index, At: d.state.now}
	for _, t := range d.touched {
		it, ok := d.env.item(t.kind, t.key)
		switch {
		case !ok && t.kind == ObjectFlag:
			changes.RemovedFlags = append(changes.RemovedFlags, t.key)
		case !ok:
			changes.RemovedSegments = append(changes.RemovedSegments, t.key)
		case t.kind == ObjectFlag:
			compiled, err := evaluator.Compile(effective(t.declared(it), d.env.Exposures(t.key)))
			if err != nil {
				return changes, refused(d.env, t, err)
			}
			changes.Flags = append(changes.Flags, compiled)
		default:
			compiled, err := evaluator.CompileSegment(t.segment(it))
			if err != nil {
				return changes, refused(d.env, t, err)
			}
			changes.Segments = append(changes.Segments, compiled)
		}
	}
	return changes, nil
}

func (t *touch) declared(it *item) *evaluator.Flag {
	if t.flag == nil {
		t.flag = it.Flag()
	}
	return t.flag
}

func (t *touch) segment(it *item) *evaluator.Segment {
	if t.seg == nil {
		t.seg = (*SegmentRecord)(&it.FlagRecord).Segment()
	}
	return t.seg
}

// touch notes that a flag or segment changed.
func (d *draft) touch(kind ObjectKind, key string) *touch {
	d.changed = true
	node := nodeName(kind, key)
	t, ok := d.byNode[node]
	if !ok {
		t = &touch{kind: kind, key: key}
		d.byNode[node] = t
		d.touched = append(d.touched, t)
	}
	return t
}
