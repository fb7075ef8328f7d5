package fsm_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/fsm"
)

// A node that was just restored remembers no flag, one that runs remembers those changed last. Both come to the same.
func TestWhatANodeRemembersOfFlagsChangesNoResult(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t)
		drawLog(rt, n, 12)
		for range 8 {
			forgetful := fsm.NewStore()
			require.NoError(rt, forgetful.Load(bytes.NewReader(n.save())))
			before := len(n.log)
			drawLog(rt, n, 1)
			forgetful.Apply(n.log[before:])
			sameState(rt, n.store.State(), forgetful.State())
		}
	})
}

func TestDecodeGivesTheStoredFlag(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", `,"tags":["z","b"],"owner":"x"`))
	for i := range 4 {
		n.do(fsm.SetEnabled{Scope: dev, Key: "a", Enabled: i%2 == 0})
		record, ok := n.env().Flag("a")
		require.True(t, ok)
		require.Equal(t, record.Flag(), n.store.State().Decode(record))
	}
}

// A held change is tried when it comes. The trial must leave alone what the entries of its batch share.
func TestATrialWithinABatchLeavesNoTrace(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), boolean("b", ""))
	var entries []fsm.Entry
	for i, c := range []fsm.Command{
		fsm.SetEnabled{Scope: dev, Key: "b", Enabled: false},
		fsm.SetEnabled{Scope: dev, Key: "b", Enabled: true},
		fsm.OpenChange{Scope: dev, Title: "a goes off", Commands: []fsm.Command{fsm.SetEnabled{Scope: dev, Key: "a", Enabled: false}}},
	} {
		p := n.proposal(c)
		p.At = n.now
		entries = append(entries, fsm.Entry{Index: n.store.State().Index() + 1 + uint64(i), Term: 1, Data: p.Encode()})
	}
	record, served := recordOf(t, n, "a")
	for _, out := range n.store.Apply(entries) {
		require.NoError(t, out.Err)
		require.True(t, out.Receipt.Changed)
	}
	after, servedAfter := recordOf(t, n, "a")
	require.Equal(t, record, after)
	require.Equal(t, served, servedAfter)
}

func recordOf(t *testing.T, n *node, key string) (declared, served string) {
	record, ok := n.env().Flag(key)
	require.True(t, ok)
	compiled, _, ok := n.env().Snapshot().Flag(key)
	require.True(t, ok)
	return string(record.Record), string(compiled.Record())
}
