package fsm

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/bug"
	"github.com/hoistflags/hoist/evaluator"
)

// What the versions and audit rows of the items say.
const (
	byExecution = "promotion.execute"
	byRollback  = "promotion.rollback"
)

func (d *draft) openPromotion(c OpenPromotion) error {
	source, ok := d.state.Environment(c.Tenant, c.Source)
	if !ok {
		return d.refusePromotion(c, KindInvalid, "/sourceEnvironment", "promotion.source",
			fmt.Sprintf("there is no environment %q in tenant %s", c.Source, c.Tenant))
	}
	if g := d.governance(); !slices.Contains(g.AllowFrom, c.Source) {
		return d.refusePromotion(c, KindPipeline, "/sourceEnvironment", "promotion.pipeline", pipelineText(g, c.Source, c.Environment))
	}
	if problems := misnamed(source, c); c.Type == PromotionSelective && len(problems) > 0 {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Problems: problems,
			Detail: "the promotion names things as what they are not; correct the named fields"}
	}
	m, err := d.newChange(c, &Change{Kind: ChangePromotion, Status: ChangeDraft, Notes: c.Notes, Author: d.proposal.Actor,
		Title:     strings.ToLower(string(c.Type)) + " promotion from " + c.Source + " to " + c.Environment,
		Promotion: &Promotion{Source: c.Source, Type: c.Type, ConfigIDs: c.ConfigIDs, FlagIDs: c.FlagIDs, KeyPatterns: c.KeyPatterns}})
	if err != nil {
		return err
	}
	m.c.Base = d.state.index
	m.commit()
	return nil
}

func (d *draft) refusePromotion(c Command, kind Kind, field, code, message string) *Error {
	return &Error{Kind: kind, Op: c.Verb(), Target: c.target().String(), Detail: message, Problems: problem(field, code, message)}
}

func pipelineText(g Governance, source, target string) string {
	allowed := strings.Join(g.AllowFrom, ", ")
	if allowed == "" {
		allowed = "no environment"
	}
	return fmt.Sprintf("the pipeline lets %s into %s, not %s; promote step by step, or change allowFrom of its policy", allowed, target, source)
}

// misnamed finds flags that are called configs, and the other way round.
func misnamed(source *Environment, c OpenPromotion) (problems evaluator.Problems) {
	for _, list := range []struct {
		field string
		keys  []string
		kind  ItemKind
	}{{"/configIds", c.ConfigIDs, ItemConfig}, {"/flagIds", c.FlagIDs, ItemFlag}} {
		for i, key := range list.keys {
			if it, ok := source.item(ObjectFlag, key); ok && itemKind(ObjectFlag, it) != list.kind {
				problems = append(problems, problem(fmt.Sprintf("%s/%d", list.field, i), "promotion.kind",
					fmt.Sprintf("%q is a %s in %s", key, itemKind(ObjectFlag, it), c.Source))...)
			}
		}
	}
	return problems
}

// passage is a promotion as it stands: the items on their way, and what there is to say about them.
type passage struct {
	comparer
	promotion *Promotion
	steps     []stepItem
	findings  []Finding
}

// passing lists the items that the promotion would change now, and what was found that a promotion as a whole depends
// on; the trial of a validation finds more.
func (s *State) passing(target *Environment, c *Change) (*passage, bool) {
	source, ok := s.Environment(target.tenant, c.Promotion.Source)
	if !ok {
		return nil, false
	}
	p := &passage{comparer: comparer{source: source, target: target}, promotion: c.Promotion}
	if c.Promotion.Type == PromotionFull {
		p.steps, _ = p.all()
	} else {
		p.chosen()
	}
	return p, true
}

func (p *passage) find(severity, code string, kind ItemKind, key, format string, args ...any) {
	p.findings = append(p.findings, Finding{Severity: severity, Code: code, Kind: kind, Key: key, Message: fmt.Sprintf(format, args...)})
}

// chosen are the items that a SELECTIVE or PATTERN promotion names, with the segments that they refer to.
func (p *passage) chosen() {
	taken := map[string]bool{}
	take := func(kind ObjectKind, key string) {
		node := nodeName(kind, key)
		if taken[node] {
			return
		}
		taken[node] = true
		if s, differs := p.item(kind, key); differs {
			p.steps = append(p.steps, s)
		}
	}
	for _, key := range p.keys() {
		it, ok := p.source.item(ObjectFlag, key)
		if !ok || absent(ObjectFlag, it) {
			p.find(SeverityError, "item-missing", "", key, "%s is not in %s, or is archived there", key, p.source.key)
			continue
		}
		take(ObjectFlag, key)
		p.travel(it, take)
	}
	slices.SortFunc(p.steps, func(a, b stepItem) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)) })
}

// travel takes the segments along that an item names, and those that they name.
func (p *passage) travel(it *item, take func(ObjectKind, string)) {
	if it.refs == nil {
		return
	}
	for _, ref := range it.refs.Segments {
		take(ObjectSegment, ref.Segment)
		if next, ok := p.source.item(ObjectSegment, ref.Segment); ok {
			p.travel(next, take)
		}
	}
}

func (p *passage) keys() []string {
	if p.promotion.Type == PromotionSelective {
		return append(slices.Clone(p.promotion.ConfigIDs), p.promotion.FlagIDs...)
	}
	var keys []string
	matched := make([]bool, len(p.promotion.KeyPatterns))
	p.source.flags.All(func(_ string, it *item, _ uint64) bool {
		hit := false
		for i, pattern := range p.promotion.KeyPatterns {
			if MatchKey(pattern, it.Key) && !absent(ObjectFlag, it) {
				matched[i], hit = true, true
			}
		}
		if hit {
			keys = append(keys, it.Key)
		}
		return true
	})
	for i, pattern := range p.promotion.KeyPatterns {
		if !matched[i] {
			p.find(SeverityWarning, "pattern-empty", "", "", "no flag or config of %s matches %s", p.source.key, pattern)
		}
	}
	slices.Sort(keys)
	return keys
}

