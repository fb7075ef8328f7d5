package evaluator

import (
	"time"
)

// LintExpiry returns the finding that a temporary flag has passed its date at now, if it has. It stands beside Lint
// because it is the only finding that depends on when one looks.
func (f *Flag) LintExpiry(now time.Time) Problems {
	var found Problems
	if f.Temporary && f.Expires != "" && f.Expires < now.UTC().Format(time.DateOnly) {
		root := place{}
		found.add(root.at("expires"), "lint.expired", "the temporary flag expired on %s; remove it from the code, then here", f.Expires)
	}
	return found
}

// Lint returns findings that are worth a look but are not refused.
func (f *Flag) Lint() Problems {
	var found Problems
	root := place{}
	served := map[string]bool{f.Off: true}
	rules := root.at("rules")
	always := ""
	for i := range f.Rules {
		r, at := &f.Rules[i], rules.nth(i)
		if always != "" {
			found.add(at, "lint.unreachable", "never reached: rule %q before it always matches", always)
		}
		if len(r.If) == 0 && r.Then.Split == nil && always == "" {
			always = r.ID
		}
		r.Then.serves(served)
		if f.Off != "" && r.Then.Variant == f.Off {
			found.add(at.at("then"), "lint.off-served", "serves %q, which is also what the flag serves when it is off; clients that use their own default for a disabled flag see a difference", f.Off)
		}
	}
	if f.Default != nil {
		f.Default.serves(served)
	}
	variants := root.at("variants")
	for i, v := range f.Variants {
		if !served[v.Key] {
			found.add(variants.nth(i), "lint.unserved", "variant %q is never served", v.Key)
		}
	}
	return found
}

// serves notes the variants that s can serve.
func (s *Serve) serves(variants map[string]bool) {
	variants[s.Variant] = true
	if s.Split == nil {
		return
	}
	variants[s.Split.Missing] = true
	for _, w := range s.Split.Weights {
		if w.Weight > 0 {
			variants[w.Variant] = true
		}
	}
}

// UnusedSegments returns the keys of segments that no flag and no other segment refers to, in the order given.
func UnusedSegments(flags []*Flag, segments []*Segment) []string {
	used := map[string]bool{}
	note := func(refs References) {
		for _, r := range refs.Segments {
			used[r.Segment] = true
		}
	}
	for _, f := range flags {
		note(f.References())
	}
	for _, s := range segments {
		note(s.References())
	}
	var unused []string
	for _, s := range segments {
		if !used[s.Key] {
			unused = append(unused, s.Key)
		}
	}
	return unused
}
