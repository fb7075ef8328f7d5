package fsm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

// Staged parts live ten minutes of leader time, so that a writer that died leaves nothing behind.
const (
	stagedAge      = int64(10 * time.Minute / time.Millisecond)
	maxStaged      = 8        // changes at once
	maxStagedBytes = 64 << 20 // of all of them together
	maxChangeID    = 64
)

// stagedChange is a big write on its way: decoded and checked, but invisible until its Commit. It is immutable.
type stagedChange struct {
	scope    Scope
	id       string
	at       int64 // leader time of the newest part
	parts    []*stagedPart
	bytes    int
	hash     digest // chain over parts
	fragment []byte // of a command whose last fragment has not come
}

// stagedPart is a Stage command with what it holds, a command that came in fragments with its last one. It is immutable.
type stagedPart struct {
	encoded  []byte
	commands []Command
	ready    []*prepared // what of each command could be worked out early; nil where nothing
}

// commands lists what the change will do.
func (s *stagedChange) commands() []Command {
	var all []Command
	for _, p := range s.parts {
		all = append(all, p.commands...)
	}
	return all
}

func stageChain(previous digest, part []byte) digest {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(part)
	return digest(h.Sum(nil))
}

func (s *State) stagedIndex(scope Scope, id string) int {
	return slices.IndexFunc(s.staged, func(c *stagedChange) bool { return c.scope == scope && c.id == id })
}

func (s *State) stagedChange(c Commit) (*stagedChange, bool) {
	if i := s.stagedIndex(c.Scope, c.Change); i >= 0 {
		return s.staged[i], true
	}
	return nil, false
}

// expire drops what nobody committed in time.
func (s *State) expire() {
	for i := 0; i < len(s.staged); {
		if s.now-s.staged[i].at <= stagedAge {
			i++
			continue
		}
		s.dropStaged(i)
	}
}

func (s *State) dropStaged(i int) {
	for n, part := range s.staged[i].parts {
		s.rest.remove(stageLeaf(s.staged[i], n, part.encoded))
	}
	s.staged = slices.Delete(slices.Clone(s.staged), i, i+1)
}

func stageLeaf(c *stagedChange, n int, part []byte) sum {
	return newLeaf(leafStage, c.scope.Tenant, c.scope.Environment, c.id).numbers(uint64(n)).digest(digestOf(part)).sum()
}

func (d *draft) stage(c Stage) error {
	s, part := d.state, d.proposal.Command
	i := s.stagedIndex(c.Scope, c.Change)
	old := &stagedChange{scope: c.Scope, id: c.Change}
	if i >= 0 {
		old = s.staged[i]
	}
	if c.Part < len(old.parts) && bytes.Equal(old.parts[c.Part].encoded, part) {
		return nil
	}
	if c.Part != len(old.parts) {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(),
			Detail: fmt.Sprintf("change %q expects part %d, not %d; send the change again under a new id", c.Change, len(old.parts), c.Part)}
	}
	if err := d.stagedRoom(c, i, len(part)); err != nil {
		return err
	}
	next, err := old.with(c, part, s.now, d.before)
	if err != nil {
		return err
	}
	s.staged = slices.Clone(s.staged)
	if i >= 0 {
		s.staged[i] = next
	} else {
		s.staged = append(s.staged, next)
	}
	s.rest.add(stageLeaf(next, c.Part, part))
	d.changed = true
	return nil
}

func (d *draft) stagedRoom(c Stage, i, bytes int) error {
	for _, other := range d.state.staged {
		bytes += other.bytes
	}
	if i < 0 && len(d.state.staged) >= maxStaged || bytes > maxStagedBytes {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(),
			Detail: fmt.Sprintf("too many big writes are under way (at most %d with %d MiB together); try again later or write less at once",
				maxStaged, maxStagedBytes>>20)}
	}
	return nil
}

// with is the change with one part more. What its commands say about e as it is now is worked out at once.
func (s *stagedChange) with(c Stage, part []byte, now int64, e *Environment) (*stagedChange, error) {
	next := *s
	next.at, next.bytes, next.hash = now, s.bytes+len(part), stageChain(s.hash, part)
	added := &stagedPart{encoded: slices.Clone(part)}
	next.parts = append(slices.Clip(s.parts), added)
	added.add(e, c.Commands)
	if len(c.Fragment) > 0 {
		next.fragment = append(slices.Clip(s.fragment), c.Fragment...)
	}
	if !c.Last {
		return &next, nil
	}
	whole, err := DecodeCommand(next.fragment)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Err: err,
			Detail: fmt.Sprintf("the fragments of change %q make no command: %v", c.Change, err)}
	}
	next.fragment = nil
	if scopeOf(whole) == (Scope{}) {
		whole = withScope(whole, c.Scope)
	}
	if problems := checkWhole(c.Scope, whole); len(problems) > 0 {
		return nil, &Error{Kind: KindInvalid, Op: c.Verb(), Target: whole.target().String(), Problems: problems,
			Detail: "the change breaks rules; correct the named fields"}
	}
	added.add(e, []Command{whole})
	return &next, nil
}

