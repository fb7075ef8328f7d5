package fsm

import (
	"errors"
	"fmt"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// draft is one command at work. Its commands touch flags and segments; flush then turns what they came to into a new
// environment, once per object however often it was touched. Everything stored is persistent, so a draft that is
// thrown away leaves nothing behind.
type draft struct {
	state     *State // private copy; becomes the next state
	proposal  *Proposal
	before    *Environment // as the last entry left it
	env       *Environment // private copy, written by flush
	touches   []*touch     // in the order of the first touch
	byNode    map[string]*touch
	folded    map[string][]*touch // flags that did not exist before, by folded key
	moved     []*touch            // those that flush found changed
	late      *touch              // of these, the one whose item land puts into its table; nil: all are there
	since     uint64              // what moved after it is a conflict; 0: nothing is
	changed   bool
	stirred   bool             // a rollout, a change, the policy or the freeze changed
	emergency bool             // by a token or a right for emergencies
	lowers    bool             // and only towards less exposure
	object    uint64           // revision of the touched object, for the receipt
	owner     *evaluator.Owner // of the pages of the batch; nil for a draft that may be thrown away when it is finished
	approvals string           // who agreed to what runs, separated by commas, for its audit rows
}

// touch is one flag or segment as the command finds it and as it leaves it.
type touch struct {
	kind      ObjectKind
	key       string
	before    *item // nil: did not exist
	now       *item // nil: does not exist
	exposures []Exposure
	verb      string             // of the last change of the definition
	switched  string             // of the last change of the exposures
	reason    string             // given with it
	flag      *evaluator.Flag    // what now holds, decoded; nil until somebody asks
	segment   *evaluator.Segment // likewise
	decoded   bool               // flag is what the record decodes to, and not only means the same
	ready     *prepared          // set while now is what was prepared
	landing   bool               // its rollout lands: the seat may change
}

func (d *draft) run(c Command) error {
	switch c := c.(type) {
	case CreateTenant:
		return d.createTenant(c)
	case CreateEnvironment:
		return d.createEnvironment(c)
	case Measured:
		return d.measured(c)
	case BootstrapToken:
		return d.bootstrapToken(c)
	case CreateToken:
		return d.createToken(c)
	case RevokeToken:
		return d.revokeToken(c)
	case SettleNotices:
		return d.settle(c)
	case OrderEnvironments:
		return d.orderEnvironments(c)
	case MoveChange:
		if c.Move == ChangeMoveDue {
			return d.due(c)
		}
	case Freeze:
		if c.Of == OfTenant || c.Of == OfCluster {
			return d.freezeWide(c)
		}
	case Unfreeze:
		if c.Of == OfTenant || c.Of == OfCluster {
			return d.unfreezeWide(c)
		}
	}
	return d.perform(c)
}

// perform runs a command inside its environment.
func (d *draft) perform(c Command) error {
	if err := d.enter(c); err != nil {
		return err
	}
	if err := d.expect(c); err != nil {
		return err
	}
	if err := d.protect(c); err != nil {
		return err
	}
	if err := d.do(c); err != nil {
		return err
	}
	if err := d.glass(c); err != nil {
		return err
	}
	return d.finish(c)
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

// at is the touch of a flag or segment, begun if there is none yet.
func (d *draft) at(kind ObjectKind, key string) *touch {
	node := nodeName(kind, key)
	if t, ok := d.byNode[node]; ok {
		return t
	}
	t := &touch{kind: kind, key: key}
	if it, ok := d.before.item(kind, key); ok {
		t.before, t.now = it, it
	} else if kind == ObjectFlag {
		if d.folded == nil {
			d.folded = map[string][]*touch{}
		}
		folded := indexKey(kind, key)
		d.folded[folded] = append(d.folded[folded], t)
	}
	if kind == ObjectFlag {
		t.exposures = d.before.Exposures(key)
		if t.now != nil {
			t.flag = d.state.recent.of(t.now.digest()).flag
			t.decoded = t.flag != nil
		}
	}
	d.byNode[node] = t
	d.touches = append(d.touches, t)
	return t
}

// declared decodes the flag once; whoever changes it makes a copy.
func (t *touch) declared() *evaluator.Flag {
	if t.flag == nil {
		t.flag, t.decoded = t.now.Flag(), true
	}
	return t.flag
}

func (t *touch) defined() *evaluator.Segment {
	if t.segment == nil {
		t.segment = (*SegmentRecord)(&t.now.FlagRecord).Segment()
	}
	return t.segment
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
	if _, batch := c.(Batch); batch && bug.On("B08") {
		return nil
	}
	if inner := d.state.inside(c); len(inner) == 1 {
		c = withDefault(inner[0], d.before)
	}
	t, current := c.target(), d.before.revision
	if t.Object == ObjectFlag || t.Object == ObjectSegment {
		current = 0
		if it, ok := d.before.item(t.Object, t.Key); ok {
			current = it.Revision
		}
	}
	if r, ok := d.before.Rollout(t.Key); ok && t.Object == ObjectRollout {
		current = r.Revision
	}
	if waiting, ok := d.before.Change(t.Key); ok && t.Object == ObjectChange {
		current = waiting.Revision
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
	case PutSchedule:
		return d.putSchedule(c)
	case DropSchedule:
		return d.dropSchedule(c)
	case NoteUse:
		return d.noteUse(c)
	case SwitchSchedule:
		return d.switchSchedule(c)
	case MoveSchedule:
		return d.moveSchedule(c)
	case Batch:
		d.since = c.Since
		return d.batch(c.Commands)
	case Stage:
		return d.stage(c)
	case Commit:
		return d.commit(c)
	case StartRollout:
		return d.startRollout(c)
	case MoveRollout:
		return d.moveRollout(c)
	case KillRollouts:
		return d.killRollouts(c)
	case Freeze:
		return d.freeze(c)
	case Unfreeze:
		return d.unfreeze(c)
	case SetPolicy:
		return d.setPolicy(c)
	case OpenChange:
		return d.openChange(c)
	case EditChange:
		return d.editChange(c)
	case OpenPromotion:
		return d.openPromotion(c)
	case MoveChange:
		return d.moveChange(c)
	case PutBudget:
		return d.putBudget(c)
	case BudgetMeasured:
		return d.budgetMeasured(c)
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
	return nil
}

func withDefault(c Command, e *Environment) Command {
	if scopeOf(c) == (Scope{}) {
		return withScope(c, Scope{e.tenant, e.key})
	}
	return c
}

// finish writes what was touched, judges references, compiles, and puts the environment back.
func (d *draft) finish(c Command) error {
	d.flush()
	if len(d.moved) > 0 {
		if err := d.judge(); err != nil {
			return err
		}
		changes, err := d.compile()
		if err != nil {
			return err
		}
		d.land()
		changes.Owner = d.owner
		d.env.revision, d.changed = d.state.index, true
		d.env.snapshot = d.env.snapshot.With(changes)
		d.state.replaceEnvironment(d.env)
	} else if d.stirred {
		d.changed = true
		d.state.replaceEnvironment(d.env)
	}
	d.object = d.revisionOf(c.target())
	return nil
}

// revisionOf is where the receipt says the object stands now; a deletion stands at this entry.
func (d *draft) revisionOf(t Target) uint64 {
	if t.Object == ObjectEnvironment {
		return d.env.revision
	}
	if t.Object == ObjectRollout {
		if r, ok := d.env.Rollout(t.Key); ok {
			return r.Revision
		}
	}
	if c, ok := d.env.Change(t.Key); ok && t.Object == ObjectChange {
		return c.Revision
	}
	if it, ok := d.env.item(t.Object, t.Key); ok {
		return it.Revision
	}
	return d.state.index
}

// compile makes what the touched flags and segments serve from now on.
func (d *draft) compile() (evaluator.Changes, error) {
	changes := evaluator.Changes{Revision: d.state.index, At: d.state.now}
	for _, t := range d.moved {
		switch {
		case t.now == nil && t.kind == ObjectFlag:
			changes.RemovedFlags = append(changes.RemovedFlags, t.key)
		case t.now == nil:
			changes.RemovedSegments = append(changes.RemovedSegments, t.key)
		case t.kind == ObjectFlag:
			compiled, err := d.compileFlag(t)
			if err != nil {
				return changes, d.refused(t, err)
			}
			changes.Flags = append(changes.Flags, compiled)
		case t.ready != nil && t.ready.segment != nil:
			changes.Segments = append(changes.Segments, t.ready.segment)
		default:
			compiled, err := evaluator.CompileSegment(t.defined())
			if err != nil {
				return changes, d.refused(t, err)
			}
			changes.Segments = append(changes.Segments, compiled)
		}
	}
	return changes, nil
}

func (d *draft) compileFlag(t *touch) (*evaluator.Compiled, error) {
	if t.ready != nil && len(t.exposures) == 0 {
		return t.ready.compiled, nil
	}
	flag := t.declared()
	if !t.decoded || len(d.moved) > 1 || len(t.now.Record) > recentRecord {
		return evaluator.CompileOf(effective(flag, t.exposures), t.now.Record)
	}
	known := d.state.recent.of(t.now.digest())
	known.digest, known.flag = t.now.digest(), flag
	defer func() { d.state.recent.remember(known) }()
	if len(t.exposures) > 0 {
		return evaluator.Compile(effective(flag, t.exposures))
	}
	if known.compiled != nil {
		return known.compiled, nil
	}
	var err error
	known.compiled, err = evaluator.CompileOf(flag, t.now.Record)
	return known.compiled, err
}

// refused turns what the evaluator says about a definition into the answer of the write.
func (d *draft) refused(t *touch, err error) *Error {
	out := &Error{Kind: KindInvalid, Target: d.name(t), Err: err, Detail: "the definition breaks rules; correct the named fields"}
	if !errors.As(err, &out.Problems) {
		out.Detail = fmt.Sprintf("the definition does not compile: %v", err)
	}
	return out
}

func (d *draft) name(t *touch) string {
	return Scope{d.env.tenant, d.env.key}.object(t.kind, t.key).String()
}
