package fsm

import "github.com/hoistflags/hoist/evaluator"

// SettleNotices says what became of notices the leader sent. Only the cluster itself does.
type SettleNotices struct {
	Settled []Settled `json:"settled"`
}

// Settled is what became of the notices of one receiver up to Through; with Through 0 that it fails, and Why.
type Settled struct {
	To      string `json:"to"`
	Through uint64 `json:"through,omitzero"`
	GaveUp  bool   `json:"gaveUp,omitzero"` // they were not delivered and will not be
	Why     string `json:"why,omitempty"`
}

const verbSettleNotices = "outbox.settle"

// Verb names the change for audit rows and rights.
func (SettleNotices) Verb() string { return verbSettleNotices }

func (SettleNotices) target() Target { return Target{} }

// checkSettled is Check for SettleNotices.
func checkSettled(c SettleNotices) (problems evaluator.Problems) {
	for _, x := range c.Settled {
		problems = append(problems, checkKey("/settled/to", x.To)...)
		problems = append(problems, checkText("/settled/why", x.Why, maxReason)...)
	}
	return problems
}
