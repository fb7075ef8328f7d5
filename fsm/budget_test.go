package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func budget() *fsm.Budget {
	return &fsm.Budget{Objective: 0.999, Address: "http://p:9090", Bad: "bad[{{window}}]", Total: "total[{{window}}]"}
}

func (n *node) burn(of uint64, b fsm.Burn) fsm.Outcome {
	return n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem, ID: "pilot"}, ControllerTerm: n.term,
		Command: n.encode(fsm.BudgetMeasured{Scope: dev, Of: of, Burn: b})})
}

// S4-12: with nothing left of the budget the environment is frozen, and free again when there is something.
func TestASpentBudgetFreezesTheEnvironment_S4_12(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	domain := n.store.State().DomainHash()
	of := n.do(fsm.PutBudget{Scope: dev, Budget: budget()}).Revision
	require.False(t, n.do(fsm.PutBudget{Scope: dev, Budget: budget()}).Changed, "the same budget keeps how it does")

	require.NoError(t, n.burn(of, fsm.Burn{Tier: fsm.BurnPage, Numbers: "80%"}).Err)
	require.Nil(t, n.env().Frozen(), "a page freezes nobody; the pilot does not advance")
	require.NoError(t, n.burn(of, fsm.Burn{Tier: fsm.BurnExhausted, Numbers: "101%"}).Err)
	e := n.refuse(fsm.KindFrozen, fsm.StartRollout{Scope: dev, Plan: steps(t, `[{"setWeight":50},{"hold":{}}]`)})
	require.Contains(t, e.Detail, "error budget is spent: 101%")
	require.Contains(t, e.Detail, "until its error budget recovers")

	n.do(fsm.Unfreeze{Scope: dev})
	require.NotNil(t, n.env().Frozen(), "people lift freezes of people")
	n.do(fsm.Freeze{Scope: dev, Reason: "incident", For: 1000})
	require.Len(t, n.env().Freezes(), 2)
	n.do(fsm.Unfreeze{Scope: dev})

	require.NoError(t, n.burn(of, fsm.Burn{Failing: "connection refused"}).Err)
	_, burn, _ := n.env().Budget()
	require.Equal(t, fsm.BurnExhausted, burn.Tier, "not knowing changes nothing")
	require.NotNil(t, n.env().Frozen())
	sameFull(t, n)

	require.NoError(t, n.burn(of, fsm.Burn{Numbers: "99%"}).Err)
	require.Nil(t, n.env().Frozen())
	require.Equal(t, domain, n.store.State().DomainHash())
	require.NoError(t, n.burn(of, fsm.Burn{Tier: fsm.BurnExhausted, Numbers: "102%"}).Err)
	n.do(fsm.PutBudget{Scope: dev})
	require.Empty(t, n.env().Freezes(), "without a budget nothing is spent")
}

func TestStaleAndForeignBudgetMeasurementsAreDropped(t *testing.T) {
	n := newNode(t)
	old := n.do(fsm.PutBudget{Scope: dev, Budget: budget()}).Revision
	other := budget()
	other.Objective = 0.9
	n.do(fsm.PutBudget{Scope: dev, Budget: other})
	require.False(t, n.burn(old, fsm.Burn{Tier: fsm.BurnExhausted}).Receipt.Changed)
	require.Nil(t, n.env().Frozen())
	n.refuse(fsm.KindDenied, fsm.BudgetMeasured{Scope: dev, Of: old})
	n.term = 2
	require.Equal(t, fsm.KindFenced, kindOf(n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: 1,
		Command: n.encode(fsm.BudgetMeasured{Scope: dev, Of: old})}).Err))
}

func TestBudgetsAreJudged(t *testing.T) {
	for field, spoil := range map[string]func(b *fsm.Budget){
		"/objective": func(b *fsm.Budget) { b.Objective = 1 },
		"/period":    func(b *fsm.Budget) { b.Period = 3_600_000 },
		"/interval":  func(b *fsm.Budget) { b.Interval = 1000 },
		"/address":   func(b *fsm.Budget) { b.Address = "p:9090" },
		"/bad":       func(b *fsm.Budget) { b.Bad = "errors" },
		"/total":     func(b *fsm.Budget) { b.Total = "" },
	} {
		b := budget()
		spoil(b)
		problems := b.Check()
		require.NotEmpty(t, problems, field)
		require.Equal(t, field, problems[0].Field)
	}
}
