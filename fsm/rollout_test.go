package fsm_test

import (
	"fmt"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

const second = int64(1000)

// dark serves off to everybody; its rollouts go to on.
func dark(key string) string {
	return fmt.Sprintf(`{"key":%q,"type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],
		"off":"off","default":{"variant":"off"}}`, key)
}

func plan(t testing.TB, body string) *fsm.Plan {
	t.Helper()
	p := &fsm.Plan{}
	require.NoError(t, json.Unmarshal([]byte(body), p, json.RejectUnknownMembers(true)))
	return p
}

// steps is a plan for the flag f without gates.
func steps(t testing.TB, list string) *fsm.Plan {
	t.Helper()
	return plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"analysis":"none","steps":`+list+`}`)
}

const metric = `{"name":"errors","interval":"10s","failureCondition":"result > 0.1","prometheus":{"address":"http://p:9090","query":"q{{args.cohort}}"}}`

// watched is a plan for the flag f with one metric in the background from a step on.
func watched(t testing.TB, from int, list string) *fsm.Plan {
	t.Helper()
	return plan(t, fmt.Sprintf(`{"name":"p","flag":"f","target":{"variant":"on"},"steps":%s,
		"analysis":{"background":{"startingStep":%d,"metrics":[%s]}}}`, list, from, metric))
}

func (n *node) start(p *fsm.Plan) string {
	n.t.Helper()
	out := n.do(fsm.StartRollout{Scope: dev, Plan: p})
	require.True(n.t, out.Changed)
	return fsm.RolloutID(p.Name, out.Revision)
}

func (n *node) rollout(id string) *fsm.Rollout {
	n.t.Helper()
	r, ok := n.env().Rollout(id)
	require.True(n.t, ok)
	return r
}

func (n *node) move(id string, m fsm.Move) fsm.Receipt {
	n.t.Helper()
	return n.do(fsm.MoveRollout{Scope: dev, ID: id, Move: m, Reason: "because"})
}

// pilot is what the controller would propose, fenced by what the rollout is now.
func (n *node) pilot(id string, m fsm.Move, pause fsm.Reason) *fsm.Proposal {
	n.t.Helper()
	r := n.rollout(id)
	revision := r.Revision
	return &fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem, ID: "pilot"}, ControllerTerm: n.term, ExpectedRevision: &revision,
		Command: n.encode(fsm.MoveRollout{Scope: dev, ID: id, Move: m, Seq: r.Seq + 1, Pause: pause, Reason: "as told"})}
}

func (n *node) drive(id string, m fsm.Move) {
	n.t.Helper()
	out := n.apply(n.pilot(id, m, ""))
	require.NoError(n.t, out.Err)
	require.True(n.t, out.Receipt.Changed)
}

func (n *node) measure(id string, verdicts ...fsm.Verdict) {
	n.t.Helper()
	for _, v := range verdicts {
		r := n.rollout(id)
		require.NotEmpty(n.t, r.OpenRuns())
		c := fsm.Measured{Rollouts: []fsm.RolloutMeasured{{Scope: dev, ID: id, Metrics: []fsm.MetricMeasured{
			{Run: r.OpenRuns()[0].ID, Measurement: fsm.Measurement{Verdict: v, Value: "[0]"}}}}}}
		out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: n.term, Command: n.encode(c)})
		require.NoError(n.t, out.Err)
	}
}

func (n *node) share(key string) float64 {
	on := 0
	live, _ := n.store.Live(dev.Tenant, dev.Environment)
	for i := range 10_000 {
		if live.Snapshot().Evaluate(key, &evaluator.Context{TargetingKey: fmt.Sprintf("user-%d", i)}).Variant == "on" {
			on++
		}
	}
	return float64(on) / 100
}

func kinds(r *fsm.Rollout) (out []string) {
	for _, e := range r.History() {
		out = append(out, e.Kind)
	}
	return out
}

// S1, S3-12: abort and retry of a plan with one hold.
func TestRolloutHoldsAbortsAndRetriesFromStepZero(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(steps(t, `[{"setWeight":50},{"hold":"3s"}]`))
	require.InDelta(t, 50, n.share("f"), 1.5)
	n.drive(id, fsm.MoveAdvance)
	require.Equal(t, fsm.PhaseHolding, n.rollout(id).Phase)
	declared := n.env().DeclaredHash()

	n.move(id, fsm.MoveAbort)
	require.Equal(t, fsm.PhaseAborted, n.rollout(id).Phase)
	require.Zero(t, n.share("f"))
	require.Empty(t, n.env().Exposures("f"))
	require.Equal(t, declared, n.env().DeclaredHash(), "a rollout never edits what was declared")

	n.move(id, fsm.MoveRetry)
	require.Equal(t, 2, n.rollout(id).Attempt)
	n.drive(id, fsm.MoveAdvance)
	n.refuseProposal(fsm.KindIllegal, n.pilot(id, fsm.MoveLand, ""))
	n.now += 3 * second
	n.drive(id, fsm.MoveLand)
	require.Equal(t, fsm.PhaseCompleted, n.rollout(id).Phase)
	require.Empty(t, n.env().Exposures("f"))
	record, _ := n.env().Flag("f")
	require.Equal(t, "on", record.Flag().Default.Variant)
	require.Equal(t, []string{"step", "holding", "aborted", "step", "holding", "step", "completed"}, kinds(n.rollout(id)))
}

// S2: promote ends an analysis early and says so; a full promote lands an aborted rollout.
func TestPromoteOverridesAnAnalysisAndFullPromoteLands(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	long := `{"analysis":{"metrics":[` + metric + `]}}`
	id := n.start(plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"steps":[{"hold":"24h"},`+long+`,{"hold":{}},`+long+`]}`))
	n.move(id, fsm.MovePromote)
	require.Len(t, n.rollout(id).OpenRuns(), 1)
	n.move(id, fsm.MovePromote)
	r := n.rollout(id)
	require.Equal(t, fsm.PhasePaused, r.Phase)
	require.Equal(t, fsm.ReasonHold, r.Reason)
	require.Equal(t, fsm.RunOverridden, r.Runs[0].Phase)
	require.Equal(t, "ann", r.Runs[0].By.ID)
	n.move(id, fsm.MoveAbort)
	n.refuse(fsm.KindIllegal, fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MovePromote})
	n.move(id, fsm.MovePromoteFull)
	require.Equal(t, fsm.PhaseCompleted, n.rollout(id).Phase)
	require.Equal(t, 1, n.rollout(id).RunCount)
	rows := n.store.State().Audit(0, 1000)
	require.Equal(t, "rollout.promote-full.override", rows[len(rows)-2].Verb, "then the row of the flag")
}

