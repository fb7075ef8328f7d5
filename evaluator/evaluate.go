package evaluator

import "slices"

// Guards against what the law refuses to commit: cycles, deep chains, lattices (a prerequisite is looked at once per
// path to it). Reaching one is never an error: the prerequisite is not met, the context is not a member. There may be
// twice as many visits as the law allows the declared flags, because exposures add audiences.
const (
	maxFlagDepth    = 8
	maxSegmentDepth = 4
	maxVisits       = 20_000 // flags and segments looked at for one answer
)

// Evaluate answers which variant the flag called key serves in context c, and why. It depends on nothing else and
// allocates nothing.
//
// A Result is 19 words, and copying it is a good part of an evaluation: from the flag's own it goes into the caller's place
// in one step, here as in EvaluateCompiled.
func (s *Snapshot) Evaluate(key string, c *Context) (r Result) {
	e := s.flags.find(key, hashText(key))
	if e == nil || e.value.archived {
		return Result{Reason: ReasonError, ErrorCode: ErrorFlagNotFound, Revision: s.revision}
	}
	r = *s.Outcome(e.value, c)
	r.Revision = s.revision
	return r
}

// EvaluateCompiled is Evaluate for a flag already looked up.
func (s *Snapshot) EvaluateCompiled(f *Compiled, c *Context) (r Result) {
	if f.archived {
		return Result{Reason: ReasonError, ErrorCode: ErrorFlagNotFound, Revision: s.revision}
	}
	r = *s.Outcome(f, c)
	r.Revision = s.revision
	return r
}

// Outcome is EvaluateCompiled without the copy: the flag's own result, which all who get it share and nobody may change.
// Its Revision is 0. It is nil for an archived flag. Two evaluations that answer alike return one pointer.
func (s *Snapshot) Outcome(f *Compiled, c *Context) *Result {
	switch {
	case f.archived:
		return nil
	case f.constant != nil:
		return f.constant
	}
	return s.decide(f, c)
}

// decide is Outcome for a flag whose answer depends on the context. It is on its own so that Outcome, which answers for
// the others, costs no call.
func (s *Snapshot) decide(f *Compiled, c *Context) *Result {
	q := query{snapshot: s, context: c, key: c.keyValue()}
	return q.decide(f, 0)
}

// query is one question on its way through the flags it touches. With a trace it is an explanation: the same code
// takes the same way and leaves notes.
type query struct {
	snapshot *Snapshot
	context  *Context
	key      Value     // the targeting key
	last     *selector // followed last, and what it found: rules often ask about one attribute in a row
	found    *Value
	trace    *trace // nil in Evaluate
	visits   int
}

// find returns the attribute sel selects, nil when it is absent or null.
func (q *query) find(sel *selector) *Value {
	if sel == q.last {
		return q.found
	}
	return q.follow(sel)
}

// follow is find for another attribute than the last one. The targeting key lives in the query itself, and a pointer
// to it must not be kept there: that would move every query to the heap.
func (q *query) follow(sel *selector) *Value {
	if sel.key && q.key.text != "" {
		return &q.key
	}
	q.last, q.found = sel, sel.find(q.context)
	return q.found
}

// decide evaluates a flag that is neither archived nor unknown. depth is the number of flags above it.
func (q *query) decide(f *Compiled, depth int) *Result {
	if f.constant != nil {
		if q.trace != nil {
			q.trace.constant(f)
		}
		return f.constant
	}
	for i := range f.prerequisites {
		p := &f.prerequisites[i]
		met := q.met(p, depth)
		if q.trace != nil {
			q.trace.prerequisite(q, i, f, met)
		}
		if !met {
			return f.failed
		}
	}
	for i := 0; i < len(f.rules); i++ {
		r := &f.rules[i]
		matched := false
		if q.trace != nil {
			q.trace.openRule()
		} else if r.run != nil {
			place, known := r.run.first(q.find(r.run.by))
			if i += place; place == r.run.length {
				i-- // the rule after the row is next
				continue
			}
			r, matched = &f.rules[i], known
		}
		matched = matched || q.all(r.clauses, depth, 0)
		if !matched && q.trace == nil {
			continue
		}
		if result := q.serve(r, matched); result != nil {
			if q.trace != nil {
				q.trace.notReached(f, i+1)
			}
			return result
		}
	}
	return q.fallback(&f.fallback)
}

