package clustertest_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
)

// Protocol timers only: there is no disk or network cost in a bubble, and so nothing that differs between machines.
func TestFailoverTakesLessThanAPersonNotices(t *testing.T) {
	const rounds = 60 // fewer say nothing about a median
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		c.WaitLeader()
		took := make([]time.Duration, 0, rounds)
		for i := range rounds {
			c.WaitQuiet()
			time.Sleep(2 * time.Second)
			leader := c.WaitLeader()
			c.Isolate(leader)
			start := time.Now()
			_, err := others(c, leader)[i%2].Node().Propose(within(t, 10*time.Second), put(t, fmt.Sprint("f", i)))
			require.NoError(t, err)
			took = append(took, time.Since(start))
			c.Network.Heal()
		}
		slices.Sort(took)
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		t.Logf("leader cut off to next committed write: p50 %v, p99 %v", p50, p99)
		require.LessOrEqual(t, p50, 700*time.Millisecond)
		require.LessOrEqual(t, p99, 1200*time.Millisecond)
	})
}
