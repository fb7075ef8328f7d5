package fsm_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func TestAStateRebornIsTheSameUnderAnotherEpoch(t *testing.T) {
	store := fsm.NewStore()
	for _, d := range readLog(t, filepath.Join("testdata", "v1.log")) {
		store.Apply([]fsm.Entry{d})
	}
	before := store.State()
	reborn := before.Reborn("other-epoch", "other-cluster")
	require.Equal(t, before.DomainHash(), reborn.DomainHash())
	require.NotEqual(t, before.FullHash(), reborn.FullHash())
	require.Equal(t, "other-epoch", reborn.Epoch())
	require.NotEqual(t, "other-epoch", before.Epoch(), "the state itself is left alone")

	var saved bytes.Buffer
	require.NoError(t, reborn.Save(&saved))
	again := fsm.NewStore()
	require.NoError(t, again.Load(&saved))
	require.Equal(t, reborn.FullHash(), again.State().FullHash())
	require.Equal(t, "other-cluster", again.State().ClusterID())
	for _, env := range fsm.DefaultEnvironments() {
		e, ok := again.State().Environment(fsm.DefaultTenant, env)
		require.True(t, ok)
		require.Equal(t, "other-epoch", e.Snapshot().Epoch())
	}
}
