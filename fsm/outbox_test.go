package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// told is a plan for the flag f whose events two receivers hear.
func told(t testing.TB, list string) *fsm.Plan {
	t.Helper()
	return plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"analysis":"none","notify":["webhook:releases","webhook:alerts"],"steps":`+list+`}`)
}

func (n *node) waiting(receiver string) (kinds []string) {
	n.t.Helper()
	if r, ok := n.store.State().Receiver(receiver); ok {
		for _, x := range r.Waiting() {
			kinds = append(kinds, x.Kind)
		}
	}
	return kinds
}

func (n *node) settle(list ...fsm.Settled) fsm.Receipt {
	n.t.Helper()
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: n.term, Command: n.encode(fsm.SettleNotices{Settled: list})})
	require.NoError(n.t, out.Err)
	return out.Receipt
}

// S4-09: every phase change is one notice per receiver, however often it is asked for.
func TestEveryEventIsOneNoticePerReceiver_S4_09(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(told(t, `[{"setWeight":50},{"hold":"3s"},{"setWeight":100},{"hold":{}}]`))
	n.drive(id, fsm.MoveAdvance)
	n.do(fsm.Freeze{Scope: dev, Reason: "incident"})
	n.do(fsm.Freeze{Scope: dev, Reason: "still", For: 60_000})
	n.do(fsm.Unfreeze{Scope: dev})
	n.move(id, fsm.MovePause)
	n.move(id, fsm.MoveResume)
	n.move(id, fsm.MovePromote)
	for range 3 {
		n.move(id, fsm.MoveAbort)
	}
	n.move(id, fsm.MoveRetry)
	n.move(id, fsm.MovePromoteFull)
	want := []string{"rollout.started", "rollout.holding", "rollout.frozen", "rollout.caught_up", "rollout.paused", "rollout.resumed",
		"rollout.overridden", "rollout.aborted", "rollout.started", "rollout.overridden", "rollout.completed"}
	require.Equal(t, want, n.waiting("releases"))
	require.Equal(t, want, n.waiting("alerts"))

	ids := map[string]bool{}
	for _, r := range n.store.State().Receivers() {
		for _, x := range r.Waiting() {
			require.False(t, ids[x.ID], "an id is used once")
			ids[x.ID] = true
		}
	}
	r, _ := n.store.State().Receiver("alerts")
	last := r.Waiting()[len(want)-1]
	require.Equal(t, "rollout/"+id, last.Subject)
	require.Equal(t, "ann", last.Actor.ID)
	require.Contains(t, string(last.Data), `"phase":"completed"`)
	require.Contains(t, string(last.Data), `"override":true`)
}

func TestWhatWasDeliveredLeavesTheOutboxOnce(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(told(t, `[{"setWeight":50},{"hold":"3s"}]`))
	n.drive(id, fsm.MoveAdvance)
	r, _ := n.store.State().Receiver("releases")
	first, second := r.Waiting()[0].Seq, r.Waiting()[1].Seq

	require.True(t, n.settle(fsm.Settled{To: "releases", Why: "refused"}).Changed)
	require.False(t, n.settle(fsm.Settled{To: "releases", Why: "refused"}).Changed, "saying it again changes nothing")
	r, _ = n.store.State().Receiver("releases")
	require.Equal(t, "refused", r.Failing)
	require.NotZero(t, r.FailingSince)

	require.True(t, n.settle(fsm.Settled{To: "releases", Through: first}).Changed)
	require.False(t, n.settle(fsm.Settled{To: "releases", Through: first}).Changed)
	r, _ = n.store.State().Receiver("releases")
	require.Len(t, r.Waiting(), 1)
	require.EqualValues(t, 1, r.Delivered)
	require.Empty(t, r.Failing, "a delivery ends the failure")

	n.settle(fsm.Settled{To: "releases", Through: second, GaveUp: true, Why: "tried for three days"})
	r, _ = n.store.State().Receiver("releases")
	require.Empty(t, r.Waiting())
	require.EqualValues(t, 1, r.Dropped)
	require.Equal(t, "tried for three days", r.DroppedWhy)
	require.Len(t, n.waiting("alerts"), 2, "receivers do not wait for each other")

	require.Equal(t, fsm.KindFenced, kindOf(n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: 7,
		Command: n.encode(fsm.SettleNotices{Settled: []fsm.Settled{{To: "alerts", Through: 99}}})}).Err))
	n.refuse(fsm.KindDenied, fsm.SettleNotices{Settled: []fsm.Settled{{To: "alerts", Through: 99}}})

	loaded := fsm.NewStore()
	require.NoError(t, loaded.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), loaded.State())
	require.Equal(t, n.store.State().Receivers(), loaded.State().Receivers())
}

// A receiver that is away for days loses the oldest, and that is said.
func TestTheOutboxIsBoundedAndSaysWhatItDropped(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(told(t, `[{"setWeight":50},{"hold":{}}]`))
	for range 600 {
		n.move(id, fsm.MovePause)
		n.move(id, fsm.MoveResume)
	}
	r, _ := n.store.State().Receiver("releases")
	require.Len(t, r.Waiting(), 1000)
	require.EqualValues(t, 201, r.Dropped)
	require.Contains(t, r.DroppedWhy, "1000")
	require.Equal(t, "rollout.resumed", r.Waiting()[999].Kind)
	loaded := fsm.NewStore()
	require.NoError(t, loaded.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), loaded.State())
}

func TestTooManyReceiversForgetTheIdleOnes(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	for i := range 70 {
		p := told(t, `[{"setWeight":50},{"hold":{}}]`)
		p.Notify = []string{fmt.Sprintf("webhook:r-%02d", i)}
		id := n.start(p)
		n.move(id, fsm.MoveAbort)
		if i < 10 {
			r, _ := n.store.State().Receiver(fmt.Sprintf("r-%02d", i))
			n.settle(fsm.Settled{To: r.Name, Through: r.Waiting()[1].Seq})
		}
	}
	require.Len(t, n.store.State().Receivers(), 64)
	require.Len(t, n.waiting("r-69"), 2)
	require.Empty(t, n.waiting("r-00"))
	sameFull(t, n)
}

// sameFull: the hash that moved along is the one a saved state gives.
func sameFull(t *testing.T, n *node) {
	t.Helper()
	loaded := fsm.NewStore()
	require.NoError(t, loaded.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), loaded.State())
}

func TestReceiversAreNamedStrictly(t *testing.T) {
	for list, field := range map[string]string{`["releases"]`: "/notify/0", `["webhook:a","webhook:a"]`: "/notify/1", `["webhook:a b"]`: "/notify/0",
		`["webhook:http://x/"]`: "/notify/0"} {
		p := plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"analysis":"none","steps":[{"setWeight":5},{"hold":{}}],"notify":`+list+`}`)
		problems := p.Check()
		require.Len(t, problems, 1, list)
		require.Equal(t, field, problems[0].Field)
	}
}
