package fsm_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// uuid7 makes a UUIDv7 of the given unix ms.
func uuid7(ms int64, n int) string {
	h := fmt.Sprintf("%012x", ms)
	return fmt.Sprintf("%s-%s-7%03x-8000-%012x", h[:8], h[8:12], n&0xfff, n)
}

func TestRetryIsAnsweredWithTheFirstRevision(t *testing.T) {
	n := newNode(t)
	p := n.proposal(put(t, boolean("checkout", "")))
	first := n.apply(p)
	require.NoError(t, first.Err)
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout"})

	domain := n.store.State().DomainHash()
	again := n.apply(p)
	require.NoError(t, again.Err)
	require.True(t, again.Receipt.Replayed)
	require.Equal(t, first.Receipt.Revision, again.Receipt.Revision)
	require.Equal(t, first.Receipt.Object, again.Receipt.Object)
	require.True(t, again.Receipt.Changed)
	require.Equal(t, domain, n.store.State().DomainHash(), "the retry is not executed")
	made, ok := n.store.State().Request(p.Actor, p.RequestID)
	require.True(t, ok)
	require.Equal(t, first.Receipt.Revision, made.Revision)
}

// The table is asked before the expected revision: a retry of a success is no conflict.
func TestRetryOfAConditionalWriteIsNoConflict(t *testing.T) {
	n := newNode(t)
	none := uint64(0)
	p := n.proposal(put(t, boolean("checkout", "")))
	p.ExpectedRevision = &none
	require.NoError(t, n.apply(p).Err)
	require.NoError(t, n.apply(p).Err)
}

func TestRetryOfARefusalIsRefusedTheSameWay(t *testing.T) {
	n := newNode(t)
	n.put(boolean("payments", ""))
	one := uint64(1)
	dangling := n.proposal(put(t, needs("checkout", "nothing")))
	conflict := n.proposal(fsm.SetEnabled{Scope: dev, Key: "payments"})
	conflict.ExpectedRevision = &one
	missing := n.proposal(fsm.DeleteFlag{Scope: dev, Key: "nothing"})
	for kind, p := range map[fsm.Kind]*fsm.Proposal{fsm.KindInvalid: dangling, fsm.KindConflict: conflict, fsm.KindNotFound: missing} {
		first := n.refuseProposal(kind, p)
		n.put(boolean("nothing", "")) // what was missing is there now, but the answer stays
		second := n.refuseProposal(kind, p)
		require.Equal(t, first.Revision, second.Revision)
		n.do(fsm.DeleteFlag{Scope: dev, Key: "nothing"})
	}
}

func TestSameIDForAnotherChangeIsRefused(t *testing.T) {
	n := newNode(t)
	p := n.proposal(put(t, boolean("checkout", "")))
	require.NoError(t, n.apply(p).Err)
	other := *p
	other.Command = n.encode(fsm.DeleteFlag{Scope: dev, Key: "checkout"})
	n.refuseProposal(fsm.KindRequestReused, &other)
	expecting, two := *p, uint64(2)
	expecting.ExpectedRevision = &two
	n.refuseProposal(fsm.KindRequestReused, &expecting)
	elsewhere := other
	elsewhere.Actor.ID = "bob"
	require.NoError(t, n.apply(&elsewhere).Err, "ids belong to who sends them")
}

func TestOldIDsAreForgottenAfterADayAndThenRefused(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	p := n.proposal(fsm.SetEnabled{Scope: dev, Key: "checkout"})
	p.RequestID = uuid7(n.now, 1)
	require.NoError(t, n.apply(p).Err)

	n.now += 24 * 3600 * 1000
	require.True(t, n.apply(p).Receipt.Replayed, "held for a whole day")
	n.now += 1000
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true}) // evicts
	_, held := n.store.State().Request(p.Actor, p.RequestID)
	require.False(t, held)
	n.refuseProposal(fsm.KindRequestExpired, p)
	require.True(t, n.eval("checkout").Value.AsBool(), "never executed a second time")
}

func TestIDsFromTheFutureAreRefused(t *testing.T) {
	n := newNode(t)
	p := n.proposal(put(t, boolean("checkout", "")))
	p.RequestID = uuid7(n.now+6*60*1000, 1)
	n.refuseProposal(fsm.KindInvalid, p)
	p.RequestID = uuid7(n.now+4*60*1000, 1)
	require.NoError(t, n.apply(p).Err)
}

func TestWriteOfAPersonNeedsARequestID(t *testing.T) {
	n := newNode(t)
	p := n.proposal(put(t, boolean("checkout", "")))
	p.RequestID = ""
	n.refuseProposal(fsm.KindInvalid, p)
	require.Error(t, n.store.State().Admit(p))
}
