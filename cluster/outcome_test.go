package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func TestWhatAnErrorOfRaftSaysAboutTheLog(t *testing.T) {
	for err, want := range map[error]verdict{
		raft.ErrNotLeader:                    notLogged,
		raft.ErrLeadershipTransferInProgress: notLogged,
		raft.ErrEnqueueTimeout:               notLogged,
		raft.ErrLeadershipLost:               unknown,
		raft.ErrRaftShutdown:                 unknown,
		errors.New("disk"):                   unknown,
	} {
		require.Equal(t, want, judge(err), "%v", err)
	}
}

func TestHowAWriteThatDidNotSettleEnds(t *testing.T) {
	n := &Node{metrics: newMetrics()}
	for name, c := range map[string]struct {
		last  attempt
		maybe bool
		want  fsm.Kind
	}{
		"an earlier attempt may have landed": {attempt{verdict: noLeader}, true, fsm.KindUnknownOutcome},
		"nobody leads":                       {attempt{verdict: noLeader}, false, fsm.KindNoQuorum},
		"the leader is out of reach":         {attempt{verdict: notLogged}, false, fsm.KindNotLeader},
		"the node is stopping":               {attempt{verdict: notLogged, err: errClosing}, false, fsm.KindNotLeader},
	} {
		t.Run(name, func(t *testing.T) {
			var e *fsm.Error
			require.ErrorAs(t, n.giveUp(c.last, c.maybe), &e)
			require.Equal(t, c.want, e.Kind)
			require.NotEmpty(t, e.Detail)
		})
	}
}

func TestTheWindowShedsWhatDoesNotFit(t *testing.T) {
	var w window
	for range windowEntries {
		require.NoError(t, w.enter(10))
	}
	var e *fsm.Error
	require.ErrorAs(t, w.enter(10), &e)
	require.Equal(t, fsm.KindOverloaded, e.Kind)
	w.leave(10)
	require.ErrorAs(t, w.enter(windowBytes), &e)
	require.NoError(t, w.enter(10))
	for range windowEntries {
		w.leave(10)
	}
	require.True(t, w.idle())
}

func TestLawIsRaisedOnlyToWhatEverybodyKnows(t *testing.T) {
	for name, c := range map[string]struct {
		current int
		known   []law
		want    int
		raised  bool
	}{
		"everybody knows the next":         {1, []law{{1, 2}, {1, 2}}, 2, true},
		"one does not":                     {1, []law{{1, 2}, {1, 1}}, 1, false},
		"it never lowers":                  {3, []law{{1, 2}, {1, 2}}, 2, false},
		"one no longer reads what is left": {1, []law{{1, 2}, {3, 4}}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			version, ok := raise(c.current, c.known)
			require.Equal(t, c.raised, ok)
			if ok {
				require.Equal(t, c.want, version)
			}
		})
	}
}

func TestTheMedianClockNeedsAMajority(t *testing.T) {
	require.Zero(t, medianOffset([]time.Duration{time.Hour}, 5))
	require.Equal(t, time.Hour, medianOffset([]time.Duration{time.Hour, time.Hour}, 3))
	require.Zero(t, medianOffset([]time.Duration{time.Hour, 0}, 3))
	require.Equal(t, -time.Hour, medianOffset([]time.Duration{-time.Hour}, 3), "of two that disagree the earlier")
	require.Zero(t, medianOffset([]time.Duration{time.Hour}, 3), "of two that disagree the earlier")
}

func TestAClockNeverStartsBeforeTheState(t *testing.T) {
	wall := time.UnixMilli(5000)
	require.GreaterOrEqual(t, newClock(wall, 0, 9000).now(), int64(9000))
	require.InDelta(t, 5000, newClock(wall, time.Second, 0).now(), 50, "a small offset is not worth a correction")
	require.InDelta(t, 15000, newClock(wall, 10*time.Second, 0).now(), 50)
}

func TestFreshnessIsTheLeadersWordOnceItIsReached(t *testing.T) {
	var f freshness
	start := time.Now()
	f.current = start
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	f.hear(10, 9, at(1))
	require.Equal(t, 2*time.Second, f.age(9, at(2)), "told of 10, still at 9")
	f.hear(20, 9, at(3))
	require.Equal(t, 3*time.Second, f.age(10, at(4)), "10 was current at second 1")
	f.hear(20, 20, at(5))
	require.Equal(t, time.Second, f.age(20, at(6)))
}

func TestFoundersKeepTheirFirstWord(t *testing.T) {
	var f founders
	require.Empty(t, f.choose([]string{"b", "c"}, 3))
	require.Equal(t, []string{"b", "c", "d"}, f.choose([]string{"b", "c", "d"}, 3))
	require.Equal(t, []string{"b", "c", "d"}, f.choose([]string{"a", "b", "c", "d"}, 3), "a latecomer changes nothing")
	require.Equal(t, []string{"a", "b", "d"}, f.choose([]string{"a", "b", "d"}, 3), "unless one of them is gone")
}