// S0-07, S4-09: what is illegal changes nothing, what was done already is no change.
func TestStoppingAgainIsOneEffectOneRowAndTheSameHash(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	before := n.store.State().DomainHash()
	id := n.start(steps(t, `[{"setWeight":10},{"hold":{}}]`))
	require.NotEqual(t, before, n.store.State().DomainHash())
	n.apply(n.pilot(id, fsm.MoveRollback, ""))
	require.Equal(t, before, n.store.State().DomainHash(), "the declaration is the last known good")
	seq, _ := n.store.State().AuditHead()
	for range 5 {
		require.NoError(t, n.apply(n.pilot(id, fsm.MoveRollback, "")).Err)
		require.False(t, n.move(id, fsm.MoveAbort).Changed)
	}
	again, _ := n.store.State().AuditHead()
	require.Equal(t, seq, again)
	require.Equal(t, before, n.store.State().DomainHash())
	require.Equal(t, fsm.PhaseRolledBack, n.rollout(id).Phase)
	require.Len(t, n.rollout(id).History(), 2)
	for _, m := range []fsm.Move{fsm.MovePause, fsm.MoveResume, fsm.MovePromote, fsm.MoveSkip, fsm.MoveApprove} {
		if m != fsm.MovePause {
			require.Contains(t, n.refuse(fsm.KindIllegal, fsm.MoveRollout{Scope: dev, ID: id, Move: m, Reason: "x"}).Detail, "rolled_back")
		}
	}
}

// consensus 5: the fence.
func TestStaleAndFencedMovesAreRefused(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(steps(t, `[{"setWeight":10},{"hold":"1s"},{"setWeight":20},{"hold":"1s"}]`))
	old := n.pilot(id, fsm.MoveAdvance, "")
	n.term++
	n.refuseProposal(fsm.KindFenced, old)
	stale := n.pilot(id, fsm.MoveAdvance, "")
	n.drive(id, fsm.MoveAdvance)
	n.refuseProposal(fsm.KindConflict, stale)
	misnumbered := n.pilot(id, fsm.MoveAdvance, "")
	misnumbered.Command = n.encode(fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveRollback, Seq: n.rollout(id).Seq + 2})
	require.Contains(t, n.refuseProposal(fsm.KindConflict, misnumbered).Detail, "this is move 4")
	unfenced := n.pilot(id, fsm.MoveAdvance, "")
	unfenced.ControllerTerm = 0
	n.refuseProposal(fsm.KindInvalid, unfenced)
	early := n.pilot(id, fsm.MoveAdvance, "")
	require.Contains(t, n.refuseProposal(fsm.KindIllegal, early).Detail, "not done")
	raced := n.pilot(id, fsm.MoveAdvance, "")
	n.move(id, fsm.MoveAbort)
	n.now += 10 * second
	n.refuseProposal(fsm.KindConflict, raced)
	require.Zero(t, n.share("f"))
	person := n.proposal(fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveAdvance, Seq: 1})
	n.refuseProposal(fsm.KindDenied, person)
}

