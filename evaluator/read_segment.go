package evaluator

// readSegment is readFlag for a segment.
func readSegment(data []byte, own bool) (s *Segment, rest []byte, ok bool) {
	r := reader{scanner: scanner{data: data, own: own}}
	s = new(Segment)
	r.segment(s)
	if r.failed {
		return nil, nil, false
	}
	return s, data[r.pos:], true
}

func (r *reader) segment(s *Segment) {
	if r.byte('{'); r.member("key") {
		s.Key = r.text()
	}
	if r.member("name") {
		s.Name = r.text()
	}
	if r.member("description") {
		s.Description = r.text()
	}
	if r.member("annotations") {
		s.Annotations = r.annotations()
	}
	if r.member("by") {
		s.By = r.text()
	}
	if r.member("include") {
		s.Include = r.texts()
	}
	if r.member("exclude") {
		s.Exclude = r.texts()
	}
	if r.member("rules") {
		s.Rules = r.segmentRules()
	}
	r.byte('}')
}

func (r *reader) segmentRules() (list []SegmentRule) {
	for more := r.begin('['); more; more = r.next(']') {
		var rule SegmentRule
		if r.byte('{'); r.member("if") {
			rule.If = r.clauses()
		}
		r.byte('}')
		list = append(list, rule)
	}
	return list
}
