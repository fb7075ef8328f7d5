package evaluator

import "strconv"

// Explanation is an evaluation with every step recorded; its JSON is the API's. The steps stand in the order of
// evaluation and why-not is as complete as why: every clause of every rule looked at says what it saw.
type Explanation struct {
	Key      string `json:"key"`
	Revision uint64 `json:"revision"`
	Result   Result `json:"result"`
	Steps    []Step `json:"steps"`
}

// Step is one prerequisite, rule or default, or the fact that the flag is disabled.
type Step struct {
	Kind    string       `json:"kind"`         // disabled, prerequisite, rule or default
	ID      string       `json:"id,omitempty"` // of the rule, or key of the prerequisite
	Outcome string       `json:"outcome"`      // match, no-match, skipped or not-reached
	Why     string       `json:"why"`
	Clauses []ClauseStep `json:"clauses,omitempty"`
	Bucket  *BucketStep  `json:"bucket,omitempty"`
}

// ClauseStep is what one clause saw and made of it.
type ClauseStep struct {
	Index     int    `json:"index"`
	Attribute string `json:"attribute,omitempty"`
	Operator  string `json:"operator"`
	Negate    bool   `json:"negate,omitempty"`
	Asked     string `json:"asked,omitempty"` // JSON of the values it compares with, or of the segments or flag it names; the first ones of many
	Seen      string `json:"seen,omitempty"`  // JSON of the attribute (management callers only), or the variant of a prerequisite
	State     string `json:"state"`           // match, no-match, missing or unusable
	Result    bool   `json:"result"`          // after negate and ifMissing
}

// BucketStep is where a split put the context.
type BucketStep struct {
	By      string    `json:"by"`
	Key     string    `json:"key"`
	Salt    string    `json:"salt"`
	Hash    uint32    `json:"hash"`
	Unit    int       `json:"unit"`  // of 100,000
	Range   [2]uint64 `json:"range"` // [from, to) of the hash space
	Variant string    `json:"variant"`
}

// The outcomes of a step.
const (
	outcomeMatch      = "match"
	outcomeNoMatch    = "no-match"
	outcomeSkipped    = "skipped"
	outcomeNotReached = "not-reached"
)

// Explain evaluates as Evaluate does, by the same code, and says how. The Result is the same.
func (s *Snapshot) Explain(key string, c *Context) *Explanation {
	e := &Explanation{Key: key, Revision: s.revision, Result: s.Evaluate(key, c), Steps: []Step{}}
	f, _, ok := s.Flag(key)
	if !ok || f.archived {
		return e
	}
	t := &trace{}
	q := query{snapshot: s, context: c, key: c.keyValue(), trace: t}
	e.Result = *q.decide(f, 0)
	e.Result.Revision = s.revision
	e.Steps = t.steps
	e.ask(f.record)
	return e
}

// askedValues is how many values of a clause an explanation shows; a list may have 10,000.
const askedValues = 5

// ask adds to the clauses what they ask for. Matchers do not keep that in a form for people; the record of the flag does.
func (e *Explanation) ask(record []byte) {
	f, err := DecodeFlag(record)
	if err != nil {
		return // what it saw and made of it stands anyway
	}
	rules := f.Rules
	for i := range e.Steps {
		step := &e.Steps[i]
		if step.Kind != "rule" || len(rules) == 0 {
			continue
		}
		for j := range step.Clauses {
			clause := &step.Clauses[j]
			from := &rules[0].If[clause.Index]
			clause.Negate, clause.Asked = from.Negate, asked(from.Values)
		}
		rules = rules[1:]
	}
}

func asked(values []Value) string {
	if len(values) == 0 {
		return ""
	}
	text := []byte{'['}
	for i := range values[:min(len(values), askedValues)] {
		if i > 0 {
			text = append(text, ',')
		}
		text = values[i].AppendJSON(text)
	}
	text = append(text, ']')
	if more := len(values) - askedValues; more > 0 {
		return string(text) + " and " + strconv.Itoa(more) + " more"
	}
	return string(text)
}

// trace collects the steps of one query.
type trace struct {
	steps   []Step
	clauses []ClauseStep // of the rule being looked at
}

func (t *trace) add(kind, id, outcome, why string) *Step {
	t.steps = append(t.steps, Step{Kind: kind, ID: id, Outcome: outcome, Why: why})
	return &t.steps[len(t.steps)-1]
}

// constant notes a flag whose answer depends on nothing.
func (t *trace) constant(f *Compiled) {
	switch r := f.constant; {
	case r.Reason == ReasonDisabled:
		t.add("disabled", "", outcomeMatch, "the flag is not enabled; "+served(r, "its off variant"))
	case f.kind == KindConfig:
		t.add("default", "", outcomeMatch, "a config serves its value")
	default:
		t.add("default", "", outcomeMatch, "the flag has neither rules nor prerequisites; "+served(r, "its default"))
	}
}

func served(r *Result, what string) string {
	if r.Variant == "" {
		return "the caller's own default counts"
	}
	return "this one serves " + what + " " + r.Variant
}

