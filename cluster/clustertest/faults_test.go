package clustertest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

// kind is the kind of an error of the law, or empty.
func kind(err error) fsm.Kind {
	var e *fsm.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// within gives a call its deadline.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func others(c *clustertest.Cluster, m *clustertest.Member) (rest []*clustertest.Member) {
	for _, o := range c.Members() {
		if o != m {
			rest = append(rest, o)
		}
	}
	return rest
}

func TestANodeAloneServesItsLastStateAndRefusesWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{SnapshotThreshold: 50, TrailingLogs: 10, Logger: talk()})
		leader := c.WaitLeader()
		for i := range 130 {
			_, err := leader.Node().Propose(t.Context(), put(t, "k"+string(rune('a'+i%26))+string(rune('a'+i/26))))
			require.NoError(t, err)
		}
		c.WaitQuiet()
		time.Sleep(3 * time.Second) // the applied index is written once a second
		before := leader.State()
		for _, m := range c.Members() {
			c.Crash(m)
		}
		time.Sleep(time.Minute)
		c.Restart(leader)
		require.Equal(t, before.Index(), leader.State().Index(), "served before anybody leads")
		require.Equal(t, before.FullHash(), leader.State().FullHash())
		require.GreaterOrEqual(t, leader.Node().Age(), time.Minute)
		start := time.Now()
		_, err := leader.Node().Propose(within(t, 10*time.Second), put(t, "late"))
		require.Equal(t, fsm.KindNoQuorum, kind(err), "%v", err)
		require.ErrorContains(t, err, "evaluations keep working")
		require.LessOrEqual(t, time.Since(start), 1400*time.Millisecond, "one election timeout and a second")
		for _, m := range others(c, leader) {
			c.Restart(m)
		}
		c.WaitLeader()
		_, err = leader.Node().Propose(t.Context(), put(t, "late"))
		require.NoError(t, err)
	})
}

func TestOfTwoWritersWithOneExpectedRevisionExactlyOneWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		c.WaitLeader()
		first, err := c.Member(0).Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		errs := make([]error, 2)
		var writers sync.WaitGroup
		for i := range errs {
			p := proposal(t, fsm.SetEnabled{Scope: dev, Key: "a", Enabled: true})
			p.ExpectedRevision = &first.Object
			writers.Go(func() { _, errs[i] = c.Member(i+1).Node().Propose(t.Context(), p) })
		}
		writers.Wait()
		lost := 0
		for i, err := range errs {
			if err == nil {
				continue
			}
			lost++
			var e *fsm.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, fsm.KindConflict, e.Kind)
			require.Greater(t, e.Revision, first.Object, "the error names the current revision")
			require.GreaterOrEqual(t, c.Member(i+1).State().Index(), e.Revision, "and the node asked shows it")
		}
		require.Equal(t, 1, lost)
	})
}

func TestARetryAfterAnUnknownOutcomeHasOneEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		asked := others(c, leader)[0]
		p := put(t, "once")
		// The question arrives, the answer does not: the leader commits, the follower cannot know.
		c.Network.Set(leader.Name, asked.Name, clustertest.Fault{Cut: true})
		_, err := asked.Node().Propose(within(t, 200*time.Millisecond), p)
		require.Equal(t, fsm.KindUnknownOutcome, kind(err), "%v", err)
		c.Network.Heal()
		c.WaitLeader()
		receipt, err := asked.Node().Propose(t.Context(), p)
		require.NoError(t, err)
		require.True(t, receipt.Replayed)
		again, err := others(c, asked)[0].Node().Propose(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, receipt.Revision, again.Revision)
		f, _ := asked.State().Environment(dev.Tenant, dev.Environment)
		require.Len(t, f.History(fsm.ObjectFlag, "once"), 1)
	})
}

func TestAFrozenLeaderDoesNotHoldItsCallersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		c.WaitQuiet()
		asked := others(c, leader)[0]
		c.Isolate(leader)
		start := time.Now()
		_, err := asked.Node().Propose(within(t, 10*time.Second), put(t, "a"))
		require.NoError(t, err, "repeated under the same request id at the next leader")
		require.Less(t, time.Since(start), 2*time.Second)
	})
}

func TestAGracefulStopHandsLeadershipOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		c.WaitQuiet()
		rest := others(c, leader)
		done := make(chan struct{})
		go func() { defer close(done); c.Stop(leader) }()
		time.Sleep(time.Millisecond)
		start := time.Now()
		_, err := rest[0].Node().Propose(within(t, 5*time.Second), put(t, "a"))
		require.NoError(t, err)
		require.Less(t, time.Since(start), 200*time.Millisecond, "an election would take longer")
		<-done
		for _, m := range rest {
			require.Len(t, m.Node().Status().Members, 3, "a stopped node stays a member")
		}
		c.Restart(leader)
		c.WaitQuiet()
	})
}

func TestAnIsolatedLeaderConfirmsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		c.Isolate(leader)
		_, err := leader.Node().ReadIndex(within(t, 5*time.Second))
		require.Equal(t, fsm.KindNoQuorum, kind(err), "%v", err)
		rest := others(c, leader)
		receipt, err := rest[0].Node().Propose(within(t, 5*time.Second), put(t, "a"))
		require.NoError(t, err)
		index, err := rest[1].Node().ReadIndex(within(t, 5*time.Second))
		require.NoError(t, err)
		require.GreaterOrEqual(t, index, receipt.Revision)
		require.True(t, has(rest[1].State(), "a"))
		require.False(t, has(leader.State(), "a"))
		require.Greater(t, leader.Node().Age(), rest[1].Node().Age())
	})
}

func TestAHungDiskEndsTheProcessAndAnotherLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{Logger: talk()})
		leader := c.WaitLeader()
		c.WaitQuiet()
		leader.Disk.Hang()
		start := time.Now()
		_, err := others(c, leader)[0].Node().Propose(within(t, 10*time.Second), put(t, "a"))
		require.NoError(t, err)
		require.Less(t, time.Since(start), 4*time.Second)
		var exit *cluster.ExitError
		require.ErrorAs(t, ending(t, leader), &exit)
		require.Equal(t, cluster.ExitDisk, exit.Code)
		require.ErrorContains(t, exit, "the disk hangs")
		c.Crash(leader)
		c.Restart(leader)
		c.WaitQuiet()
	})
}

// Raft lets a leader that cannot write step down. It would be elected again, though, and as a follower it would ask for the
// same entries for ever; and a term that cannot be written would make raft panic.
func TestALeaderWhoseDiskFailsIsReplaced(t *testing.T) {
	for name, fail := range map[string]func(*clustertest.Disk, error){"entries": (*clustertest.Disk).Fail, "terms too": (*clustertest.Disk).FailAll} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.Start(t, clustertest.Options{Logger: talk()})
				leader := c.WaitLeader()
				c.WaitQuiet()
				fail(leader.Disk, errors.New("input/output error"))
				start := time.Now()
				_, err := others(c, leader)[0].Node().Propose(within(t, 10*time.Second), put(t, "a"))
				require.NoError(t, err)
				require.Less(t, time.Since(start), 3*time.Second)
				var exit *cluster.ExitError
				require.ErrorAs(t, ending(t, leader), &exit)
				require.Equal(t, cluster.ExitDisk, exit.Code)
				require.ErrorContains(t, exit, "input/output error")
				c.Crash(leader) // as a supervisor starts it again, on another disk
				c.Restart(leader)
				c.WaitQuiet()
			})
		})
	}
}

func TestADiskThatFailsTwiceEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		c.WaitQuiet()
		broken := others(c, leader)[0]
		broken.Disk.Fail(errors.New("input/output error"))
		_, err := leader.Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err, "a majority has it")
		var exit *cluster.ExitError
		require.ErrorAs(t, ending(t, broken), &exit)
		require.Equal(t, cluster.ExitDisk, exit.Code)
		require.ErrorContains(t, exit, "input/output error")
	})
}

func TestALeaderWhoseWallClockJumpsKeepsItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		time.Sleep(3 * time.Second)
		leader.Skew(time.Hour, 0)
		_, err := leader.Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		require.InDelta(t, time.Now().UnixMilli(), leader.State().Now(), 100, "a jump inside a term changes nothing")

		time.Sleep(3 * time.Second) // the others are measured against the new clock
		other := others(c, leader)[0]
		require.NoError(t, leader.Node().Transfer(t.Context(), other.Name))
		c.Wait("the transfer", 5*time.Second, func() bool { return c.Leader() == other })
		require.NoError(t, other.Node().Transfer(t.Context(), leader.Name))
		c.Wait("the transfer back", 5*time.Second, func() bool { return c.Leader() == leader })
		_, err = leader.Node().Propose(t.Context(), put(t, "b"))
		require.NoError(t, err)
		require.InDelta(t, time.Now().UnixMilli(), leader.State().Now(), 100, "an hour off, the median of the members is believed")
	})
}

// What was heard of the others a moment ago must not make a clock that jumped since then look right.
func TestAClockThatJumpsAtTheElectionIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		time.Sleep(3 * time.Second)
		next := others(c, leader)[0]
		next.Skew(time.Hour, 0)
		require.NoError(t, leader.Node().Transfer(t.Context(), next.Name))
		c.Wait("the transfer", 5*time.Second, func() bool { return c.Leader() == next })
		_, err := next.Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		require.InDelta(t, time.Now().UnixMilli(), next.State().Now(), 100)
	})
}

func TestAKillSwitchThrownIntoTheQuietSurvivesACrashOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Options{})
		leader := c.WaitLeader()
		_, err := leader.Node().Propose(t.Context(), put(t, "a"))
		require.NoError(t, err)
		time.Sleep(5*time.Second + 300*time.Millisecond)
		receipt, err := leader.Node().Propose(t.Context(), proposal(t, fsm.Kill{Scope: dev, Key: "a"}))
		require.NoError(t, err)
		c.WaitQuiet()
		time.Sleep(20 * time.Millisecond)
		for _, m := range c.Members() {
			c.Crash(m)
		}
		for _, m := range c.Members() {
			c.Restart(m)
			require.GreaterOrEqual(t, m.State().Index(), receipt.Revision, "%s serves what it served, before anybody leads", m.Name)
			c.Crash(m)
		}
	})
}
