package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// schedule makes one and returns its id.
func (n *node) schedule(s fsm.Schedule) string {
	n.t.Helper()
	n.do(fsm.PutSchedule{Scope: dev, Schedule: &s})
	return fsm.ScheduleID(n.store.State().Index(), 1)
}

func (n *node) scheduled(id string) fsm.Exposure {
	n.t.Helper()
	for _, x := range n.env().Scheduled() {
		if x.Schedule.ID == id {
			return x
		}
	}
	require.Fail(n.t, "no schedule "+id)
	return fsm.Exposure{}
}

func (n *node) until(minutes int, flag, id string) {
	n.t.Helper()
	n.now = start + int64(minutes)*60_000
	require.NoError(n.t, n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem},
		Command: n.encode(fsm.MoveSchedule{Scope: dev, Flag: flag, ID: id})}).Err)
}

func (n *node) variant(flag string) (string, evaluator.Reason) {
	live, _ := n.store.Live(dev.Tenant, dev.Environment)
	r := live.Snapshot().Evaluate(flag, evaluator.NewContext("user"))
	return r.Variant, r.Reason
}

// S1-16
func TestEveryActionActsBesideTheFlag(t *testing.T) {
	value := evaluator.String("60s")
	for name, c := range map[string]struct {
		schedule fsm.Schedule
		served   func(n *node) bool
	}{
		"enable": {fsm.Schedule{Flag: "dark", Action: fsm.ActionEnable}, func(n *node) bool { v, _ := n.variant("dark"); return v == "on" }},
		"disable": {fsm.Schedule{Flag: "a", Action: fsm.ActionDisable}, func(n *node) bool {
			_, why := n.variant("a")
			return why == evaluator.ReasonDisabled
		}},
		"value": {fsm.Schedule{Flag: "a", Action: fsm.ActionValue, Variant: "off"}, func(n *node) bool { v, _ := n.variant("a"); return v == "off" }},
		"config": {fsm.Schedule{Flag: "timeout", Action: fsm.ActionValue, Value: &value}, func(n *node) bool {
			live, _ := n.store.Live(dev.Tenant, dev.Environment)
			return live.Snapshot().Evaluate("timeout", evaluator.NewContext("u")).Value == value
		}},
		"percentage": {fsm.Schedule{Flag: "a", Action: fsm.ActionPercentage, Weight: 25_000}, func(n *node) bool {
			off := len(n.served("a"))
			return off > 700 && off < 800
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.put(boolean("a", ""), `{"key":"dark","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`,
				`{"key":"timeout","kind":"config","type":"string","value":"180s"}`)
			declared := n.env().DeclaredHash()
			c.schedule.Start = at(10)
			id := n.schedule(c.schedule)
			require.False(t, c.served(n))
			require.Equal(t, "waiting", new(n.scheduled(id)).ScheduleStatus())
			n.until(9, c.schedule.Flag, id)
			require.False(t, c.served(n), "too early")
			n.until(10, c.schedule.Flag, id)
			require.True(t, c.served(n))
			require.Equal(t, "active", new(n.scheduled(id)).ScheduleStatus())
			n.do(fsm.DropSchedule{Scope: dev, Flag: c.schedule.Flag, ID: id})
			require.False(t, c.served(n))
			require.Equal(t, declared, n.env().DeclaredHash(), "the flag stays as it was written")
		})
	}
}

// S1-16
func TestBothEndsOfAWindowHappenOnce(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	declared := n.env().DeclaredHash()
	id := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionValue, Variant: "off", Start: at(10), End: at(20)})
	n.until(10, "a", id)
	require.Len(t, n.served("a"), 1000)
	n.until(20, "a", id)
	require.Empty(t, n.served("a"))
	revision := n.env().Revision()
	n.until(30, "a", id)
	require.Equal(t, revision, n.env().Revision(), "nothing is left")
	require.Equal(t, "ended", new(n.scheduled(id)).ScheduleStatus())

	missed := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionValue, Variant: "off", Start: at(40), End: at(50)})
	n.until(60, "a", missed)
	require.Empty(t, n.served("a"))
	require.Len(t, n.scheduled(missed).Progress.Runs, 2, "both ends are on record")
	require.Equal(t, declared, n.env().DeclaredHash())
}

func TestRecurringScheduleTakesItsInstantsFromTheLog(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	id := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionValue, Variant: "off", Cron: "* * * * *", Zone: "UTC"})
	move := func(c fsm.MoveSchedule) {
		t.Helper()
		c.Scope, c.Flag, c.ID = dev, "a", id
		require.NoError(t, n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(c)}).Err)
	}
	due, ok := n.env().NextSchedule()
	require.True(t, ok)
	require.True(t, due.At.IsZero(), "the leader says when it comes first")
	move(fsm.MoveSchedule{Next: at(10)})
	require.Empty(t, n.served("a"))
	n.now = start + 13*60_000
	move(fsm.MoveSchedule{Due: at(10), At: at(13), Next: at(14), Skipped: 3})
	require.Len(t, n.served("a"), 1000)
	p := n.scheduled(id).Progress
	require.Equal(t, at(14), p.Next)
	require.Equal(t, 3, p.Runs[0].Skipped)
	require.Equal(t, at(13), p.Runs[1].At)
	revision := n.env().Revision()
	move(fsm.MoveSchedule{Due: at(10), At: at(13), Next: at(14), Skipped: 3})
	require.Equal(t, revision, n.env().Revision(), "a second leader that saw the same comes too late")
}