// prerequisite notes the i-th prerequisite of f, and when it is not met everything that is skipped for it.
func (t *trace) prerequisite(q *query, i int, f *Compiled, met bool) {
	p := &f.prerequisites[i]
	if met {
		t.add("prerequisite", p.flag.key, outcomeMatch, "enabled and serves a variant asked for")
		return
	}
	t.add("prerequisite", p.flag.key, outcomeNoMatch, q.unmet(p)+"; for that "+served(f.failed, "its off variant"))
	for _, later := range f.prerequisites[i+1:] {
		t.add("prerequisite", later.flag.key, outcomeNotReached, "an earlier prerequisite is not met")
	}
	for j := range f.rules {
		t.add("rule", f.rules[j].id, outcomeSkipped, "a prerequisite is not met")
	}
	t.add("default", "", outcomeSkipped, "a prerequisite is not met")
}

// unmet says why a prerequisite is not met.
func (q *query) unmet(p *prerequisite) string {
	f, _, ok := q.snapshot.Flag(p.flag.key)
	switch {
	case !ok || f.archived:
		return "there is no such flag"
	case !f.enabled:
		return "the flag is not enabled"
	}
	again := query{snapshot: q.snapshot, context: q.context, key: q.key}
	r := again.served(p.flag, 0)
	switch {
	case r == nil:
		return "the flag is too deep"
	case r.ErrorCode != "":
		return "the flag answers " + string(r.ErrorCode)
	case r.Variant == "":
		return "the flag serves no variant"
	}
	return "the flag serves " + r.Variant
}

func (t *trace) openRule() { t.clauses = nil }

func (t *trace) clause(i int, c *clause, q *query, s state, result bool) {
	step := ClauseStep{Index: i, Attribute: c.attribute, Operator: c.operator, State: s.text(), Result: result}
	switch c.operator {
	case OpSegment:
	case OpPrerequisite:
		again := query{snapshot: q.snapshot, context: q.context, key: q.key}
		if r := again.served(c.relation.flag, 0); r != nil && r.ErrorCode == "" {
			step.Seen = r.Variant
		}
	default:
		if v := q.find(c.by); v != nil {
			step.Seen = string(v.AppendJSON(nil))
		}
	}
	t.clauses = append(t.clauses, step)
}

func (s state) text() string {
	switch s {
	case stateMissing:
		return "missing"
	case stateUnusable:
		return "unusable"
	case stateHit:
		return "match"
	}
	return "no-match"
}

// closeRule notes what became of a rule: matched says that its clauses are true, result what it serves.
func (t *trace) closeRule(r *rule, q *query, matched bool, result *Result) {
	step := t.add("rule", r.id, outcomeNoMatch, "")
	step.Clauses = t.clauses
	switch {
	case !matched:
		step.Why = firstFalse(t.clauses)
		return
	case result == nil:
		step.Why = "every clause is true, but the context has no " + r.then.split.name + " to place it by"
		return
	}
	step.Outcome, step.Why = outcomeMatch, "every clause is true"
	if len(r.clauses) == 0 {
		step.Why = "a rule without clauses always matches"
	}
	if r.then.split != nil {
		t.place(step, r.then.split, q)
	}
}

// firstFalse names the clause because of which a rule does not match.
func firstFalse(clauses []ClauseStep) string {
	for _, c := range clauses {
		if c.Result {
			continue
		}
		what := c.Operator
		if c.Attribute != "" {
			what = c.Attribute + " " + what
		}
		switch c.State {
		case "missing":
			return what + " is false: there is no such attribute or answer"
		case "unusable":
			return what + " is false: the attribute is not of a type or syntax the operator reads"
		}
		return what + " is false"
	}
	return ""
}

// notReached lists the rules after the one that decided, and the default.
func (t *trace) notReached(f *Compiled, from int) {
	for i := from; i < len(f.rules); i++ {
		t.add("rule", f.rules[i].id, outcomeNotReached, "an earlier rule matched")
	}
	t.add("default", "", outcomeNotReached, "a rule matched")
}

func (t *trace) fallback(f *target, q *query, result *Result) {
	step := t.add("default", "", outcomeMatch, "no rule matched")
	if f.split == nil {
		return
	}
	if result.ErrorCode != "" {
		step.Outcome = outcomeNoMatch
		step.Why = "the context has no " + f.split.name + " to place it by"
		return
	}
	t.place(step, f.split, q)
}

// place notes the bucket of a split, or that its variant for contexts without a key was taken.
func (t *trace) place(step *Step, s *split, q *query) {
	var room [numberRoom]byte
	key, ok := keyText(q.find(s.by), &room)
	if !ok {
		step.Why += "; without " + s.name + " it serves the variant set for that"
		return
	}
	hash := s.hash(key)
	i := s.piece(hash)
	to := uint64(hashSpace)
	if i+1 < len(s.pieces) {
		to = uint64(s.pieces[i+1].from)
	}
	step.Bucket = &BucketStep{
		By: s.name, Key: string([]byte(key)), Salt: s.salt, Hash: hash, Unit: Unit(hash),
		Range: [2]uint64{uint64(s.pieces[i].from), to}, Variant: s.pieces[i].result.Variant,
	}
}
