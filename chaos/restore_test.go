package chaos_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

// An operator restores a backup while clients write, read and follow, and while one node is down. There are two histories
// then, one for each epoch, and nothing of the first may be served as the second.
func TestARestoreUnderLoadPartsTheEpochs(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var x *restored
			synctest.Test(t, func(t *testing.T) { x = restoreUnderLoad(t, seed+1) })
			x.judge(t)
		})
	}
}

// restored is what a restore under load leaves behind.
type restored struct {
	h          *chaos.History
	old, epoch string
	kept       uint64           // revision of the backup
	shown      map[shown]string // digests of what nodes showed
}

type shown struct {
	epoch, environment string
	revision           uint64
}

func restoreUnderLoad(t *testing.T, seed uint64) *restored {
	x := &restored{h: chaos.NewHistory(time.Now()), shown: map[shown]string{}}
	w := chaos.NewVirtual(t, x.h, clustertest.Options{Nodes: 3, Seed: seed})
	defer w.Close()
	w.Cluster().WaitLeader()
	stop := chaos.Load{World: w, History: x.h, Seed: seed, Pause: 100 * time.Millisecond, Follow: 2}.Start(context.Background())
	x.watch(w, 5*time.Second)
	manifest, backup, err := w.Cluster().WaitLeader().Node().Backup()
	require.NoError(t, err)
	x.old, x.kept = manifest.Epoch, manifest.Revision
	x.watch(w, 5*time.Second)

	down := w.Cluster().Up()[0]
	if down == w.Cluster().WaitLeader() {
		down = w.Cluster().Up()[1]
	}
	require.NoError(t, w.Crash(down.Name))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the one that is down is not waited for longer
	defer cancel()
	r, err := w.Cluster().WaitLeader().Node().Restore(ctx, backup)
	require.NoError(t, err)
	x.epoch = r.Epoch
	x.watch(w, time.Second)
	require.NoError(t, w.Restart(down.Name))
	x.watch(w, 10*time.Second)
	stop()
	require.Empty(t, chaos.Settle(w, x.h))
	require.Empty(t, w.Unlawful())
	full := map[string]bool{}
	for _, n := range w.Dump().Nodes {
		require.Equal(t, x.epoch, n.Epoch, n.Node)
		full[n.Full] = true
	}
	require.Len(t, full, 1, "the nodes differ")
	return x
}

// watch looks at every node for a while.
func (x *restored) watch(w *chaos.Virtual, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, m := range w.Cluster().Up() {
			_, store := m.Running()
			if store == nil {
				continue
			}
			s := store.State()
			for _, environment := range []string{chaos.Registers, chaos.Rollouts, chaos.Production} {
				if env, ok := s.Environment(fsm.DefaultTenant, environment); ok {
					x.shown[shown{s.Epoch(), environment, s.Index()}] = chaos.Digest(env.Snapshot())
				}
			}
		}
	}
}

func (x *restored) judge(t *testing.T) {
	followers := map[int]string{}
	compared := 0
	for _, f := range x.h.Frames() {
		require.Contains(t, []string{x.old, x.epoch}, f.Epoch)
		if followers[f.Client] == x.epoch {
			require.Equal(t, x.epoch, f.Epoch, "follower %d goes back into the old epoch", f.Client)
		}
		followers[f.Client] = f.Epoch
		if digest, ok := x.shown[shown{f.Epoch, f.Environment, f.Revision}]; ok && f.Epoch == x.epoch {
			compared++
			require.Equal(t, digest, f.Digest, "follower %d holds something else at revision %d of the new epoch than the nodes", f.Client, f.Revision)
		}
	}
	require.Len(t, followers, 6)
	for client, epoch := range followers {
		require.Equal(t, x.epoch, epoch, "follower %d never came over", client)
	}
	require.Greater(t, compared, 20, "too little was compared")
	x.judgeReads(t)
}

// judgeReads: what was written after the backup is gone with its epoch, unless it was written again.
func (x *restored) judgeReads(t *testing.T) {
	lost := map[string]bool{}
	again := map[string]bool{}
	for _, op := range x.h.Ops() {
		if op.Input.Kind != chaos.Put && op.Input.Kind != chaos.CAS {
			continue
		}
		if op.Outcome == chaos.OK && op.Epoch == x.old && op.Revision > x.kept {
			lost[op.Input.Value] = true
		} else if op.Outcome != chaos.Fail {
			again[op.Input.Value] = true
		}
	}
	came := map[string]bool{} // node by client: it showed the new epoch
	reads := 0
	for _, op := range x.h.Ops() {
		if !op.Input.Kind.Reads() || op.Outcome != chaos.OK {
			continue
		}
		view := strings.Join([]string{op.Node, fmt.Sprint(op.Client)}, "/")
		if op.Epoch != x.epoch {
			require.False(t, came[view] && op.Input.Kind == chaos.Read, "a linearizable read on %s goes back into the old epoch", op.Node)
			continue
		}
		came[view] = true
		reads++
		require.False(t, lost[op.Result.Value] && !again[op.Result.Value], "%s serves %q in the new epoch, which only the old one had", op.Node, op.Result.Value)
	}
	require.NotEmpty(t, lost)
	require.Greater(t, reads, 20)
}