// after is what the target will store for a step: the source's own record where nothing of the target's places is to be
// kept, so that most of a promotion copies pointers.
func (s *stepItem) after() (record []byte, refs *evaluator.References, d digest, same bool) {
	if s.kind == ObjectFlag && s.target != nil && hasRanges(s.source.Record) {
		f := withoutRanges(s.source.Flag()).Settle(s.target.Flag())
		record = f.Canonical()
		return record, s.source.refs, digestOf(record), false
	}
	return s.source.Record, s.source.refs, s.source.digest(), true
}

// hash is the diff: what changes from which form to which.
func (p *passage) hash() string {
	h := sha256.New()
	for i := range p.steps {
		s := &p.steps[i]
		b := appendString(appendString(appendString(nil, string(s.kind)), s.key), string(s.change))
		for _, it := range []*item{s.source, s.target} {
			if it != nil {
				d := it.digest()
				b = append(b, d[:]...)
			}
		}
		h.Write(b)
	}
	return digest(h.Sum(nil)).hex()
}

// execute writes the items into the target, and remembers what it found there.
func (m *changeMove) execute() error {
	d := m.d
	p, ok := d.state.passing(d.env, m.c)
	if !ok {
		return m.fail(KindNotFound, "there is no environment %q any more", m.c.Promotion.Source)
	}
	if keys := p.exposed(); len(keys) > 0 {
		return m.fail(KindConflict, "%s: a rollout or an experiment drives it in %s; finish or abort that first", strings.Join(keys[:min(5, len(keys))], ", "), d.env.key)
	}
	images := make([]image, 0, len(p.steps))
	for i := range p.steps {
		if bug.On("B20") && i > 0 && i == len(p.steps)-1 {
			break
		}
		image, err := m.carry(p, &p.steps[i])
		if err != nil {
			return err
		}
		images = append(images, image)
	}
	m.c.detail = newDetail(nil, nil, images)
	return nil
}

// carry writes one item.
func (m *changeMove) carry(p *passage, s *stepItem) (image, error) {
	d := m.d
	out := image{kind: s.kind, key: s.key, change: s.change}
	t := d.at(s.kind, s.key)
	if t.before != nil {
		out.before = t.before.versions[len(t.before.versions)-1]
	}
	if s.change == ChangeRemoved {
		return out, m.takeAway(s, t, &out)
	}
	if err := m.mayCarry(s, t); err != nil {
		return out, err
	}
	record, refs, digest, same := s.after()
	t.now = &item{FlagRecord: FlagRecord{Key: s.key, Record: record}, refs: refs}
	t.verb, t.flag, t.segment, t.ready = byExecution, nil, nil, nil
	if out.after = digest; same {
		t.ready = p.compiled(s, digest)
	}
	return out, nil
}

// takeAway archives a flag and deletes a segment that the source does not have.
func (m *changeMove) takeAway(s *stepItem, t *touch, out *image) error {
	if s.kind == ObjectSegment {
		t.now, t.segment, t.verb = nil, nil, byExecution
		return nil
	}
	f := *t.declared()
	f.Archived = true
	t.declare(m.cmd, &f)
	t.verb, out.after = byExecution, digestOf(t.now.Record)
	return nil
}

// mayCarry is mayPut on records: a promotion of thousands decodes none that it need not.
func (m *changeMove) mayCarry(s *stepItem, t *touch) error {
	if s.kind == ObjectSegment {
		return nil
	}
	var problems evaluator.Problems
	if t.before == nil {
		if other := m.d.occupant(s.key); other != "" {
			problems = problem("/key", "flag.key.case", fmt.Sprintf("%q differs only in case from %q, which %s has", s.key, other, m.d.env.key))
		} else if m.d.before.flags.Len()+len(m.d.folded) > maxFlags {
			problems = problem("/key", "flag.limit", fmt.Sprintf("the environment would hold more than %d flags", maxFlags))
		}
	} else {
		kind, valueType := headOf(t.before.Record)
		if k, v := headOf(s.source.Record); k != kind || v != valueType {
			problems = problem("/type", "flag.type.fixed", fmt.Sprintf("it is a %s of type %s in %s and a %s of type %s here; neither ever changes",
				k, v, m.c.Promotion.Source, kind, valueType))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Op: m.cmd.Verb(), Target: m.d.name(t), Problems: problems, Detail: "it cannot be promoted: " + problems[0].Message}
}

// compiled takes the compiled form from the source, which has it for what it declares unless something is exposed there.
func (p *passage) compiled(s *stepItem, d digest) *prepared {
	if s.kind == ObjectSegment {
		c, _, ok := p.source.snapshot.Segment(s.key)
		if !ok {
			return nil
		}
		return &prepared{digest: d, segment: c}
	}
	c, _, ok := p.source.snapshot.Flag(s.key)
	if !ok || len(p.source.Exposures(s.key)) > 0 {
		return nil
	}
	return &prepared{digest: d, compiled: c}
}

// exposed lists the items that something drives in the target.
func (p *passage) exposed() (keys []string) {
	for i := range p.steps {
		s := &p.steps[i]
		if s.kind == ObjectFlag && driven(p.target.Exposures(s.key)) {
			keys = append(keys, s.key)
		}
	}
	return keys
}

func driven(list []Exposure) bool {
	return slices.ContainsFunc(list, func(x Exposure) bool { return x.Effect != nil && x.Schedule == nil })
}
