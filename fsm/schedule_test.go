package fsm_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// at is a time after the first entry, as a level names it.
func at(minutes int) string {
	return time.UnixMilli(start).Add(time.Duration(minutes) * time.Minute).UTC().Format(fsm.InstantForm)
}

// scheduleOf brings off to half of the people after ten minutes and to all of them after twenty.
func scheduleOf(flag string) *fsm.Schedule {
	return &fsm.Schedule{Flag: flag, Variant: "off", Base: "on", Salt: "s",
		Levels: []fsm.Level{{At: at(10), Weight: 50_000}, {At: at(20), Weight: 100_000}}}
}

func (n *node) moveSchedule(flag string) fsm.Outcome {
	return n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(fsm.MoveSchedule{Scope: dev, Flag: flag})})
}

// share is how many of a thousand people get off.
func (n *node) served(flag string) map[string]bool {
	live, _ := n.store.Live(dev.Tenant, dev.Environment)
	out := map[string]bool{}
	for i := range 1000 {
		key := fmt.Sprintf("user-%d", i)
		if live.Snapshot().Evaluate(flag, evaluator.NewContext(key)).Variant == "off" {
			out[key] = true
		}
	}
	return out
}

// S2-03
func TestScheduleMovesAtItsTimes(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	declared := n.env().DeclaredHash()
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	require.Equal(t, declared, n.env().DeclaredHash(), "the declaration is not touched")
	require.Empty(t, n.served("a"))
	due, ok := n.env().NextSchedule()
	require.True(t, ok)
	require.Equal(t, at(10), due.At.Format(fsm.InstantForm))

	before := n.store.State().DomainHash()
	require.NoError(t, n.moveSchedule("a").Err, "too early is no change")
	require.Equal(t, before, n.store.State().DomainHash())

	n.now = start + 10*60_000
	require.NoError(t, n.moveSchedule("a").Err)
	half := n.served("a")
	require.InDelta(t, 500, len(half), 60)
	moved := n.store.State().DomainHash()
	require.NoError(t, n.moveSchedule("a").Err)
	require.Equal(t, moved, n.store.State().DomainHash(), "twice is once")

	n.now = start + 30*60_000
	require.NoError(t, n.moveSchedule("a").Err)
	require.Len(t, n.served("a"), 1000)
	_, ok = n.env().NextSchedule()
	require.False(t, ok)

	n.do(fsm.DropSchedule{Scope: dev, Flag: "a"})
	require.Empty(t, n.served("a"))
	require.Equal(t, declared, n.env().DeclaredHash())
}

func TestLevelsOfThePastFoldIntoOne(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	n.now = start + 15*60_000
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	require.InDelta(t, 500, len(n.served("a")), 60)
	require.Empty(t, fsm.Diff(dev, n.env(), n.env().Content(), true), "what stands there is no difference")
}

func TestRaisingALevelKeepsEverybodyWhoIsIn(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	s := scheduleOf("a")
	s.Levels[1].Weight = 80_000
	n.now = start + 10*60_000
	n.do(fsm.PutSchedule{Scope: dev, Schedule: s})
	half := n.served("a")
	n.now = start + 20*60_000
	require.NoError(t, n.moveSchedule("a").Err)
	more := n.served("a")
	require.Greater(t, len(more), len(half))
	for key := range half {
		require.True(t, more[key])
	}
}

func TestKillStandsBeforeASchedule(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"a","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"on","default":{"variant":"on"}}`)
	n.now = start + 30*60_000
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	require.Len(t, n.served("a"), 1000)
	n.do(fsm.Kill{Scope: dev, Key: "a"})
	require.Empty(t, n.served("a"))
	n.do(fsm.Unkill{Scope: dev, Key: "a"})
	require.Empty(t, n.served("a"), "a kill suspends schedules; unkill gives the declaration back and nothing else")
	n.do(fsm.SwitchSchedule{Scope: dev, Flag: "a", Running: true})
	require.Len(t, n.served("a"), 1000)
}

func TestScheduleAndFlagFitEachOther(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	n.refuse(fsm.KindNotFound, fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("none")})
	other := scheduleOf("a")
	other.Base, other.Variant = "off", "on"
	n.refuse(fsm.KindConflict, fsm.PutSchedule{Scope: dev, Schedule: other})
	other = scheduleOf("a")
	other.Rule = "none"
	n.refuse(fsm.KindConflict, fsm.PutSchedule{Scope: dev, Schedule: other})
	n.refuse(fsm.KindInvalid, fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "a", Variant: "on", Base: "off",
		Levels: []fsm.Level{{At: at(2)}, {At: at(1)}}}})
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	changed := decodeFlag(t, boolean("a", ""))
	changed.Default = &evaluator.Serve{Variant: "off"}
	n.refuse(fsm.KindConflict, fsm.PutFlag{Scope: dev, Flag: changed})
	n.do(fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.PutFlag{Flag: changed}, fsm.DropSchedule{Flag: "a"}}})
	n.refuse(fsm.KindDenied, fsm.MoveSchedule{Scope: dev, Flag: "a"})
}

func TestFrozenEnvironmentHoldsItsSchedules(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), boolean("b", ""))
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	n.do(fsm.Freeze{Scope: dev, Reason: "audit"})
	n.refuse(fsm.KindFrozen, fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("b")})
	n.now = start + 30*60_000
	require.Error(t, n.moveSchedule("a").Err)
	require.Empty(t, n.served("a"))
	n.do(fsm.Unfreeze{Scope: dev})
	require.NoError(t, n.moveSchedule("a").Err)
	require.Len(t, n.served("a"), 1000, "what was missed is one move")
}

func TestSnapshotsCarrySchedules(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	n.now = start + 10*60_000
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	loaded := fsm.NewStore()
	require.NoError(t, loaded.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), loaded.State())
	require.Equal(t, n.served("a"), (&node{t: t, store: loaded}).served("a"))
}

func TestDiffSpeaksOfTheSchedulesOfNamedFlags(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), boolean("b", ""))
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("a")})
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("b")})
	content := fsm.Content{Flags: n.env().Content().Flags[:1]}
	require.Empty(t, fsm.Diff(dev, n.env(), content, false), "unstated schedules stay")
	content.StatesSchedules = true
	require.Equal(t, []fsm.Command{fsm.DropSchedule{Scope: dev, Flag: "a"}}, fsm.Diff(dev, n.env(), content, false))
	content.Schedules = []*fsm.Schedule{scheduleOf("a")}
	require.Empty(t, fsm.Diff(dev, n.env(), content, false))
	for _, c := range fsm.Diff(dev, n.env(), content, true) {
		n.do(c)
	}
	require.Len(t, n.env().Schedules(), 1, "a deleted flag takes its schedule with it")
}
