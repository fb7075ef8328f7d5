package wire

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// DecodeSegment turns a message into a segment. Errors are evaluator.Problems; a nil message is one.
func DecodeSegment(m *hoistv1.Segment) (*evaluator.Segment, error) {
	if m == nil {
		return nil, problem("", "segment.missing", "the request has no segment")
	}
	s := &evaluator.Segment{
		Key: m.GetKey(), Name: m.GetName(), Description: m.GetDescription(), Annotations: m.GetAnnotations(), By: m.GetBy(),
		Include: m.GetInclude(), Exclude: m.GetExclude(),
	}
	for i, r := range m.GetRules() {
		clauses, err := decodeClauses(r.GetIf(), fmt.Sprintf("/rules/%d/if", i))
		if err != nil {
			return nil, err
		}
		s.Rules = append(s.Rules, evaluator.SegmentRule{If: clauses})
	}
	return s, nil
}

// EncodeSegment turns a segment into a message, member lists included.
func EncodeSegment(s *evaluator.Segment) *hoistv1.Segment {
	m := &hoistv1.Segment{
		Key: s.Key, Name: s.Name, Description: s.Description, Annotations: s.Annotations, By: s.By, Include: s.Include, Exclude: s.Exclude,
	}
	for _, r := range s.Rules {
		m.Rules = append(m.Rules, &hoistv1.SegmentRule{If: encodeClauses(r.If)})
	}
	return m
}
