package clustertest_test

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
)

// A leader that was cut off keeps a tail that nobody else has. When the others have cut their logs meanwhile, it is sent
// a snapshot that ends before that tail, and raft alone would refuse what follows the snapshot for ever.
func TestAFollowerWhoseLogPartedStartsItsRaftAnewAndCatchesUp(t *testing.T) {
	for name, length := range map[string]int{"its tail is longer than the others' news": 300, "its tail is short": 20} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tape := clustertest.NewTape()
				c := clustertest.Start(t, clustertest.Options{Logger: talk(), SnapshotThreshold: 50, TrailingLogs: 5, Tape: tape})
				leader := c.WaitLeader()
				c.WaitQuiet()
				c.Isolate(leader)
				var clients sync.WaitGroup
				for i := range length {
					clients.Go(func() { _, _ = leader.Node().Propose(within(t, 3*time.Second), put(t, fmt.Sprint("lost-", i))) })
				}
				clients.Wait() // appended there, and refused or unknown
				rest := others(c, leader)
				for i := range 120 {
					_, err := rest[0].Node().Propose(within(t, 10*time.Second), put(t, fmt.Sprint("kept-", i)))
					require.NoError(t, err)
				}
				time.Sleep(20 * time.Second) // the others have snapshots and short logs by now
				require.Less(t, leader.State().Index(), rest[0].State().Index())

				c.Network.Heal()
				receipt, err := rest[0].Node().Propose(within(t, 10*time.Second), put(t, "after"))
				require.NoError(t, err)
				c.Wait("the follower catches up", 10*time.Second, func() bool { return leader.State().Index() >= receipt.Revision })
				require.Empty(t, leader.Node().Fatal(), "the process goes on")
				require.Len(t, tape.Installs(leader.Name), 1, "it is cured before the leader could send the same snapshot again")
				require.True(t, has(leader.State(), "after"))
				require.False(t, has(leader.State(), "lost-1"))
				c.WaitQuiet()
				require.Equal(t, rest[0].State().FullHash(), leader.State().FullHash())

				// It is a full member again: it can lead, and its log holds what it says.
				require.NoError(t, c.Leader().Node().Transfer(within(t, 10*time.Second), leader.Name))
				c.Wait("it leads", 5*time.Second, func() bool { return c.Leader() == leader })
				_, err = leader.Node().Propose(within(t, 10*time.Second), put(t, "by-the-former"))
				require.NoError(t, err)
				c.WaitQuiet()
			})
		})
	}
}

// A follower whose log parted cuts its tail off, and its disk is full when it is to write what comes instead. Raft alone goes
// on believing in the tail it cut off, and refuses every entry for ever.
func TestALogThatWasCutAndNotWrittenOnStartsItsRaftAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk(), SnapshotThreshold: 10_000, TrailingLogs: 10_000})
		leader := c.WaitLeader()
		c.WaitQuiet()
		c.Isolate(leader)
		var clients sync.WaitGroup
		for i := range 20 {
			clients.Go(func() { _, _ = leader.Node().Propose(within(t, 3*time.Second), put(t, fmt.Sprint("lost-", i))) })
		}
		clients.Wait() // appended there, and refused or unknown
		rest := others(c, leader)
		for i := range 5 {
			_, err := rest[0].Node().Propose(within(t, 10*time.Second), put(t, fmt.Sprint("kept-", i)))
			require.NoError(t, err)
		}
		before, err := leader.Disk.Length()
		require.NoError(t, err)
		leader.Disk.FailAppends(syscall.ENOSPC)
		c.Network.Heal()
		c.Wait("the tail is cut off", 10*time.Second, func() bool {
			now, err := leader.Disk.Length()
			return err == nil && now < before
		})
		leader.Disk.Fail(nil)
		receipt, err := rest[0].Node().Propose(within(t, 10*time.Second), put(t, "after"))
		require.NoError(t, err)
		c.Wait("the follower catches up", 10*time.Second, func() bool { return leader.State().Index() >= receipt.Revision })
		require.Empty(t, leader.Node().Fatal(), "the process goes on")
		require.False(t, has(leader.State(), "lost-1"))
		c.WaitQuiet()
	})
}
