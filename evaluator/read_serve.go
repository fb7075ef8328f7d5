package evaluator

import "math"

func (r *reader) serve(variants []Variant) (s Serve) {
	if r.byte('{'); r.member("variant") {
		s.Variant = r.variant(variants)
	}
	if r.member("split") {
		s.Split = r.split(variants)
	}
	if r.member("label") {
		s.Label = r.text()
	}
	r.byte('}')
	return s
}

func (r *reader) split(variants []Variant) *Split {
	s := new(Split)
	if r.byte('{'); r.member("by") {
		s.By = r.text()
	}
	if r.member("salt") {
		s.Salt = r.text()
	}
	if r.member("hash") {
		s.Hash = r.text()
	}
	if r.member("missing") {
		s.Missing = r.variant(variants)
	}
	if r.member("weights") {
		s.Weights = r.weights(variants)
	}
	if r.member("ranges") {
		s.Ranges = r.ranges(variants)
	}
	r.byte('}')
	return s
}

func (r *reader) weights(variants []Variant) []Weight {
	var room [4]Weight
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		var w Weight
		if r.byte('{'); r.member("variant") {
			w.Variant = r.variant(variants)
		}
		if r.member("weight") {
			weight := r.integer()
			w.Weight, r.failed = int(weight), r.failed || weight > math.MaxInt32
		}
		r.byte('}')
		list = append(list, w)
	}
	return kept(list)
}

func (r *reader) ranges(variants []Variant) []Range {
	var room [4]Range
	list := room[:0]
	for more := r.begin('['); more; more = r.next(']') {
		var one Range
		if r.byte('{'); r.member("variant") {
			one.Variant = r.variant(variants)
		}
		if r.member("from") {
			one.From = r.integer()
		}
		if r.member("to") {
			one.To = r.integer()
		}
		one.Down = r.member("down") && r.truth()
		r.byte('}')
		list = append(list, one)
	}
	return kept(list)
}
