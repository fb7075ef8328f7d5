package clustertest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
)

// Raft pauses for up to ten seconds before it tries again to reach a member that was away, and a write through that
// member would wait for it. Time is virtual here: what is measured are timers and nothing else.
func TestAMemberThatComesBackTakesWritesAtOnce(t *testing.T) {
	for name, away := range map[string]time.Duration{"after a restart": 400 * time.Millisecond, "after a while": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.Start(t, clustertest.Options{})
				leader := c.WaitLeader()
				c.WaitQuiet()
				member := others(c, leader)[0]
				c.Stop(member)
				for i := range 10 {
					_, err := leader.Node().Propose(within(t, 10*time.Second), put(t, fmt.Sprint("f", i)))
					require.NoError(t, err)
					time.Sleep(away / 10)
				}
				c.Restart(member)
				back := time.Now()
				_, err := member.Node().Propose(within(t, 10*time.Second), put(t, "back"))
				require.NoError(t, err)
				require.True(t, has(member.State(), "f9"))
				t.Logf("the first write through it took %v", time.Since(back))
				require.Less(t, time.Since(back), 50*time.Millisecond)
			})
		})
	}
}
