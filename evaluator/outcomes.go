package evaluator

// Constant is the result that the flag gives in every context, nil when the context matters. It is shared, with
// Revision 0; archived flags have one too, although they are not served.
func (c *Compiled) Constant() *Result { return c.constant }

// Outcomes lists every result that Outcome can return for the flag, each once. A door that renders them beforehand has only
// to choose.
func (c *Compiled) Outcomes() []*Result {
	if c.constant != nil {
		return []*Result{c.constant}
	}
	var all []*Result
	add := func(results ...*Result) {
		for _, r := range results {
			if r != nil {
				all = append(all, r)
			}
		}
	}
	add(c.failed)
	for i := range c.rules {
		c.rules[i].then.outcomes(add)
	}
	c.fallback.outcomes(add)
	if s := c.fallback.split; s != nil {
		add(s.lacking)
	}
	return all
}

// outcomes adds what the target can serve; ranges of one variant share a result.
func (t *target) outcomes(add func(...*Result)) {
	add(t.result)
	if t.split == nil {
		return
	}
	add(t.split.missing)
	seen := make(map[*Result]bool, len(t.split.pieces))
	for _, piece := range t.split.pieces {
		if !seen[piece.result] {
			seen[piece.result] = true
			add(piece.result)
		}
	}
}
