package evaluator

import (
	"cmp"
	"slices"
)

// CompiledSegment is a segment ready for evaluation: immutable, shared by pointer.
type CompiledSegment struct {
	key        string
	record     []byte
	references *References // nil when there are none
	by         *selector
	include    *textSet
	exclude    *textSet
	rules      [][]clause // one of them must match
}

// CompileSegment compiles a segment. It fails only with Problems, exactly when Check finds some. s is not kept.
func CompileSegment(s *Segment) (*CompiledSegment, error) {
	if problems := s.Check(); len(problems) > 0 {
		return nil, problems
	}
	c := &CompiledSegment{
		key:     s.Key,
		record:  slices.Clip(appendSegment(nil, s, false)),
		include: newTextSet(slices.Clone(s.Include)),
		exclude: newTextSet(slices.Clone(s.Exclude)),
	}
	names := make(selectors)
	c.by = names.of(cmp.Or(s.By, targetingKey))
	for _, r := range s.Rules {
		c.rules = append(c.rules, compileClauses(r.If, names))
	}
	if refs := s.References(); len(refs.Flags)+len(refs.Segments) > 0 {
		c.references = &refs
	}
	return c, nil
}

// Key returns the segment's key.
func (c *CompiledSegment) Key() string { return c.key }

// Record is the canonical JSON of the segment without prose. The bytes must not be changed.
func (c *CompiledSegment) Record() []byte { return c.record }

// References lists what the segment's rules refer to.
func (c *CompiledSegment) References() References {
	if c.references == nil {
		return References{}
	}
	return *c.references
}