// serve returns what a rule serves whose clauses are true, else nil. A split without bucketing key and without a
// variant for that case does not match.
func (q *query) serve(r *rule, matched bool) *Result {
	var result *Result
	if matched {
		if result = r.then.result; r.then.split != nil {
			result = r.then.split.place(q.find(r.then.split.by))
		}
	}
	if q.trace != nil {
		q.trace.closeRule(r, q, matched, result)
	}
	return result
}

// fallback serves the default.
func (q *query) fallback(t *target) *Result {
	result := t.result
	if t.split != nil {
		if result = t.split.place(q.find(t.split.by)); result == nil {
			result = t.split.lacking
		}
	}
	if q.trace != nil {
		q.trace.fallback(t, q, result)
	}
	return result
}

// served evaluates another flag for this one; nil when it is unknown, archived, not enabled, or too deep.
func (q *query) served(flag reference, depth int) *Result {
	e := q.snapshot.flags.find(flag.key, flag.hash)
	if e == nil || !e.value.enabled || e.value.archived || depth >= maxFlagDepth || !q.visit() {
		return nil
	}
	inner := query{snapshot: q.snapshot, context: q.context, key: q.key, visits: q.visits}
	r := inner.decide(e.value, depth+1)
	q.visits = inner.visits
	return r
}

// visit counts one more flag or segment and reports whether there may be another.
func (q *query) visit() bool {
	q.visits++
	return q.visits <= maxVisits
}

// met reports whether a prerequisite is enabled and serves one of the variants asked for.
func (q *query) met(p *prerequisite, depth int) bool {
	r := q.served(p.flag, depth)
	return r != nil && r.ErrorCode == "" && slices.Contains(p.variants, r.Variant)
}

// all reports whether every clause is true. The first false one ends it, except in an explanation, which shows all.
func (q *query) all(clauses []clause, depth, level int) bool {
	matched := true
	for i := range clauses {
		c := &clauses[i]
		var s state
		if c.matcher != nil {
			if v := q.find(c.by); c.texts != nil && v != nil && v.kind == KindString {
				s = hitIf(c.texts.has(v.text)) // what most clauses ask, without the way through the interface
			} else {
				s = c.compare(v)
			}
		} else {
			s = q.relate(c, depth, level)
		}
		result := c.result(s)
		if q.trace != nil {
			q.trace.clause(i, c, q, s, result)
		} else if !result {
			return false
		}
		matched = matched && result
	}
	return matched
}

// relate asks a clause that is not a comparison: segment, prerequisite or exists. level is the number of segments
// around it.
func (q *query) relate(c *clause, depth, level int) state {
	switch c.operator {
	case OpSegment:
		return hitIf(q.member(c.relation.segments, depth, level))
	case OpPrerequisite:
		r := q.served(c.relation.flag, depth)
		if r == nil || !r.HasValue {
			return stateMissing
		}
		return hitIf(slices.Contains(c.relation.variants, r.Variant))
	}
	return hitIf(q.find(c.by) != nil) // exists
}

// member reports whether the context belongs to one of the segments. An unknown segment has no members.
func (q *query) member(segments []reference, depth, level int) bool {
	for i := range segments {
		e := q.snapshot.segments.find(segments[i].key, segments[i].hash)
		if e != nil && level < maxSegmentDepth && q.visit() && q.inside(e.value, depth, level) {
			return true
		}
	}
	return false
}

// inside asks one segment: its lists, then its rules.
func (q *query) inside(s *CompiledSegment, depth, level int) bool {
	var room [numberRoom]byte
	if key, ok := keyText(q.find(s.by), &room); ok {
		if s.include.has(key) {
			return true
		}
		if s.exclude.has(key) {
			return false
		}
	}
	if len(s.rules) == 0 {
		return false
	}
	inner := query{snapshot: q.snapshot, context: q.context, key: q.key, visits: q.visits}
	found := false
	for i := 0; i < len(s.rules) && !found; i++ {
		found = inner.all(s.rules[i], depth, level+1)
	}
	q.visits = inner.visits
	return found
}
