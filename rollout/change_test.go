package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// S1-09: the leader dies before and after it carries a scheduled change out. The change happens once, at its time.
func TestAScheduledChangeHappensOnceWhoeverLeads(t *testing.T) {
	for killAt := range 3 {
		for _, post := range []bool{false, true} {
			t.Run(fmt.Sprintf("killed at %d, after the entry: %v", killAt, post), func(t *testing.T) {
				within(t, func(w *world) {
					w.flag("f")
					opened := w.do(fsm.OpenChange{Scope: dev, Title: "off at noon", Commands: []fsm.Command{fsm.SetEnabled{Scope: dev, Key: "f"}}})
					env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
					change, ok := env.Opened(opened.Revision)
					require.True(t, ok)
					at := w.Now().Add(10 * time.Minute)
					w.do(fsm.MoveChange{Scope: dev, ID: change.ID, Move: fsm.ChangeMoveSchedule, At: at.UnixMilli()})
					w.mu.Lock()
					w.killAt, w.killPost = w.made+killAt, post
					w.mu.Unlock()
					w.after(9 * time.Minute)
					env, _ = w.store.State().Environment(dev.Tenant, dev.Environment)
					change, _ = env.Change(change.ID)
					require.Equal(t, fsm.ChangeScheduled, change.Status)
					w.after(2 * time.Minute)
					env, _ = w.store.State().Environment(dev.Tenant, dev.Environment)
					change, _ = env.Change(change.ID)
					require.Equal(t, fsm.ChangeApplied, change.Status, change.Cause)
					require.Len(t, change.Events, 3, "opened, scheduled, carried out")
					require.GreaterOrEqual(t, change.ExecutedAt, at.UnixMilli())
					f, _ := env.Flag("f")
					require.False(t, f.Flag().Enabled)
				})
			})
		}
	}
}