// checkWhole judges a command that came in fragments: what a batch may hold, or a change.
func checkWhole(scope Scope, c Command) evaluator.Problems {
	switch c.(type) {
	case OpenChange, EditChange:
		return checkChange(c)
	}
	return checkCommands(scope, []Command{c})
}

// add completes a part that nobody has seen yet.
func (p *stagedPart) add(e *Environment, commands []Command) {
	p.commands = append(p.commands, commands...)
	p.ready = slices.Grow(p.ready, len(commands))
	for _, c := range commands {
		p.ready = append(p.ready, prepare(e, c))
	}
}

// prepared is a staged flag as it will be stored, worked out against the flag that stood there when it was staged. A
// commit takes it only if that one still stands, so it is a shortcut and never another result.
type prepared struct {
	base     *item // nil: there was none
	flag     *evaluator.Flag
	item     *item
	digest   digest
	compiled *evaluator.Compiled
	segment  *evaluator.CompiledSegment // of a segment that came by promotion
}

func prepare(e *Environment, c Command) *prepared {
	put, ok := c.(PutFlag)
	if !ok {
		return nil
	}
	r := &prepared{}
	var old *evaluator.Flag
	if it, ok := e.item(ObjectFlag, put.Flag.Key); ok {
		r.base, old = it, it.Flag()
	}
	r.flag = put.Flag.Settle(old)
	r.item = newItem(put.Flag.Key, r.flag.Canonical(), r.flag.References())
	r.digest = digestOf(r.item.Record)
	var err error
	if r.compiled, err = evaluator.CompileOf(r.flag, r.item.Record); err != nil {
		return nil // the commit finds the same and says so
	}
	return r
}

// take uses what was prepared, if the flag it was prepared against still stands.
func (t *touch) take(c Command, r *prepared) bool {
	if t.now != r.base {
		return false
	}
	if t.now != nil && bytes.Equal(t.now.Record, r.item.Record) {
		return true
	}
	fresh := *r.item
	t.now, t.verb, t.flag, t.decoded, t.ready = &fresh, c.Verb(), r.flag, false, r
	return true
}