func TestTheLaterScheduleTakesTheSeatOfTheEarlier(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	off := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Start: at(10)})
	on := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionEnable, Start: at(20)})
	n.until(10, "a", off)
	_, why := n.variant("a")
	require.Equal(t, evaluator.ReasonDisabled, why)
	n.until(20, "a", on)
	v, _ := n.variant("a")
	require.Equal(t, "on", v)
	require.Equal(t, "ended", new(n.scheduled(off)).ScheduleStatus())
}

func TestAScheduleNeedsItsSeat(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	s := fsm.Schedule{Flag: "f", Action: fsm.ActionValue, Variant: "on", Start: at(10)}
	waits := n.schedule(s)
	rollout := n.start(steps(t, `[{"setWeight":50},{"hold":{}}]`))
	err := n.refuse(fsm.KindConflict, fsm.PutSchedule{Scope: dev, Schedule: &s})
	require.ErrorContains(t, err, "rollout/"+rollout)
	n.until(10, "f", waits)
	run := n.scheduled(waits).Progress.Runs[0]
	require.Equal(t, 1, run.Skipped)
	require.Contains(t, run.Why, "rollout/"+rollout)
}

func TestLandingWritesTheDeclaration(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	id := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionPercentage, Weight: 25_000, Start: at(10), Land: true})
	n.until(10, "a", id)
	f, _ := n.env().Flag("a")
	require.Equal(t, 25_000, f.Flag().Default.Split.Weights[0].Weight)
	require.Equal(t, "ended", new(n.scheduled(id)).ScheduleStatus())
	id = n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Start: at(20), Land: true})
	n.until(20, "a", id)
	f, _ = n.env().Flag("a")
	require.False(t, f.Flag().Enabled)
}

func TestPausedScheduleGoesOnWithTheNewestThatItMissed(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	id := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Start: at(10)})
	n.do(fsm.SwitchSchedule{Scope: dev, Flag: "a", ID: id})
	n.until(15, "a", id)
	v, _ := n.variant("a")
	require.Equal(t, "on", v)
	n.do(fsm.SwitchSchedule{Scope: dev, Flag: "a", ID: id, Running: true})
	_, why := n.variant("a")
	require.Equal(t, evaluator.ReasonDisabled, why)
	n.refuse(fsm.KindIllegal, fsm.SwitchSchedule{Scope: dev, Flag: "a", ID: id})
}

func TestKillSuspendsSchedulesUntilSomebodyResumesThem(t *testing.T) {
	for name, kill := range map[string]fsm.Command{"one flag": fsm.Kill{Scope: dev, Key: "a"}, "all rollouts": fsm.KillRollouts{Scope: dev}} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.put(boolean("a", ""))
			standing := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionValue, Variant: "off", Start: at(1)})
			waiting := n.schedule(fsm.Schedule{Flag: "a", Action: fsm.ActionDisable, Start: at(10)})
			n.until(1, "a", standing)
			n.do(kill)
			n.do(fsm.Unkill{Scope: dev, Key: "a"})
			n.until(20, "a", waiting)
			require.Empty(t, n.served("a"), "the declaration")
			for _, id := range []string{standing, waiting} {
				require.Equal(t, "suspended", new(n.scheduled(id)).ScheduleStatus())
			}
			n.do(fsm.SwitchSchedule{Scope: dev, Flag: "a", ID: standing, Running: true})
			require.Len(t, n.served("a"), 1000)
		})
	}
}

func TestNonsensicalSchedulesAreRefusedWithTheirField(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), `{"key":"timeout","kind":"config","type":"string","value":"180s"}`)
	number := evaluator.Number(1)
	for field, s := range map[string]fsm.Schedule{
		"/schedule/startTime":        {Flag: "a", Action: fsm.ActionEnable, Start: at(-1)},
		"/schedule/endTime":          {Flag: "a", Action: fsm.ActionEnable, Start: at(2), End: at(1)},
		"/schedule/action":           {Flag: "timeout", Action: fsm.ActionEnable, Start: at(1)},
		"/schedule/targetValue":      {Flag: "timeout", Action: fsm.ActionValue, Value: &number, Start: at(1)},
		"/schedule/targetPercentage": {Flag: "a", Action: fsm.ActionPercentage, Weight: 100_001, Start: at(1)},
		"/schedule/cron":             {Flag: "a", Action: fsm.ActionEnable, Cron: "@daily"},
		"/schedule/land":             {Flag: "a", Action: fsm.ActionEnable, Cron: "0 1 * * *", Land: true},
		"/schedule/rule":             {Flag: "a", Action: fsm.ActionValue, Variant: "on", Rule: "none", Start: at(1)},
		"/schedule/id":               {ID: "mine", Flag: "a", Action: fsm.ActionEnable, Start: at(1)},
	} {
		before := n.store.State().DomainHash()
		err := n.refuse(fsm.KindInvalid, fsm.PutSchedule{Scope: dev, Schedule: &s})
		require.Equal(t, field, err.Problems[0].Field)
		require.Equal(t, before, n.store.State().DomainHash())
	}
}
