package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// S4-08: one action, back to the off variant; the declaration is untouched.
func TestKillServesTheOffVariantToEveryone_S4_08(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", `,"rules":[{"id":"all","then":{"variant":"on"}}]`))
	declared, domain := n.env().DeclaredHash(), n.store.State().DomainHash()
	receipt := n.do(fsm.Kill{Scope: dev, Key: "checkout", Reason: "errors"})
	require.True(t, receipt.Changed)

	r := n.eval("checkout")
	require.Equal(t, evaluator.ReasonStatic, r.Reason)
	require.Equal(t, "off", r.Variant)
	require.Equal(t, "kill", r.Label)
	require.Equal(t, receipt.Revision, r.Revision)
	require.Equal(t, declared, n.env().DeclaredHash())
	record, _ := n.env().Flag("checkout")
	require.Less(t, record.Revision, receipt.Revision, "the declared revision stays")
	require.Equal(t, receipt.Revision, n.env().Revision())
	require.Equal(t, []fsm.Exposure{{Flag: "checkout", Owner: "kill", Revision: receipt.Revision, At: n.now,
		By: fsm.Actor{Kind: "user", ID: "ann"}, Reason: "errors"}}, n.env().Exposures("checkout"))

	n.do(fsm.Unkill{Scope: dev, Key: "checkout"})
	require.Equal(t, evaluator.ReasonTargetingMatch, n.eval("checkout").Reason)
	require.Equal(t, domain, n.store.State().DomainHash(), "the last known good is the declaration")
	require.Empty(t, n.env().Exposures("checkout"))
}

// S4-09: N repeats have one effect.
func TestRepeatedKillHasOneEffect_S4_09(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	for _, c := range []fsm.Command{fsm.Kill{Scope: dev, Key: "checkout"}, fsm.Unkill{Scope: dev, Key: "checkout"}} {
		require.True(t, n.do(c).Changed)
		domain, revision := n.store.State().DomainHash(), n.env().Snapshot().Revision()
		rows, _ := n.store.State().AuditHead()
		for range 3 {
			require.False(t, n.do(c).Changed)
		}
		require.Equal(t, domain, n.store.State().DomainHash())
		require.Equal(t, revision, n.env().Snapshot().Revision(), "nobody is woken")
		now, _ := n.store.State().AuditHead()
		require.Equal(t, rows, now)
	}
}

func TestKilledFlagIsNotEnabledForThoseThatNeedIt(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"payments","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"on","default":{"variant":"on"}}`,
		needs("checkout", "payments"))
	n.do(fsm.Kill{Scope: dev, Key: "payments"})
	require.Equal(t, "on", n.eval("payments").Variant)
	require.Equal(t, evaluator.ReasonPrerequisiteFailed, n.eval("checkout").Reason)
}

func TestKilledFlagWithoutOffVariantIsDisabled(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"title","type":"string","enabled":true,"variants":[{"key":"a","value":"x"}],"default":{"variant":"a"}}`)
	n.do(fsm.Kill{Scope: dev, Key: "title"})
	r := n.eval("title")
	require.Equal(t, evaluator.ReasonDisabled, r.Reason)
	require.False(t, r.HasValue)
}

func TestKilledFlagStaysKilledThroughEdits(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.do(fsm.Kill{Scope: dev, Key: "checkout"})
	n.put(boolean("checkout", `,"rules":[{"id":"all","then":{"variant":"on"}}]`))
	require.Equal(t, "kill", n.eval("checkout").Label)
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout"})
	require.Equal(t, evaluator.ReasonDisabled, n.eval("checkout").Reason, "a flag that is not enabled stays as it is")
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true})
	require.Equal(t, "kill", n.eval("checkout").Label)
	n.do(fsm.DeleteFlag{Scope: dev, Key: "checkout"})
	n.put(boolean("checkout", ""))
	require.True(t, n.eval("checkout").Value.AsBool(), "a flag made anew is not killed")
}

func TestKillOfADisabledFlagWakesNobodyAndHolds(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout"})
	served := n.env().Snapshot().Revision()
	require.True(t, n.do(fsm.Kill{Scope: dev, Key: "checkout"}).Changed)
	require.Equal(t, served, n.env().Snapshot().Revision())
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true})
	require.Equal(t, "kill", n.eval("checkout").Label)
}

func TestConfigCannotBeKilledOrSwitched(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"timeout","kind":"config","type":"string","value":"3s"}`)
	n.refuse(fsm.KindInvalid, fsm.Kill{Scope: dev, Key: "timeout"})
	n.refuse(fsm.KindInvalid, fsm.SetEnabled{Scope: dev, Key: "timeout", Enabled: true})
	require.Equal(t, "3s", n.eval("timeout").Value.AsString())
}
