package fsm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

func TestHistoryKeepsTwentyVersionsAndRestoresThem(t *testing.T) {
	n := newNode(t)
	for i := range 25 {
		n.put(boolean("checkout", fmt.Sprintf(`,"name":"v%d"`, i)))
	}
	history := n.env().History(fsm.ObjectFlag, "checkout")
	require.Len(t, history, 20)
	require.Contains(t, string(history[0].Record), "v24")
	require.Contains(t, string(history[19].Record), "v5")
	require.Equal(t, "flag.put", history[0].Verb)
	require.Equal(t, "ann", history[0].Actor.ID)

	n.do(fsm.Restore{Scope: dev, Object: fsm.ObjectFlag, Key: "checkout", Revision: history[10].Revision})
	r, _ := n.env().Flag("checkout")
	require.Equal(t, string(history[10].Record), string(r.Record))
	require.Equal(t, "flag.restore", n.env().History(fsm.ObjectFlag, "checkout")[0].Verb)
}

func TestDeletedFlagIsRestoredFromItsHistory(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.do(fsm.DeleteFlag{Scope: dev, Key: "checkout"})
	history := n.env().History(fsm.ObjectFlag, "checkout")
	require.Len(t, history, 2)
	require.Nil(t, history[0].Record)
	n.refuse(fsm.KindInvalid, fsm.Restore{Scope: dev, Object: fsm.ObjectFlag, Key: "checkout", Revision: history[0].Revision})
	n.do(fsm.Restore{Scope: dev, Object: fsm.ObjectFlag, Key: "checkout", Revision: history[1].Revision})
	require.True(t, n.eval("checkout").Value.AsBool())
	require.Len(t, n.env().History(fsm.ObjectFlag, "checkout"), 3)

	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())), "its history is kept once")
	sameState(t, n.store.State(), restored.State())
}

func TestHistoryOfSegments(t *testing.T) {
	n := newNode(t)
	first := n.do(putSegment(t, segmentOf("beta")))
	n.do(putSegment(t, `{"key":"beta","include":["user-2"]}`))
	n.do(fsm.Restore{Scope: dev, Object: fsm.ObjectSegment, Key: "beta", Revision: first.Revision})
	s, _ := n.env().Segment("beta")
	require.Equal(t, []string{"user-1"}, s.Segment().Include)
}

func TestLargeVersionsDoNotPileUp(t *testing.T) {
	n := newNode(t)
	for i := range 8 {
		big := strings.Repeat("x", 500) + fmt.Sprint(i)
		var include []string
		for j := range 2000 {
			include = append(include, fmt.Sprintf("%s-%d", big, j))
		}
		stages, err := fsm.Split(fsm.PutSegment{Scope: dev, Segment: &evaluator.Segment{Key: "beta", Include: include}}, fmt.Sprint("change-", i))
		require.NoError(t, err)
		for _, c := range stages {
			n.do(c)
		}
	}
	require.Less(t, len(n.env().History(fsm.ObjectSegment, "beta")), 6)
}

// Old ranges come back with an old version, and with them the users of that time.
func TestWeightsMoveAsFewUsersAsPossible_S2_13(t *testing.T) {
	n := newNode(t)
	split := func(on int) string {
		return fmt.Sprintf(`{"key":"checkout","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],
			"default":{"split":{"weights":[{"variant":"on","weight":%d},{"variant":"off","weight":%d}]}}}`, on, 100_000-on)
	}
	users := func() map[string]bool {
		in := map[string]bool{}
		for i := range 5000 {
			key := fmt.Sprintf("user-%d", i)
			r := n.env().Snapshot().Evaluate("checkout", &evaluator.Context{TargetingKey: key})
			require.Equal(t, evaluator.ReasonSplit, r.Reason)
			in[key] = r.Value.AsBool()
		}
		return in
	}
	n.put(split(10_000))
	r, _ := n.env().Flag("checkout")
	require.Equal(t, "checkout/default", r.Flag().Default.Split.Salt)
	require.NotEmpty(t, r.Flag().Default.Split.Ranges)
	ten := users()
	n.put(split(50_000))
	for key, in := range users() {
		require.True(t, in || !ten[key], "%s was in at 10 %% and is out at 50 %%", key)
	}
	n.put(split(10_000))
	require.Equal(t, ten, users())
}