func (d *draft) commit(c Commit) error {
	s := d.state
	i := s.stagedIndex(c.Scope, c.Change)
	if i < 0 {
		return notFound(c, fmt.Sprintf("change %q is not staged, or was for more than 10 minutes; send it again", c.Change))
	}
	change := s.staged[i]
	if len(change.parts) != c.Parts || change.hash.hex() != c.Hash || change.fragment != nil {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(),
			Detail: fmt.Sprintf("change %q is staged in %d parts with another hash; send it again under a new id", c.Change, len(change.parts))}
	}
	s.dropStaged(i)
	d.since = c.Since
	for _, part := range change.parts {
		for n, inner := range part.commands {
			if put, ok := inner.(PutFlag); ok && d.quick(put, part.ready[n]) {
				continue
			}
			if err := d.do(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// quick stores a flag as it was prepared; false means that the long way has to be gone.
func (d *draft) quick(c PutFlag, r *prepared) bool {
	t := d.at(ObjectFlag, c.Flag.Key)
	if r == nil {
		return false
	}
	var old *evaluator.Flag
	if t.now != nil {
		old = t.declared()
	}
	return d.mayPut(c, t, c.Flag, old) == nil && t.take(c, r)
}

func checkStage(c Stage) evaluator.Problems {
	problems := checkChangeID(c.Change)
	if c.Part < 0 {
		problems = append(problems, problem("/part", "command.range", "parts count from 0")...)
	}
	return append(problems, checkCommands(c.Scope, c.Commands)...)
}

func checkCommit(c Commit) evaluator.Problems {
	problems := checkChangeID(c.Change)
	if _, err := parseDigest(c.Hash); err != nil {
		problems = append(problems, problem("/hash", "command.hash", err.Error())...)
	}
	return problems
}

func checkChangeID(id string) evaluator.Problems {
	if id == "" || len(id) > maxChangeID {
		return problem("/change", "command.change", fmt.Sprintf("name the change in 1 to %d bytes", maxChangeID))
	}
	return checkText("/change", id, maxChangeID)
}

// Split turns a command that does not fit one log entry into stages of at most 128 KiB and the final Commit; a command
// that fits comes back alone. Each is a proposal of its own and wants its own request id. change names the write, and
// is unique: take the request id.
func Split(c Command, change string) ([]Command, error) {
	parts, _, err := split(c, change)
	return parts, err
}

// Parts is Split for whoever sends the encoded commands: each flag of a large write is encoded as seldom as can be.
func Parts(c Command, change string) ([][]byte, error) {
	_, encoded, err := split(c, change)
	return encoded, err
}

func split(c Command, change string) (parts []Command, encoded [][]byte, err error) {
	if whole, err := fits(c); err != nil || whole != nil {
		return []Command{c}, [][]byte{whole}, err
	}
	scope, inner, since := scopeOf(c), []Command{c}, uint64(0)
	if b, ok := c.(Batch); ok {
		inner, since = b.Commands, b.Since
	}
	stages, err := pack(scope, change, inner)
	if err != nil {
		return nil, nil, err
	}
	var hash digest
	for i := range stages {
		stages[i].Part = i
		b, err := EncodeCommand(stages[i])
		if err != nil {
			return nil, nil, err
		}
		hash = stageChain(hash, b)
		parts, encoded = append(parts, stages[i]), append(encoded, b)
	}
	commit := Commit{Scope: scope, Change: change, Parts: len(stages), Hash: hash.hex(), Since: since}
	last, err := EncodeCommand(commit)
	return append(parts, commit), append(encoded, last), err
}

// fits encodes a command that is small enough for one entry; nil: it is not. A large batch is not encoded to its end to
// find out.
func fits(c Command) ([]byte, error) {
	if b, ok := c.(Batch); ok {
		size := 0
		for i, inner := range b.Commands {
			_, body, err := encodeBody(withScope(inner, Scope{}))
			if err != nil {
				return nil, fmt.Errorf("command %d: %w", i, err)
			}
			if size += len(body); size > MaxCommand {
				return nil, nil
			}
		}
	}
	whole, err := EncodeCommand(c)
	if err != nil || len(whole) > MaxCommand {
		return nil, err
	}
	return whole, nil
}

const (
	// MaxCommand is the most bytes of an encoded command that goes into the log whole. It leaves room in the entry for
	// what travels around a command.
	MaxCommand = MaxEntry - 2048
	// stageOverhead is more than a stage adds to its commands, each command counted with nestedOverhead.
	stageOverhead  = 1024
	nestedOverhead = 32
	// A stage carries between minStage and maxStage bytes. Decoding and compiling it is a burst on every node at once,
	// which evaluations feel, and small stages are short bursts; but each costs a commit, so that a large write, beyond
	// fewStages of the smallest, has larger ones.
	minStage, maxStage = 8 << 10, 32 << 10
	fewStages          = 128
	// fragmentBytes becomes 4/3 as long in JSON.
	fragmentBytes = (MaxCommand - stageOverhead) / 4 * 3
)

// pack fills stages with whole commands in order, and cuts a command that alone is too large into fragments.
func pack(scope Scope, change string, commands []Command) ([]Stage, error) {
	encoded, total := make([][]byte, len(commands)), 0
	for i, c := range commands {
		var err error
		if encoded[i], err = EncodeCommand(c); err != nil {
			return nil, fmt.Errorf("command %d: %w", i, err)
		}
		total += len(encoded[i]) + nestedOverhead
	}
	size := min(max(total/fewStages, minStage), maxStage)
	var stages []Stage
	open, room := Stage{Scope: scope, Change: change}, size
	flush := func() {
		if len(open.Commands) > 0 {
			stages = append(stages, open)
		}
		open, room = Stage{Scope: scope, Change: change}, size
	}
	for i, c := range commands {
		b := encoded[i]
		if len(b)+nestedOverhead > room {
			flush()
		}
		if len(b)+nestedOverhead <= MaxCommand-stageOverhead {
			open.Commands = append(open.Commands, c)
			room -= len(b) + nestedOverhead
			continue
		}
		for piece := range slices.Chunk(b, fragmentBytes) {
			stages = append(stages, Stage{Scope: scope, Change: change, Fragment: piece})
		}
		stages[len(stages)-1].Last = true
	}
	flush()
	return stages, nil
}
