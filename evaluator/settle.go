package evaluator

import (
	"cmp"
	"slices"
)

// Settle returns f with the salt and the ranges of every split filled in, as they are stored. What f gives is kept.
// A split that previous already had at the same place (the same rule id, or the default) keeps its salt, and its
// ranges move only as far as the weights demand; otherwise the salt is DefaultSalt and the layout fresh. Of previous
// only the splits matter; nil stands for a first commit. Neither flag is changed, and what has no splits is shared: a
// flag of which nothing is missing is returned itself.
//
// The weights must be sound, see Check.
func (f *Flag) Settle(previous *Flag) *Flag {
	if f.settled() {
		return f
	}
	settled := *f
	settled.Rules = slices.Clone(f.Rules)
	for i := range settled.Rules {
		r := &settled.Rules[i]
		r.Then.Split = settleSplit(r.Then.Split, previous.split(r.ID), DefaultSalt(f.Key, r.ID))
	}
	if f.Default != nil {
		serve := *f.Default
		serve.Split = settleSplit(serve.Split, previous.split(""), DefaultSalt(f.Key, ""))
		settled.Default = &serve
	}
	return &settled
}

// settled reports whether every split has its salt and its ranges.
func (f *Flag) settled() bool {
	return (f.Default == nil || f.Default.Split.settled()) &&
		!slices.ContainsFunc(f.Rules, func(r Rule) bool { return !r.Then.Split.settled() })
}

func (s *Split) settled() bool { return s == nil || s.Salt != "" && len(s.Ranges) > 0 }

// split finds the split of a rule, or of the default for an empty id.
func (f *Flag) split(ruleID string) *Split {
	if f == nil {
		return nil
	}
	if ruleID == "" {
		if f.Default == nil {
			return nil
		}
		return f.Default.Split
	}
	for i := range f.Rules {
		if f.Rules[i].ID == ruleID {
			return f.Rules[i].Then.Split
		}
	}
	return nil
}

func settleSplit(s, old *Split, salt string) *Split {
	if s.settled() {
		return s
	}
	settled := *s
	if old != nil {
		salt = cmp.Or(old.Salt, salt)
	}
	settled.Salt = cmp.Or(s.Salt, salt)
	if len(s.Ranges) == 0 {
		var ranges []Range
		if old != nil && samePlaces(&settled, old) {
			ranges = old.Ranges
		}
		settled.Ranges = Reallocate(ranges, s.Weights)
	}
	return &settled
}

// samePlaces reports whether both splits put every key at the same place of the hash space. If they do not, everybody
// moves anyway and old ranges are worth nothing.
func samePlaces(a, b *Split) bool {
	return a.Salt == b.Salt &&
		cmp.Or(a.By, targetingKey) == cmp.Or(b.By, targetingKey) &&
		cmp.Or(a.Hash, HashMurmur3) == cmp.Or(b.Hash, HashMurmur3)
}
