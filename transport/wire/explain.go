package wire

import (
	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// EncodeExplanation turns the steps of an explanation into messages, in the order in which they were taken.
func EncodeExplanation(e *evaluator.Explanation) []*hoistv1.ExplainStep {
	var out []*hoistv1.ExplainStep
	for _, step := range e.Steps {
		m := &hoistv1.ExplainStep{Kind: step.Kind, Id: step.ID, Outcome: step.Outcome, Why: step.Why}
		for _, c := range step.Clauses {
			m.Clauses = append(m.Clauses, &hoistv1.ExplainClause{
				Index: int32(c.Index), Attribute: c.Attribute, Operator: c.Operator, Negate: c.Negate, Asked: c.Asked,
				Seen: c.Seen, State: c.State, Result: c.Result,
			})
		}
		if b := step.Bucket; b != nil {
			m.Bucket = &hoistv1.ExplainBucket{
				By: b.By, Key: b.Key, Salt: b.Salt, Hash: b.Hash, Unit: int32(b.Unit), From: b.Range[0], To: b.Range[1], Variant: b.Variant,
			}
		}
		out = append(out, m)
	}
	return out
}
