package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/fsm"
)

// What one environment holds is carried to another: nothing differs afterwards, and a second Diff is empty.
func TestApplyingADiffGivesTheTarget(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source, target := newNode(t), newNode(t)
		drawLog(rt, source, 25)
		drawLog(rt, target, 25)
		target.do(fsm.KillRollouts{Scope: dev}) // a rollout keeps its seat from others
		to := source.env().Content()
		if commands := fsm.Diff(dev, target.env(), to, true); len(commands) > 0 {
			out := target.apply(target.proposal(fsm.Batch{Scope: dev, Commands: commands}))
			require.NoError(rt, out.Err)
			require.True(rt, out.Receipt.Changed)
		}
		require.Empty(rt, fsm.Diff(dev, target.env(), to, true))
		require.Equal(rt, source.env().DeclaredHash(), target.env().DeclaredHash())
	})
}

// Into an empty environment, and from one that only grows, the order is good one by one.
func TestDiffIsSafeOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source, target := newNode(t), newNode(t)
		drawLog(rt, source, 25)
		for _, c := range fsm.Diff(dev, nil, source.env().Content(), false) {
			require.NoError(rt, target.apply(target.proposal(c)).Err)
		}
		require.Equal(rt, source.env().DeclaredHash(), target.env().DeclaredHash())
		for _, c := range fsm.Diff(dev, target.env(), fsm.Content{}, true) {
			require.NoError(rt, target.apply(target.proposal(c)).Err)
		}
		require.Zero(rt, target.env().Snapshot().Len())
	})
}

func TestDiffOfWhatSaltsAndRangesAreLeftOpenIsEmpty(t *testing.T) {
	n := newNode(t)
	open := `{"key":"checkout","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],
		"default":{"split":{"weights":[{"variant":"on","weight":20000},{"variant":"off","weight":80000}]}}}`
	n.put(open)
	require.Empty(t, fsm.Diff(dev, n.env(), fsm.Content{Flags: n.env().Content().Flags}, true))
	to := fsm.Content{}
	to.Flags = append(to.Flags, decodeFlag(t, open))
	require.Empty(t, fsm.Diff(dev, n.env(), to, true))
	to.Flags[0].Enabled = true
	require.Equal(t, []fsm.Command{fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true}}, fsm.Diff(dev, n.env(), to, true))
}

func TestDiffPutsThoseWhoLeaveBeforeWhatTheyLeave(t *testing.T) {
	n := newNode(t)
	n.put(boolean("api", ""), needs("checkout", "api")) // by key alone the order would be wrong
	to := fsm.Content{}
	to.Flags = append(to.Flags, decodeFlag(t, boolean("api", `,"archived":true`)), decodeFlag(t, boolean("checkout", "")))
	for _, c := range fsm.Diff(dev, n.env(), to, true) {
		n.do(c)
	}
	require.Empty(t, fsm.Diff(dev, n.env(), to, true))

	n.do(fsm.SetArchived{Scope: dev, Key: "api"})
	n.put(needs("checkout", "api"))
	for _, c := range fsm.Diff(dev, n.env(), fsm.Content{}, true) { // those who name go before what they name
		n.do(c)
	}
	n.put(boolean("cart", ""))
	to.Flags = nil
	to.Flags = append(to.Flags, decodeFlag(t, boolean("Cart", "")))
	for _, c := range fsm.Diff(dev, n.env(), to, true) {
		n.do(c)
	}
	require.Empty(t, fsm.Diff(dev, n.env(), to, true))
}

func TestDiffWithoutPruneDeletesNothing(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	require.Empty(t, fsm.Diff(dev, n.env(), fsm.Content{}, false))
}
