package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// answered takes one measurement with the answer it was made of, and returns the rows that came with it.
func (n *node) answered(id string, raw []byte) []fsm.Written {
	n.t.Helper()
	c := fsm.Measured{Rollouts: []fsm.RolloutMeasured{{Scope: dev, ID: id, Metrics: []fsm.MetricMeasured{{Run: n.rollout(id).OpenRuns()[0].ID,
		Query: "q", Measurement: fsm.Measurement{Verdict: fsm.VerdictSuccessful, Value: "[0]"}, Raw: fsm.NewRawAnswer(raw)}}}}}
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem, ID: "pilot"}, ControllerTerm: n.term, Command: n.encode(c)})
	require.NoError(n.t, out.Err)
	return n.store.State().RolloutLog().News()
}

func (n *node) saved() []byte {
	n.t.Helper()
	var b bytes.Buffer
	require.NoError(n.t, n.store.State().Save(&b))
	return b.Bytes()
}

// S0-22: every event and every answer leaves the law as a row of a chain, with all it was made of.
func TestRolloutLogHasEveryEventAndEveryAnswer(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	var rows []fsm.Written
	keep := func() { rows = append(rows, n.store.State().RolloutLog().News()...) }
	id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":{}}]`))
	keep()
	n.answered(id, []byte(`{"value":[1,"0"]}`))
	keep()
	n.drive(id, fsm.MoveAdvance)
	keep()
	n.move(id, fsm.MoveAbort)
	keep()

	var said []string
	var records [][]byte
	for _, row := range rows {
		require.Equal(t, fsm.RecordHash(row.Record), row.After)
		require.Equal(t, "rollout/"+id, row.Target)
		x, err := fsm.DecodeRolloutRecord(row.Record)
		require.NoError(t, err)
		said = append(said, row.Verb)
		require.Equal(t, row.Verb == "rollout.start", x.Plan != nil)
		if x.Event != nil {
			records = append(records, x.Event.Record())
			continue
		}
		m := x.Measured[0]
		require.Equal(t, `{"value":[1,"0"]}`, string(m.Raw.Bytes))
		require.Equal(t, []any{1, 1, fsm.RunBackground, "errors", "q", fsm.Percent(10_000), fsm.VerdictSuccessful},
			[]any{m.Attempt, m.Run, m.Kind, m.Metric, m.Query, m.Weight, m.Measurement.Verdict})
	}
	require.Equal(t, []string{"rollout.start", "rollout.measured", "rollout.advance", "rollout.abort"}, said)
	require.NoError(t, fsm.VerifyAudit("", audits(rows)))
	require.Equal(t, n.rollout(id).Head(), fsm.ChainEvents(records), "the events of the log are those of the rollout")
}

func audits(rows []fsm.Written) (out []fsm.Audit) {
	for _, row := range rows {
		out = append(out, row.Audit)
	}
	return out
}

// What is measured makes the state no larger: neither the answers nor the rows stay in it.
func TestAnswersDoNotStayInTheState(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":{}}]`))
	answer := []byte(strings.Repeat("answer ", fsm.MaxRawAnswer))
	for range 300 {
		n.answered(id, answer)
	}
	before := n.saved()
	require.NotContains(t, string(before), "answer answer")
	for range 3000 {
		rows := n.answered(id, answer)
		require.Len(t, rows, 1)
		require.Contains(t, string(rows[0].Record), `"size":`+fmt.Sprint(len(answer)))
		require.Less(t, len(rows[0].Record), 2*fsm.MaxRawAnswer)
	}
	after := n.saved()
	require.InDelta(t, len(before), len(after), 3000, "numbers have a few digits more")
}

func TestRolloutLogGoesOnBehindASavedState(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":{}}]`))
	for range 600 {
		n.answered(id, []byte("1"))
	}
	seq, head := n.store.State().RolloutLog().AuditHead()
	store := fsm.NewStore()
	require.NoError(t, store.Load(bytes.NewReader(n.saved())))
	log := store.State().RolloutLog()
	again, hash := log.AuditHead()
	require.Equal(t, []any{seq, head}, []any{again, hash})
	require.Empty(t, log.News())
	rows := log.Audit(0, 1000)
	require.Equal(t, n.store.State().RolloutLog().Audit(0, 1000), rows)
	require.Equal(t, seq, rows[len(rows)-1].Seq)
	require.NoError(t, fsm.VerifyAudit(log.AuditBefore(), rows))
	n.store = store
	next := n.answered(id, []byte("1"))
	require.Equal(t, seq+1, next[0].Seq)
	require.NoError(t, fsm.VerifyAudit(head, audits(next)))
}

func TestAnswersThatAreDroppedOrTooLarge(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":{}}]`))
	late := n.rollout(id).OpenRuns()[0].ID
	n.move(id, fsm.MoveAbort)
	measured := func(raw *fsm.RawAnswer) fsm.Measured {
		return fsm.Measured{Rollouts: []fsm.RolloutMeasured{{Scope: dev, ID: id, Metrics: []fsm.MetricMeasured{
			{Run: late, Measurement: fsm.Measurement{Verdict: fsm.VerdictFailed}, Raw: raw}}}}}
	}
	seq, _ := n.store.State().RolloutLog().AuditHead()
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: n.term, Command: n.encode(measured(fsm.NewRawAnswer([]byte("x"))))})
	require.NoError(t, out.Err)
	now, _ := n.store.State().RolloutLog().AuditHead()
	require.Equal(t, seq, now, "it belongs to a run that is over")

	problems := fsm.Check(measured(&fsm.RawAnswer{Bytes: slices.Repeat([]byte("x"), fsm.MaxRawAnswer+1)}))
	require.ErrorContains(t, problems, "/rollouts/0/metrics/0/raw")
}