// S4-04, S19: one owner per seat.
func TestASeatHasOneOwner(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	p := steps(t, `[{"setWeight":50},{"hold":{}}]`)
	id := n.start(p)
	require.Contains(t, n.refuse(fsm.KindConflict, fsm.StartRollout{Scope: dev, Plan: p}).Detail, "rollout/"+id)
	n.refuse(fsm.KindConflict, fsm.DeleteFlag{Scope: dev, Key: "f"})
	n.refuse(fsm.KindConflict, put(t, boolean("f", "")))
	n.do(put(t, dark("f")[:len(dark("f"))-1]+`,"description":"everything else may change"}`))
	out := n.do(fsm.StartRollout{Scope: dev, Plan: p, Supersede: true})
	require.Equal(t, fsm.PhaseSuperseded, n.rollout(id).Phase)
	require.Len(t, n.env().Exposures("f"), 1)
	require.Equal(t, "rollout/"+fsm.RolloutID("p", out.Revision), n.env().Exposures("f")[0].Owner)
}

// S4-08: the kill switch ends what is attached.
func TestKillEndsTheRolloutAndNothingResumes(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"), dark("g"))
	id := n.start(steps(t, `[{"setWeight":50},{"hold":{}}]`))
	n.do(fsm.Kill{Scope: dev, Key: "f", Reason: "incident"})
	require.Equal(t, fsm.PhaseAborted, n.rollout(id).Phase)
	require.Equal(t, "kill", n.eval("f").Label)
	n.do(fsm.Unkill{Scope: dev, Key: "f"})
	require.Empty(t, n.env().Exposures("f"))
	require.Zero(t, n.share("f"))

	p := steps(t, `[{"setWeight":50},{"hold":{}}]`)
	first := n.start(p)
	p2 := *p
	p2.Flag, p2.Name = "g", "q"
	second := n.start(&p2)
	n.do(fsm.Freeze{Scope: dev, Reason: "incident"})
	n.do(fsm.KillRollouts{Scope: dev, Reason: "all of it"})
	require.Equal(t, fsm.PhaseAborted, n.rollout(first).Phase)
	require.Equal(t, fsm.PhaseAborted, n.rollout(second).Phase)
	require.Zero(t, n.share("f")+n.share("g"))
	require.False(t, n.do(fsm.KillRollouts{Scope: dev}).Changed)
}

// S24: a freeze lets nothing rise and stops the clocks.
func TestFreezeRefusesWhatRisesAndShiftsHolds(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(steps(t, `[{"setWeight":10},{"hold":"60s"}]`))
	n.drive(id, fsm.MoveAdvance)
	end := n.rollout(id).HoldEnd
	n.do(fsm.Freeze{Scope: dev, Reason: "incident 7", For: fsm.Duration(7 * 60 * second)})
	frozenAt := n.now
	n.now += 120 * second
	require.Contains(t, n.refuseProposal(fsm.KindFrozen, n.pilot(id, fsm.MoveAdvance, "")).Detail, "incident 7")
	n.refuse(fsm.KindFrozen, fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MovePromote})
	n.refuse(fsm.KindFrozen, fsm.StartRollout{Scope: dev, Plan: steps(t, `[{"setWeight":10},{"hold":"60s"}]`)})
	n.now = frozenAt + 8*60*second
	n.put(dark("other")) // any entry brings the time
	require.Nil(t, n.env().Frozen(), "it ends by itself")
	require.Equal(t, end+7*60*second, n.rollout(id).HoldEnd)
	require.Equal(t, []string{"step", "holding", "caught_up"}, kinds(n.rollout(id)))
}

// S18-like rings and raises: who is in stays in.
func TestRaisingKeepsWhoIsInAndRingsComeFirst(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	n.do(putSegment(t, `{"key":"staff","include":["user-7"]}`))
	p := steps(t, `[{"setRing":"internal"},{"hold":"1s"},{"setWeight":10},{"hold":"1s"},{"setWeight":40},{"hold":"1s"}]`)
	p.Strategy, p.Rings = fsm.StrategyRings, []fsm.PlanRing{{Name: "internal", Segments: []string{"staff"}}}
	id := n.start(p)
	in := func() map[int]bool {
		out := map[int]bool{}
		live, _ := n.store.Live(dev.Tenant, dev.Environment)
		for i := range 5000 {
			if live.Snapshot().Evaluate("f", &evaluator.Context{TargetingKey: fmt.Sprintf("user-%d", i)}).Variant == "on" {
				out[i] = true
			}
		}
		return out
	}
	require.Equal(t, map[int]bool{7: true}, in())
	n.refuse(fsm.KindConflict, fsm.DeleteSegment{Scope: dev, Key: "staff"})
	before := in()
	for range 4 {
		n.drive(id, fsm.MoveAdvance)
		n.now += 2 * second
		now := in()
		for user := range before {
			require.True(t, now[user], "user-%d was in and is out", user)
		}
		before = now
	}
	require.InDelta(t, 2000, len(before), 150)
}

