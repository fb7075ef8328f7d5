package fsm_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// S0-21: whoever keeps the rows sees each of them, with what it wrote, also when a version came and went in one batch.
func TestTrailShowsEveryRowWithItsRecord(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	trail := n.store.Trail()
	var entries []fsm.Entry
	index := n.store.State().Index()
	for i := range 60 {
		index++
		p := n.proposal(fsm.SetEnabled{Scope: dev, Key: "a", Enabled: i%2 == 1})
		p.At, p.RequestID = start, fmt.Sprintf("r%d", i)
		entries = append(entries, fsm.Entry{Index: index, Term: 1, Data: p.Encode()})
	}
	n.store.Apply(entries)
	n.do(fsm.DeleteFlag{Scope: dev, Key: "a"})
	before := trail.State()
	seq, hash := before.AuditHead()
	<-trail.Moved()
	state, ok := trail.Ahead()
	require.True(t, ok)
	require.Len(t, state.News(), 60)
	var rows []fsm.Audit
	for _, w := range state.News() {
		seq++
		require.Equal(t, seq, w.Seq)
		require.NotEmpty(t, w.Record)
		rows = append(rows, w.Audit)
		again, err := fsm.DecodeWritten(w.Encode(nil))
		require.NoError(t, err)
		require.Equal(t, w, again)
	}
	require.NoError(t, fsm.VerifyAudit(hash, rows))
	state, ok = trail.Ahead()
	require.True(t, ok)
	require.Len(t, state.News(), 1)
	require.Nil(t, state.News()[0].Record)
	_, ok = trail.Ahead()
	require.False(t, ok)
	select {
	case <-trail.Moved():
		t.Fatal("there is nothing ahead")
	default:
	}
}
