package clustertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

// place is what a member is in the eyes of another.
func place(of, by *clustertest.Member) string {
	for _, m := range by.Node().Status().Members {
		if m.Name == of.Name && m.Role != "gossip-only" {
			return m.Role
		}
	}
	return ""
}

func TestANewcomerListensFirstAndVotesWhenItHasCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk(), PromoteAfter: 5 * time.Second, SnapshotThreshold: 50, TrailingLogs: 10})
		leader := c.WaitLeader()
		for i := range 120 {
			_, err := leader.Node().Propose(t.Context(), put(t, "k"+string(rune('a'+i%26))+string(rune('a'+i/26))))
			require.NoError(t, err)
		}
		time.Sleep(20 * time.Second) // the log is cut: the newcomer needs a snapshot
		m := c.Join()
		c.Wait("the newcomer listens", 10*time.Second, func() bool { return place(m, leader) == "non-voter" })
		c.WaitQuiet()
		require.Equal(t, "non-voter", m.Node().Status().Role)
		c.Wait("the newcomer votes", 20*time.Second, func() bool { return place(m, leader) == "voter" })
		c.WaitQuiet()
		require.Equal(t, leader.State().FullHash(), m.State().FullHash())
		require.Equal(t, leader.Node().Status().ClusterID, m.Node().Status().ClusterID)
		_, err := m.Node().Propose(t.Context(), put(t, "by the newcomer"[:2]))
		require.NoError(t, err)
	})
}

func TestRemovalIsRefusedWithTheArithmetic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		time.Sleep(3 * time.Second)
		rest := others(c, leader)
		c.Crash(rest[0])
		time.Sleep(5 * time.Second)
		err := leader.Node().Remove(t.Context(), rest[1].Name, false)
		require.Equal(t, fsm.KindInvalid, kind(err), "%v", err)
		require.ErrorContains(t, err, "2 voters remain, their quorum is 2, and 1 of them are healthy")
		require.NoError(t, rest[1].Node().Remove(t.Context(), rest[0].Name, false), "the dead one may go, whoever is asked")
		require.Empty(t, place(rest[0], leader))
	})
}

func TestARemovedServerEndsAndStaysAway(t *testing.T) {
	for name, down := range map[string]bool{"while it runs": false, "while it is down": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.Start(t, clustertest.Options{Logger: talk()})
				leader := c.WaitLeader()
				time.Sleep(3 * time.Second)
				gone := others(c, leader)[0]
				if down {
					c.Stop(gone)
				}
				require.NoError(t, leader.Node().Remove(t.Context(), gone.Name, false))
				if down {
					time.Sleep(10 * time.Second)
					c.Restart(gone)
				}
				var exit *cluster.ExitError
				require.ErrorAs(t, ending(t, gone), &exit)
				require.Equal(t, cluster.ExitRemoved, exit.Code)
				c.Stop(gone)
				require.ErrorAs(t, c.TryStart(gone, 0, nil), &exit)
				require.Equal(t, cluster.ExitRemoved, exit.Code)
				require.ErrorContains(t, exit, "empty data directory")
				_, err := leader.Node().Propose(t.Context(), put(t, "a"))
				require.NoError(t, err)
			})
		})
	}
}

func TestALeaderCanBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		time.Sleep(3 * time.Second)
		require.NoError(t, leader.Node().Remove(within(t, 10*time.Second), leader.Name, false))
		var exit *cluster.ExitError
		require.ErrorAs(t, ending(t, leader), &exit)
		require.Equal(t, cluster.ExitRemoved, exit.Code)
		_, err := others(c, leader)[0].Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
	})
}

func TestAllNewAddressesHealUnaided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		receipt, err := leader.Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		c.WaitQuiet()
		for _, m := range c.Members() {
			c.Crash(m)
		}
		for _, m := range c.Members() {
			c.Move(m)
		}
		for _, m := range c.Members() {
			c.Restart(m)
		}
		start := time.Now()
		_, err = c.Member(1).Node().Propose(within(t, 30*time.Second), put(t, "b"))
		for kind(err) == fsm.KindNoQuorum && time.Since(start) < 30*time.Second {
			_, err = c.Member(1).Node().Propose(within(t, 30*time.Second), put(t, "b"))
		}
		require.NoError(t, err)
		require.Less(t, time.Since(start), 30*time.Second)
		require.GreaterOrEqual(t, c.Member(1).State().Index(), receipt.Revision)
		c.Wait("the configuration to name the new addresses", 30*time.Second, func() bool {
			for _, m := range c.WaitLeader().Node().Status().Members {
				if m.PeerAddr != m.Name+".1:7701" {
					return false
				}
			}
			return true
		})
	})
}

func TestTwoClustersNeverMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Nodes: 1})
		c.WaitLeader()
		stranger := c.Add()
		require.NoError(t, c.TryStart(stranger, 1, nil))
		c.Wait("the second cluster", 10*time.Second, func() bool { return stranger.Node().Status().ClusterID != "" })
		first := c.Member(0).Node().Status().ClusterID
		second := stranger.Node().Status().ClusterID
		require.NotEqual(t, first, second)
		time.Sleep(2 * time.Second)
		err := stranger.Node().Join(within(t, 5*time.Second), c.Seeds()[:1])
		require.ErrorContains(t, err, "two clusters never merge")
		time.Sleep(30 * time.Second)
		for _, m := range c.Members() {
			require.Len(t, m.Node().Status().Members, 1)
		}
	})
}

func TestFoundersWhoExpectDifferentNumbersSaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Nodes: 2})
		odd := c.Add()
		require.NoError(t, c.TryStart(odd, 5, c.Seeds()))
		err := ending(t, odd)
		require.ErrorContains(t, err, "bootstrap-expect is 5 here and 2 on")
	})
}

func TestAnEmptyDiskJoinsUnderANewID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		c.WaitQuiet()
		time.Sleep(3 * time.Second)
		lost := others(c, leader)[0]
		old := lost.Node().Status().NodeID
		c.Crash(lost)
		lost.Disk = clustertest.NewDisk()
		time.Sleep(5 * time.Second)
		require.NoError(t, c.TryStart(lost, 3, c.Seeds()), "bootstrap-expect is still in its unit file")
		c.Wait("it votes again", 60*time.Second, func() bool { return place(lost, leader) == "voter" })
		require.NotEqual(t, old, lost.Node().Status().NodeID)
		c.WaitQuiet()
		for _, m := range leader.Node().Status().Members {
			require.False(t, m.ID == old && m.Role != "gossip-only", "the server that had its address is replaced")
		}
	})
}

func TestARestartWithoutJoinRemembersTheMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		c.WaitQuiet()
		time.Sleep(5 * time.Second)
		m := others(c, leader)[0]
		c.Stop(m)
		c.Move(m) // nobody can find it unless it finds them
		require.NoError(t, c.TryStart(m, 0, nil))
		c.Wait("its new address is known", 30*time.Second, func() bool {
			for _, s := range leader.Node().Status().Members {
				if s.Name == m.Name && s.PeerAddr == m.Name+".1:7701" {
					return true
				}
			}
			return false
		})
		c.WaitQuiet()
	})
}
