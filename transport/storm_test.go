package transport_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// restarted is the node as its data makes it again.
func (n *node) restarted(t *testing.T) *node {
	t.Helper()
	var kept bytes.Buffer
	require.NoError(t, n.store.State().Save(&kept))
	again := &node{store: fsm.NewStore(), index: n.index}
	require.NoError(t, again.store.Load(&kept))
	return again
}

// Whoever has a position gets a difference from a server that was restarted, with what was removed before.
func TestARestartCostsFollowersNoSnapshot(t *testing.T) {
	old := golden(t)
	start := old.store.State().Index()
	old.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false})
	old.write(t, fsm.DeleteFlag{Scope: dev, Key: "legacy"})
	middle := old.store.State().Index()
	n := old.restarted(t)
	web, _ := serve(t, n)
	newest := n.write(t, fsm.SetEnabled{Scope: dev, Key: "banner", Enabled: false}).Revision
	first := func(revision uint64) *hoistv1.FollowResponse {
		f := follow(t, web.Client(), web.URL, &hoistv1.FollowRequest{Epoch: testEpoch, Revision: revision})
		defer f.close()
		return f.next()
	}
	d := first(middle).GetDifference()
	require.Equal(t, middle, d.GetFrom())
	require.Equal(t, newest, d.GetTo())
	require.Len(t, d.GetUpserts(), 1)
	require.Empty(t, d.GetRemovals())

	d = first(start).GetDifference()
	require.Len(t, d.GetUpserts(), 2)
	require.Len(t, d.GetRemovals(), 1)
	require.Equal(t, "legacy", d.GetRemovals()[0].GetKey(), "it was told to a server that is gone")
	require.Equal(t, newest, first(newest).GetProgress().GetRevision(), "nothing to tell")
}