// S0-17: blue-green is 0, 100 and back, with the declaration untouched.
func TestBlueGreenSwitchesInOneEntryAndBack(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	n.do(putSegment(t, `{"key":"staff","include":["user-7"]}`))
	id := n.start(plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"strategy":"blueGreen","analysis":"none",
		"blueGreen":{"preview":{"segments":["staff"]},"wayBack":"1h","previewOnAbort":"keep"}}`))
	require.InDelta(t, 0.01, n.share("f"), 0.001)
	n.drive(id, fsm.MoveAdvance)
	require.Equal(t, fsm.ReasonApproval, n.rollout(id).Reason)
	n.refuse(fsm.KindDenied, fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveApprove})
	p := n.proposal(fsm.MoveRollout{Scope: dev, ID: id, Move: fsm.MoveApprove})
	p.Actor.ID = "bob"
	require.NoError(t, n.apply(p).Err)
	require.InDelta(t, 100, n.share("f"), 0)
	record, _ := n.env().Flag("f")
	require.Equal(t, "off", record.Flag().Default.Variant)
	n.drive(id, fsm.MoveAdvance)
	n.move(id, fsm.MoveAbort)
	require.InDelta(t, 0.01, n.share("f"), 0.001, "the preview keeps the candidate")
	n.move(id, fsm.MoveDismiss)
	require.Zero(t, n.share("f"))
	require.False(t, n.move(id, fsm.MoveDismiss).Changed)
}

// S12: a variant that landed recently lands at once.
func TestRollbackWindowLandsAtOnce(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"f","type":"string","enabled":true,"variants":[{"key":"v1","value":"1"},{"key":"v2","value":"2"},{"key":"v3","value":"3"},
		{"key":"v4","value":"4"},{"key":"v5","value":"5"}],"off":"v1","default":{"variant":"v1"}}`)
	to := func(v string) fsm.Phase {
		p := steps(t, `[{"setWeight":10},{"hold":{}}]`)
		p.Target.Variant, p.RollbackWindow = v, &fsm.RollbackWindow{Landings: 2}
		id := n.start(p)
		phase := n.rollout(id).Phase
		if phase.Live() {
			n.move(id, fsm.MovePromoteFull)
		}
		return phase
	}
	for _, v := range []string{"v2", "v3", "v4"} {
		require.Equal(t, fsm.PhaseProgressing, to(v))
	}
	require.Equal(t, fsm.PhaseCompleted, to("v2"), "v3 alone lies between")
	for _, v := range []string{"v5", "v1"} {
		require.Equal(t, fsm.PhaseProgressing, to(v))
	}
	require.Equal(t, fsm.PhaseProgressing, to("v3"), "v4, v2, v5 lie between")
}

// House rule 15: rollouts, exposures and freezes survive a saved state, byte for byte.
func TestRolloutsSurviveASavedState(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"), dark("g"))
	id := n.start(watched(t, 0, `[{"setWeight":12.5},{"hold":"60s"}]`))
	n.measure(id, fsm.VerdictSuccessful, fsm.VerdictFailed)
	n.do(fsm.Freeze{Scope: dev, Reason: "later", For: 60_000})
	p := steps(t, `[{"setWeight":50},{"hold":"3s"}]`)
	p.Flag = "g"
	n.refuse(fsm.KindFrozen, fsm.StartRollout{Scope: dev, Plan: p})
	saved := n.save()
	other := fsm.NewStore()
	require.NoError(t, other.Load(bytesReader(saved)))
	require.Equal(t, n.store.State().FullHash(), other.State().FullHash())
	env, _ := other.State().Environment(dev.Tenant, dev.Environment)
	r, ok := env.Rollout(id)
	require.True(t, ok)
	require.Equal(t, n.rollout(id).History(), r.History())
	require.Equal(t, n.rollout(id).PlanHash(), r.PlanHash())
	require.Equal(t, "later", env.Frozen().Reason)
	require.Len(t, env.LiveRollouts(), 1)
	replayed := fsm.NewStore()
	replayed.Apply(n.log)
	require.Equal(t, n.store.State().FullHash(), replayed.State().FullHash())
}