func TestRenamedSaltIsKeptByLaterWrites(t *testing.T) {
	n := newNode(t)
	with := func(salt, more string) string {
		return fmt.Sprintf(`{"key":"checkout","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],
			"default":{"split":{%s"weights":[{"variant":"on","weight":50000},{"variant":"off","weight":50000}]}}%s}`, salt, more)
	}
	n.put(with(`"salt":"old-name",`, ""))
	n.put(with("", `,"name":"renamed"`))
	r, _ := n.env().Flag("checkout")
	require.Equal(t, "old-name", r.Flag().Default.Split.Salt)
}

// S0-21: one row per mutating call, with who, when and what, chained.
func TestEveryChangeIsAudited_S0_21(t *testing.T) {
	n := newNode(t)
	calls := []fsm.Command{
		put(t, boolean("checkout", "")), fsm.SetEnabled{Scope: dev, Key: "checkout"}, fsm.SetArchived{Scope: dev, Key: "checkout", Archived: true},
		fsm.Kill{Scope: dev, Key: "checkout", Reason: "errors"}, fsm.Unkill{Scope: dev, Key: "checkout"},
		fsm.DeleteFlag{Scope: dev, Key: "checkout"}, putSegment(t, segmentOf("beta")), fsm.DeleteSegment{Scope: dev, Key: "beta"},
		fsm.CreateTenant{Tenant: "acme"}, fsm.CreateEnvironment{Tenant: "acme", Environment: "qa"},
	}
	var last fsm.Audit
	for i, c := range calls {
		p := n.proposal(c)
		p.Comment = "because"
		require.NoError(t, n.apply(p).Err)
		rows := n.store.State().Audit(uint64(i), 100)
		require.Len(t, rows, 1, c.Verb())
		row := rows[0]
		require.Equal(t, c.Verb(), row.Verb)
		require.Equal(t, n.now, row.At)
		require.Equal(t, "ann", row.Actor.ID)
		require.Equal(t, n.store.State().Index(), row.Index)
		require.Equal(t, p.RequestID, row.RequestID)
		require.NotEmpty(t, row.Target)
		require.NotEmpty(t, row.Tenant)
		last = row
	}
	rows := n.store.State().Audit(0, 100)
	require.Equal(t, "errors", rows[3].Reason)
	require.Equal(t, "because", rows[4].Reason)
	require.Empty(t, rows[0].Before)
	require.Equal(t, rows[0].After, rows[1].Before)
	require.Empty(t, rows[5].After)
	seq, head := n.store.State().AuditHead()
	require.EqualValues(t, len(calls), seq)
	require.Equal(t, last.Hash, head)

	require.NoError(t, fsm.VerifyAudit("", rows))
	require.NoError(t, fsm.VerifyAudit(rows[3].Hash, rows[4:]))
	rows[2].Actor.ID = "eve"
	require.ErrorContains(t, fsm.VerifyAudit("", rows), "row 3")
	require.ErrorContains(t, fsm.VerifyAudit("", append(rows[:1:1], rows[2:]...)), "missing")
}

func TestOnlyTheNewestAuditRowsAreKept(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	for i := range 8300 {
		n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: i%2 == 1})
	}
	rows := n.store.State().Audit(0, 10_000)
	require.Len(t, rows, 8192)
	require.EqualValues(t, 8301-8192+1, rows[0].Seq)
	require.Len(t, n.store.State().Audit(8300, 10), 1)
	require.Empty(t, n.store.State().Audit(8301, 10))
}
