package fsm

import "github.com/hoistflags/hoist/evaluator"

// settle decides what a flag leaves open about its splits: a salt and ranges it does not give are those of the stored
// flag, moved as little as the weights demand. f is not changed.
func settle(f, old *evaluator.Flag) *evaluator.Flag {
	out := *f
	if f.Default != nil && f.Default.Split != nil {
		serve := settleServe(*f.Default, f.Key+"/default", defaultSplit(old))
		out.Default = &serve
	}
	copied := false
	for i, r := range f.Rules {
		if r.Then.Split == nil {
			continue
		}
		if !copied {
			out.Rules, copied = append([]evaluator.Rule(nil), f.Rules...), true
		}
		out.Rules[i].Then = settleServe(r.Then, f.Key+"/"+r.ID, ruleSplit(old, r.ID))
	}
	return &out
}

func settleServe(s evaluator.Serve, salt string, old *evaluator.Split) evaluator.Serve {
	split := *s.Split
	if split.Salt == "" {
		split.Salt = salt
		if old != nil {
			split.Salt = old.Salt
		}
	}
	if len(split.Ranges) == 0 {
		split.Ranges = evaluator.Reallocate(carried(split, old), split.Weights)
	}
	s.Split = &split
	return s
}

// carried returns the stored ranges when they still mean the same users.
func carried(split evaluator.Split, old *evaluator.Split) []evaluator.Range {
	if old == nil || old.Salt != split.Salt || hashedWith(old.Hash) != hashedWith(split.Hash) || bucketedBy(old.By) != bucketedBy(split.By) {
		return nil
	}
	return old.Ranges
}

func bucketedBy(attribute string) string {
	if attribute == "" {
		return "targetingKey"
	}
	return attribute
}

func hashedWith(name string) string {
	if name == "" {
		return "murmur3-32"
	}
	return name
}

func defaultSplit(f *evaluator.Flag) *evaluator.Split {
	if f == nil || f.Default == nil {
		return nil
	}
	return f.Default.Split
}

func ruleSplit(f *evaluator.Flag, id string) *evaluator.Split {
	if f == nil {
		return nil
	}
	for _, r := range f.Rules {
		if r.ID == id {
			return r.Then.Split
		}
	}
	return nil
}
