package evaluator

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// split is a compiled Split: the salt already hashed, the ranges sorted, one result per variant.
type split struct {
	by      *selector
	name    string // of the attribute in by
	salt    string
	murmur  murmur
	rox     bool
	pieces  []share
	missing *Result // for contexts without bucketing key; nil when nothing is set
	lacking *Result // the error of a default split without bucketing key
}

// share is a piece of the hash space; it ends before the next one begins.
type share struct {
	from   uint32
	result *Result
}

func (b *builder) split(s Serve, ruleID string, missing Reason) *split {
	from := s.Split
	by := cmp.Or(from.By, targetingKey)
	out := &split{name: by, salt: from.Salt, murmur: saltedMurmur(from.Salt), rox: from.Hash == HashRoxMD5}
	out.by = b.names.of(by)
	if from.Missing != "" {
		out.missing = b.result(from.Missing, missing, ruleID, s.Label)
	}
	out.lacking = &Result{Reason: ReasonError, ErrorCode: ErrorInvalidContext, Detail: by}
	if out.by.key {
		out.lacking = &Result{Reason: ReasonError, ErrorCode: ErrorTargetingKeyMissing}
	}
	results := make(map[string]*Result)
	for _, r := range from.Ranges {
		if r.From == r.To {
			continue
		}
		if results[r.Variant] == nil {
			results[r.Variant] = b.result(r.Variant, ReasonSplit, ruleID, s.Label)
		}
		out.pieces = append(out.pieces, share{from: uint32(r.From), result: results[r.Variant]})
	}
	slices.SortFunc(out.pieces, func(x, y share) int { return cmp.Compare(x.from, y.from) })
	return out
}

// place returns the result that owns the bucketing key in v; without such a key that of `missing`, or nil.
func (s *split) place(v *Value) *Result {
	var room [numberRoom]byte
	key, ok := keyText(v, &room)
	if !ok {
		return s.missing
	}
	return s.pieces[s.piece(s.hash(key))].result
}

func (s *split) hash(key string) uint32 {
	if s.rox {
		return bucketRoxMD5(s.salt, key)
	}
	return s.murmur.sum(key)
}

// piece is the index of the piece that contains hash.
func (s *split) piece(hash uint32) int {
	low, high := 0, len(s.pieces) // invariant: pieces[low].from <= hash < pieces[high].from
	for high-low > 1 {
		middle := int(uint(low+high) >> 1)
		if s.pieces[middle].from <= hash {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// numberRoom holds the text of any number as appendNumberText writes it.
const numberRoom = 32

// keyText is the text form of bucketing and segment keys: strings as they are, booleans as true and false, integers
// in base 10. Everything else, and the empty string, is no key.
func keyText(v *Value, room *[numberRoom]byte) (string, bool) {
	if v == nil {
		return "", false
	}
	switch v.kind {
	case KindString:
		return v.text, v.text != ""
	case KindBool:
		return boolText(v.num != 0), true
	case KindNumber:
		if v.num == math.Trunc(v.num) && math.Abs(v.num) <= maxSafeInteger {
			return stackText(strconv.AppendInt(room[:0], int64(v.num), 10)), true
		}
	}
	return "", false
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
