package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// S4-12: whatever a freeze covers, it refuses what rises and lets the rest be.
func TestFreezesReachAFlagAnEnvironmentATenantOrEverything_S4_12(t *testing.T) {
	other := fsm.Scope{Tenant: "acme", Environment: "dev"}
	for name, c := range map[string]struct {
		of           fsm.FreezeOf
		flag         string
		f, g, remote bool // refused
	}{
		"flag":        {fsm.OfFlag, "f", true, false, false},
		"environment": {fsm.OfEnvironment, "", true, true, false},
		"tenant":      {fsm.OfTenant, "", true, true, false},
		"cluster":     {fsm.OfCluster, "", true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.do(fsm.CreateTenant{Tenant: "acme"})
			n.put(dark("f"), dark("g"))
			n.do(fsm.PutFlag{Scope: other, Flag: decodeFlag(t, dark("f"))})
			n.do(fsm.Freeze{Scope: dev, Of: c.of, Flag: c.flag, Reason: "incident 7"})
			start := func(scope fsm.Scope, flag string, refused bool) {
				p := steps(t, `[{"setWeight":50},{"hold":{}}]`)
				p.Flag = flag
				if refused {
					e := n.refuse(fsm.KindFrozen, fsm.StartRollout{Scope: scope, Plan: p})
					require.Contains(t, e.Detail, "incident 7")
					require.Contains(t, e.Detail, name)
					return
				}
				n.do(fsm.StartRollout{Scope: scope, Plan: p})
			}
			start(dev, "f", c.f)
			start(dev, "g", c.g)
			start(other, "f", c.remote)
			n.do(fsm.CreateEnvironment{Tenant: "acme", Environment: "late"})
			late, _ := n.store.State().Environment("acme", "late")
			require.Equal(t, c.remote, late.Frozen() != nil, "a new environment is covered by what covers its tenant")
			n.do(fsm.CreateTenant{Tenant: "zeta"})
			newest, _ := n.store.State().Environment("zeta", "production")
			require.Equal(t, c.remote, newest.Frozen() != nil)
			sameFull(t, n)

			n.do(fsm.Unfreeze{Scope: dev, Of: c.of, Flag: c.flag})
			require.Empty(t, n.env().Freezes())
			late, _ = n.store.State().Environment("acme", "late")
			require.Empty(t, late.Freezes())
			if c.f {
				start(dev, "f", false)
			}
		})
	}
}

// Two freezes that overlap shift a hold by the time that either stood, once.
func TestOverlappingFreezesShiftAHoldByTheirUnion(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(steps(t, `[{"setWeight":50},{"hold":"1h"}]`))
	n.drive(id, fsm.MoveAdvance)
	end := n.rollout(id).HoldEnd
	at := func(second int64, c fsm.Command) {
		n.now = start + second*1000 - 1
		n.do(c)
	}
	at(100, fsm.Freeze{Scope: dev, Reason: "one"})
	at(200, fsm.Freeze{Scope: dev, Of: fsm.OfFlag, Flag: "f", Reason: "two", For: 300_000}) // to 500
	at(300, fsm.Freeze{Scope: dev, Of: fsm.OfTenant, Reason: "three"})
	at(400, fsm.Unfreeze{Scope: dev})
	require.EqualValues(t, end+100_000, n.rollout(id).HoldEnd, "what the others cover is counted with them")
	at(600, fsm.SetEnabled{Scope: dev, Key: "f", Enabled: true}) // brings the end of the second
	require.EqualValues(t, end+200_000, n.rollout(id).HoldEnd)
	require.Len(t, n.env().Freezes(), 1)
	at(700, fsm.Unfreeze{Scope: dev, Of: fsm.OfTenant})
	require.EqualValues(t, end+600_000, n.rollout(id).HoldEnd, "from 100 to 700")
}

func TestTheFreezeThatEndsLastIsTheOneThatIsTold(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	n.do(fsm.Freeze{Scope: dev, Reason: "short", For: 60_000})
	n.do(fsm.Freeze{Scope: dev, Of: fsm.OfTenant, Reason: "long", For: 600_000})
	require.Equal(t, "long", n.env().Frozen().Reason)
	n.do(fsm.Freeze{Scope: dev, Of: fsm.OfFlag, Flag: "f", Reason: "open"})
	require.Equal(t, "long", n.env().Frozen().Reason)
	require.Equal(t, "open", n.env().FrozenFor("f").Reason)
	n.do(fsm.Unfreeze{Scope: dev, Expired: true})
	require.Len(t, n.env().Freezes(), 3, "nothing is over yet")
	n.refuse(fsm.KindNotFound, fsm.Freeze{Scope: dev, Of: fsm.OfFlag, Flag: "none", Reason: "r"})
	n.refuse(fsm.KindInvalid, fsm.Freeze{Scope: dev, Of: "planet", Reason: "r"})
	n.refuse(fsm.KindInvalid, fsm.Freeze{Scope: dev, Kind: fsm.FreezeBudget, Reason: "r"})
}
