package clustertest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

const almostFull = clustertest.DiskSize / 100 * 3

func TestALeaderWhoseDiskFillsUpHandsLeadershipOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		c.WaitQuiet()
		time.Sleep(5 * time.Second)
		require.NotZero(t, leader.Disk.Ballast(), "made while there is space")
		leader.Disk.SetFree(almostFull)
		start := time.Now()
		c.Wait("another leader", 3*time.Second, func() bool { l := c.Leader(); return l != nil && l != leader })
		_, err := leader.Node().Propose(within(t, 10*time.Second), put(t, "a"))
		require.NoError(t, err, "through the full node too: the leader has space")
		require.Less(t, time.Since(start), 3*time.Second)
		time.Sleep(20 * time.Second)
		require.NotEqual(t, leader, c.Leader(), "nor does it lead again")
		require.Empty(t, leader.Node().Fatal())

		leader.Disk.SetFree(clustertest.DiskSize / 2)
		time.Sleep(3 * time.Second)
		require.NoError(t, c.Leader().Node().Transfer(within(t, 10*time.Second), leader.Name))
		c.Wait("it leads again", 5*time.Second, func() bool { return c.Leader() == leader })
		_, err = leader.Node().Propose(within(t, 10*time.Second), put(t, "b"))
		require.NoError(t, err)
	})
}

func TestANodeWithAFullDiskShortensItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk(), SnapshotThreshold: 10_000, TrailingLogs: 10_000})
		leader := c.WaitLeader()
		for i := range 600 {
			_, err := leader.Node().Propose(within(t, 10*time.Second), put(t, fmt.Sprint("k", i)))
			require.NoError(t, err)
		}
		c.WaitQuiet()
		length := func(m *clustertest.Member) uint64 {
			entries, err := m.Disk.Length()
			require.NoError(t, err)
			return entries
		}
		full, spared := others(c, leader)[0], others(c, leader)[1]
		require.Greater(t, length(full), uint64(600))
		full.Disk.SetFree(almostFull)
		c.Wait("a shorter log", 10*time.Second, func() bool { return length(full) < 300 })
		require.Greater(t, length(spared), uint64(600), "only there")
		c.WaitQuiet()
	})
}

func TestWritesAreRefusedWhileNoVoterHasSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		c.WaitLeader()
		c.WaitQuiet()
		for _, m := range c.Members() {
			m.Disk.SetFree(almostFull)
		}
		time.Sleep(5 * time.Second)
		before := c.WaitLeader().State()
		for _, m := range c.Members() {
			_, err := m.Node().Propose(within(t, 10*time.Second), put(t, "a"))
			require.Equal(t, fsm.KindReadOnlyDisk, kind(err), "%v", err)
			require.ErrorContains(t, err, "evaluations keep working")
		}
		require.Equal(t, before.DomainHash(), c.Leader().State().DomainHash())
		for _, m := range c.Members() {
			m.Disk.SetFree(clustertest.DiskSize / 2)
		}
		time.Sleep(3 * time.Second)
		_, err := c.Member(0).Node().Propose(within(t, 10*time.Second), put(t, "a"))
		require.NoError(t, err, "no restart is needed")
	})
}

// Even the ballast is used up: nothing can be written, not even a vote. Nobody ends, and all is well when space is back.
func TestADiskWithoutAnySpaceIsWaitedFor(t *testing.T) {
	for name, victims := range map[string]int{"one node": 1, "all nodes": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.Start(t, clustertest.Options{Logger: talk()})
				leader := c.WaitLeader()
				c.WaitQuiet()
				full := append([]*clustertest.Member{leader}, others(c, leader)...)[:victims]
				time.Sleep(5 * time.Second)
				stop := make(chan struct{})
				go func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(10 * time.Millisecond): // something else on the disk takes whatever becomes free
							for _, m := range full {
								m.Disk.SetFree(0)
							}
						}
					}
				}()
				for i := range 3 { // the ballast gives room for a moment
					_, _ = full[0].Node().Propose(within(t, 5*time.Second), put(t, fmt.Sprint("first", i)))
					time.Sleep(time.Second)
				}
				for i := range 5 {
					_, err := others(c, leader)[i%2].Node().Propose(within(t, 5*time.Second), put(t, fmt.Sprint("k", i)))
					if victims == 1 {
						require.NoError(t, err, "the others have space")
					} else {
						require.Error(t, err)
					}
				}
				time.Sleep(30 * time.Second)
				close(stop)
				time.Sleep(time.Second)
				if victims == 1 {
					require.Zero(t, leader.Disk.Ballast(), "it was given up")
				}
				for _, m := range full {
					require.Empty(t, m.Node().Fatal(), "a full disk ends no process")
					m.Disk.SetFree(clustertest.DiskSize / 2)
				}
				c.Wait("writes go on", 10*time.Second, func() bool {
					_, err := full[0].Node().Propose(within(t, 5*time.Second), put(t, "again"))
					return err == nil
				})
				c.WaitQuiet()
				time.Sleep(3 * time.Second)
				for _, m := range full {
					require.NotZero(t, m.Disk.Ballast(), "there is ballast again")
				}
			})
		})
	}
}
