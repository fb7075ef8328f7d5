package evaluator

// run is a row of rules that each compare one and the same attribute with a plain list of texts and ask nothing else: one
// look-up then says which of them is the first to match. Rules by country, plan or tenant are such rows.
type run struct {
	by     *selector
	texts  *textSet
	rules  []uint16 // by place in texts: which rule of the row is the first that lists the text
	length int
}

// A row is worth a look-up from shortRun rules on; lists longer than longRun are not kept a second time.
const (
	shortRun = 3
	longRun  = 256
)

// linkRuns puts a run at the first rule of every row.
func linkRuns(rules []rule) {
	for i := 0; i < len(rules); {
		n := 0
		for i+n < len(rules) && rules[i+n].listed() && rules[i+n].clauses[0].by == rules[i].clauses[0].by {
			n++
		}
		if n >= shortRun {
			rules[i].run = newRun(rules[i : i+n])
		}
		i += max(n, 1)
	}
}

// listed reports whether the rule matches exactly the texts of a list.
func (r *rule) listed() bool {
	return len(r.clauses) == 1 && r.clauses[0].texts != nil && !r.clauses[0].negate && !r.clauses[0].ifMissing
}

// newRun returns nil when the lists are too long.
func newRun(rules []rule) *run {
	out := &run{by: rules[0].clauses[0].by, length: len(rules)}
	var texts []string
	seen := make(map[string]bool)
	for i := range rules {
		for _, text := range rules[i].clauses[0].texts.texts {
			if !seen[text] {
				seen[text] = true
				texts, out.rules = append(texts, text), append(out.rules, uint16(i))
			}
		}
		if len(texts) > longRun {
			return nil
		}
	}
	out.texts = newTextSet(texts)
	return out
}

// first returns the place in the row of the first rule that matches v, and the row's length when none does. Lists, numbers
// and booleans are not known here.
func (r *run) first(v *Value) (place int, known bool) {
	if v == nil {
		return r.length, true
	}
	if v.kind != KindString {
		return 0, false
	}
	if at := r.texts.place(v.text); at >= 0 {
		return int(r.rules[at]), true
	}
	return r.length, true
}
