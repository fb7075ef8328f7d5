package evaluator

// readFlag reads the flag at the beginning of data; false means that the library has to look at it. Unless own, the
// flag's texts are the bytes of data, which then must never change.
func readFlag(data []byte, own bool) (f *Flag, rest []byte, ok bool) {
	r := reader{scanner: scanner{data: data, own: own}}
	f = new(Flag)
	r.flag(f)
	if r.failed {
		return nil, nil, false
	}
	return f, data[r.pos:], true
}

func (r *reader) flag(f *Flag) {
	if r.byte('{'); r.member("key") {
		f.Key = r.text()
	}
	if r.member("kind") {
		f.Kind = Kind(r.text())
	}
	if r.member("type") {
		f.Type = Type(r.text())
	}
	r.about(f)
	if r.member("value") {
		f.Value = r.pointer()
	}
	f.Enabled = r.member("enabled") && r.truth()
	if r.member("variants") {
		f.Variants = r.variants()
	}
	if r.member("off") {
		f.Off = r.variant(f.Variants)
	}
	if r.member("prerequisites") {
		f.Prerequisites = r.prerequisites()
	}
	if r.member("rules") {
		f.Rules = r.rules(f.Variants)
	}
	if r.member("default") {
		serve := r.serve(f.Variants)
		f.Default = &serve
	}
	r.byte('}')
}

// about takes what does not take part in evaluation.
func (r *reader) about(f *Flag) {
	if r.member("name") {
		f.Name = r.text()
	}
	if r.member("description") {
		f.Description = r.text()
	}
	if r.member("owner") {
		f.Owner = r.text()
	}
	if r.member("tags") {
		f.Tags = r.texts()
	}
	if r.member("annotations") {
		f.Annotations = r.annotations()
	}
	if r.member("metadata") {
		f.Metadata = r.metadata()
	}
	f.Temporary = r.member("temporary") && r.truth()
	if r.member("expires") {
		f.Expires = r.text()
	}
	f.Archived = r.member("archived") && r.truth()
	f.ClientVisible = r.member("clientVisible") && r.truth()
}

func (r *reader) variants() []Variant {
	var room [4]Variant
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		var v Variant
		if r.byte('{'); r.member("key") {
			v.Key = r.text()
		}
		if r.member("value") {
			v.Value = r.pointer()
		}
		r.byte('}')
		list = append(list, v)
	}
	return kept(list)
}

func (r *reader) prerequisites() (list []Prerequisite) {
	for more := r.begin('['); more; more = r.next(']') {
		var p Prerequisite
		if r.byte('{'); r.member("flag") {
			p.Flag = r.text()
		}
		if r.member("variants") {
			p.Variants = r.texts()
		}
		r.byte('}')
		list = append(list, p)
	}
	return list
}

func (r *reader) rules(variants []Variant) []Rule {
	var room [2]Rule
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		var rule Rule
		if r.byte('{'); r.member("id") {
			rule.ID = r.text()
		}
		if r.member("description") {
			rule.Description = r.text()
		}
		if r.member("if") {
			rule.If = r.clauses()
		}
		if r.member("then") {
			rule.Then = r.serve(variants)
		}
		r.byte('}')
		list = append(list, rule)
	}
	return kept(list)
}

func (r *reader) clauses() []Clause {
	var room [2]Clause
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		var c Clause
		if r.byte('{'); r.member("attribute") {
			c.Attribute = r.text()
		}
		if r.member("operator") {
			c.Operator = r.text()
		}
		if r.member("values") {
			c.Values = r.values()
		}
		c.Negate = r.member("negate") && r.truth()
		c.IfMissing = r.member("ifMissing") && r.truth()
		c.Coerce = r.member("coerce") && r.truth()
		c.IgnoreCase = r.member("ignoreCase") && r.truth()
		r.byte('}')
		list = append(list, c)
	}
	return kept(list)
}
