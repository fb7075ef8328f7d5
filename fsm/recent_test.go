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
