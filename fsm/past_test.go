package fsm_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// answerAt is the variant that a flag served to user-1 at a revision.
func (n *node) answerAt(key string, revision uint64) string {
	n.t.Helper()
	snapshot, err := n.env().Past(key, revision)
	require.NoError(n.t, err)
	about := evaluator.Context{TargetingKey: "user-1"}
	return snapshot.Evaluate(key, &about).Variant
}

func (n *node) index() uint64 { return n.store.State().Index() }

func TestPastTellsDeclarationsAndWhatStoodBesideThem(t *testing.T) {
	n := newNode(t)
	n.put(boolean("payments", ""))
	n.do(putSegment(t, segmentOf("beta")))
	n.put(needs("checkout", "payments"))
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true})
	declared := n.index()
	n.do(fsm.Kill{Scope: dev, Key: "payments"})
	killed := n.index()
	n.do(fsm.Unkill{Scope: dev, Key: "payments"})
	back := n.index()
	n.do(fsm.SetEnabled{Scope: dev, Key: "payments"})
	disabled := n.index()

	check := func() {
		require.Equal(t, "on", n.answerAt("checkout", declared))
		require.Equal(t, "off", n.answerAt("checkout", killed), "the prerequisite was killed")
		require.Equal(t, "on", n.answerAt("checkout", back))
		require.Equal(t, "off", n.answerAt("checkout", disabled))
		_, err := n.env().Past("checkout", 1)
		require.ErrorContains(t, err, "the oldest version held is of revision")
		_, err = n.env().Past("nothing", declared)
		require.ErrorContains(t, err, "none of that key")
	}
	check()
	hash := n.store.State().FullHash()
	require.NoError(t, n.store.Load(bytes.NewReader(n.save())))
	require.Equal(t, hash, n.store.State().FullHash())
	check()
}

func TestPastIsBoundedAndSaysSo(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	early := n.index()
	for range 12 {
		n.do(fsm.Kill{Scope: dev, Key: "checkout"})
		n.do(fsm.Unkill{Scope: dev, Key: "checkout"})
	}
	_, err := n.env().Past("checkout", early)
	require.ErrorContains(t, err, "what stood beside it is held from revision")
	require.Equal(t, "off", n.answerAt("checkout", n.index()-1))
}

func TestPastOfADeletedFlagIsNotGuessed(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.do(fsm.Kill{Scope: dev, Key: "checkout"})
	killed := n.index()
	n.do(fsm.DeleteFlag{Scope: dev, Key: "checkout"})
	_, err := n.env().Past("checkout", killed)
	require.ErrorContains(t, err, "deleted since")
	_, err = n.env().Past("checkout", n.index())
	require.ErrorContains(t, err, "it was deleted then")
	n.put(boolean("checkout", ""))
	_, err = n.env().Past("checkout", killed)
	require.ErrorContains(t, err, "deleted since")
	require.Equal(t, "on", n.answerAt("checkout", n.index()))
}

// A flag that was killed once and is deleted later leaves nothing behind: its past went uncounted into saved states, which
// then did not load.
func TestADeletedFlagTakesItsPastAlong(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	n.do(fsm.Kill{Scope: dev, Key: "a"})
	n.do(fsm.Unkill{Scope: dev, Key: "a"})
	n.do(fsm.DeleteFlag{Scope: dev, Key: "a"})
	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())))
	n.put(boolean("a", ""))
	restored.Apply(n.log[len(n.log)-1:])
	sameState(t, n.store.State(), restored.State())
}
