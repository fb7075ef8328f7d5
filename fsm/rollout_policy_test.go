package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// S4-14: a policy can forbid the way from nobody to everybody in one step, whichever way it is tried.
func TestAPolicyForbidsLargeSteps_S4_14(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	most := 50_000
	n.do(fsm.SetPolicy{Scope: dev, Policy: fsm.Policy{MaxStep: &most}})
	for list, field := range map[string]string{
		`[{"setWeight":100},{"hold":"1h"}]`:                                               "/steps/0/setWeight",
		`[{"setWeight":10},{"hold":"1h"},{"setWeight":70},{"hold":"1h"}]`:                 "/steps/2/setWeight",
		`[{"setWeight":10},{"hold":"1h"}]`:                                                "/steps",
		`[{"setWeight":50},{"hold":"1h"},{"setWeight":5},{"setWeight":60},{"hold":"1h"}]`: "/steps/3/setWeight",
	} {
		e := n.refuse(fsm.KindInvalid, fsm.StartRollout{Scope: dev, Plan: steps(t, list)})
		require.Equal(t, field, e.Problems[0].Field, list)
		require.Equal(t, "policy.max-step", e.Problems[0].Code)
	}
	n.refuse(fsm.KindInvalid, fsm.StartRollout{Scope: dev, Plan: plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"strategy":"blueGreen","analysis":"none","blueGreen":{}}`)})
	id := n.start(steps(t, `[{"setWeight":10},{"hold":"1h"},{"setWeight":60},{"hold":"1h"}]`))
	n.refuse(fsm.KindInvalid, fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MovePromoteFull, Reason: "in a hurry"})
	n.move(id, fsm.MoveAbort)

	protected := true
	n.do(fsm.SetPolicy{Scope: dev, Reset: true, Policy: fsm.Policy{Protected: &protected}})
	e := n.refuse(fsm.KindInvalid, fsm.StartRollout{Scope: dev, Plan: steps(t, `[{"setWeight":10},{"hold":"1h"}]`)})
	require.Equal(t, "/analysis", e.Problems[0].Field)
	n.start(watched(t, 0, `[{"setWeight":10},{"hold":"1h"}]`))
}
