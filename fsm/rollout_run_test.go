package fsm_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// S6, S3-07: the table of metrics.
func TestMetricPhasesFollowTheTable(t *testing.T) {
	five := 5
	off := -1
	for _, c := range []struct {
		name   string
		metric fsm.Metric
		state  fsm.MetricState
		want   fsm.RunPhase
	}{
		{"nothing measured", fsm.Metric{}, fsm.MetricState{}, fsm.RunPending},
		{"3 failures, 2 tolerated", fsm.Metric{Interval: 1000, FailureLimit: 2}, fsm.MetricState{Count: 3, Failed: 3}, fsm.RunFailed},
		{"3 failures, 3 tolerated", fsm.Metric{Interval: 1000, FailureLimit: 3}, fsm.MetricState{Count: 3, Failed: 3}, fsm.RunRunning},
		{"the first failure is enough by default", fsm.Metric{Interval: 1000}, fsm.MetricState{Count: 4, Failed: 1, Successful: 3}, fsm.RunFailed},
		{"both limits, neither reached", fsm.Metric{Interval: 1000, Count: 10, FailureLimit: 4, ConsecutiveSuccessLimit: 4},
			fsm.MetricState{Count: 10, Failed: 4, Successful: 6, ConsecutiveSuccess: 3}, fsm.RunInconclusive},
		{"both limits, failures first", fsm.Metric{Interval: 1000, Count: 10, FailureLimit: 4, ConsecutiveSuccessLimit: 4},
			fsm.MetricState{Count: 10, Failed: 5, Successful: 5, ConsecutiveSuccess: 4}, fsm.RunFailed},
		{"both limits, successes in a row", fsm.Metric{Interval: 1000, Count: 10, FailureLimit: 4, ConsecutiveSuccessLimit: 4},
			fsm.MetricState{Count: 10, Failed: 4, Successful: 6, ConsecutiveSuccess: 4}, fsm.RunSuccessful},
		{"only the success limit, not reached", fsm.Metric{Interval: 1000, Count: 5, FailureLimit: off, ConsecutiveSuccessLimit: 4},
			fsm.MetricState{Count: 5, Successful: 4, Failed: 1, ConsecutiveSuccess: 3}, fsm.RunFailed},
		{"four errors in a row are borne", fsm.Metric{Interval: 1000}, fsm.MetricState{Errors: 4, ConsecutiveErrors: 4}, fsm.RunRunning},
		{"the fifth is not", fsm.Metric{Interval: 1000}, fsm.MetricState{Errors: 5, ConsecutiveErrors: 5}, fsm.RunError},
		{"a limit of five", fsm.Metric{Interval: 1000, ConsecutiveErrorLimit: &five}, fsm.MetricState{Errors: 5, ConsecutiveErrors: 5}, fsm.RunRunning},
		{"no limit", fsm.Metric{Interval: 1000, ConsecutiveErrorLimit: &off}, fsm.MetricState{Errors: 50, ConsecutiveErrors: 50}, fsm.RunRunning},
		{"one inconclusive answer", fsm.Metric{Interval: 1000}, fsm.MetricState{Count: 1, Inconclusive: 1}, fsm.RunInconclusive},
		{"count reached", fsm.Metric{}, fsm.MetricState{Count: 1, Successful: 1}, fsm.RunSuccessful},
		{"no data for an hour", fsm.Metric{Interval: 1000}, fsm.MetricState{NoData: 9, NoDataSince: start - 3_600_000}, fsm.RunNoData},
		{"no data for less", fsm.Metric{Interval: 1000}, fsm.MetricState{NoData: 9, NoDataSince: start - 3_599_999}, fsm.RunRunning},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := c.state.Judge(&c.metric, start)
			require.Equal(t, c.want, got)
			require.NotEmpty(t, why)
		})
	}
}

// S8: a failure ends the run; siblings that were not through are cancelled; dry metrics decide nothing.
func TestRunsEndWithTheirWorstMetric(t *testing.T) {
	two := `{"name":"other","interval":"10s","failureCondition":"result > 1","prometheus":{"address":"http://p","query":"{{args.cohort}}"}}`
	begin := func(dry string) (*node, string) {
		n := newNode(t)
		n.put(dark("f"))
		return n, n.start(plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"steps":[{"setWeight":10},{"hold":{}}],
			"analysis":{"dryRun":[`+dry+`],"background":{"metrics":[`+metric+`,`+two+`]}}}`))
	}
	n, id := begin("")
	n.measure(id, fsm.VerdictSuccessful)
	require.Equal(t, fsm.RunPending, n.rollout(id).Runs[0].Phase)
	n.measure(id, fsm.VerdictFailed)
	run := n.rollout(id).Runs[0]
	require.Equal(t, fsm.RunFailed, run.Phase)
	require.Equal(t, fsm.RunCancelled, run.Metrics[1].Phase, "not measured is not successful")
	late := fsm.Measured{Rollouts: []fsm.RolloutMeasured{{Scope: dev, ID: id, Metrics: []fsm.MetricMeasured{
		{Run: 1, Index: 1, Measurement: fsm.Measurement{Verdict: fsm.VerdictSuccessful}}}}}}
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, ControllerTerm: n.term, Command: n.encode(late)})
	require.NoError(t, out.Err)
	require.False(t, out.Receipt.Changed)
	require.Zero(t, n.rollout(id).Runs[0].Metrics[1].Count, "an answer that comes after the end counts for nothing")

	n, id = begin(`"errors"`)
	n.measure(id, fsm.VerdictFailed)
	run = n.rollout(id).Runs[0]
	require.Equal(t, fsm.RunFailed, run.Metrics[0].Phase)
	require.Equal(t, fsm.RunPending, run.Phase, "a dry metric reports and decides nothing")
}

// S3: landing before any evidence cancels the run, it does not call it successful.
func TestLandingCallsARunSuccessfulOnlyIfItMeasured(t *testing.T) {
	for verdict, want := range map[fsm.Verdict]fsm.RunPhase{fsm.VerdictSuccessful: fsm.RunSuccessful, fsm.VerdictNoData: fsm.RunCancelled} {
		n := newNode(t)
		n.put(dark("f"))
		id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":{}}]`))
		n.drive(id, fsm.MoveAdvance)
		n.measure(id, verdict)
		n.move(id, fsm.MovePromote)
		require.Equal(t, want, n.rollout(id).Runs[0].Phase)
	}
}

// The evidence rule: time never overrides it, and a raise asks for new evidence.
func TestAHoldIsNotLeftWithoutEvidenceSinceTheRaise(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":"10s"},{"setWeight":20},{"hold":"10s"}]`))
	n.drive(id, fsm.MoveAdvance)
	n.now += 60 * second
	require.Contains(t, n.refuseProposal(fsm.KindIllegal, n.pilot(id, fsm.MoveAdvance, "")).Detail, "errors")
	n.measure(id, fsm.VerdictSuccessful)
	n.drive(id, fsm.MoveAdvance)
	require.Equal(t, fsm.Percent(20_000), n.rollout(id).Weight)
	n.drive(id, fsm.MoveAdvance)
	n.now += 60 * second
	require.Equal(t, []string{"errors"}, n.rollout(id).EvidenceMissing())
	n.measure(id, fsm.VerdictSuccessful)
	n.drive(id, fsm.MoveLand)
	require.Equal(t, 1, n.rollout(id).RunCount, "one run for the whole rollout")
}

// A pause by evidence is resumed with counters of nothing.
func TestResumeAfterInconclusiveMeasuresAnew(t *testing.T) {
	n := newNode(t)
	n.put(dark("f"))
	id := n.start(watched(t, 0, `[{"setWeight":10},{"hold":"10s"}]`))
	n.drive(id, fsm.MoveAdvance)
	n.measure(id, fsm.VerdictInconclusive)
	require.NoError(t, n.apply(n.pilot(id, fsm.MoveHold, fsm.ReasonInconclusive)).Err)
	require.True(t, n.rollout(id).NeedsHuman())
	n.refuseProposal(fsm.KindIllegal, n.pilot(id, fsm.MoveHold, fsm.ReasonNoData))
	n.refuseProposal(fsm.KindIllegal, n.pilot(id, fsm.MoveContinue, ""))
	end := n.rollout(id).HoldEnd
	n.now += 30 * second
	n.move(id, fsm.MoveResume)
	r := n.rollout(id)
	require.Equal(t, fsm.PhaseHolding, r.Phase)
	require.Equal(t, 2, r.RunCount)
	require.Zero(t, r.OpenRuns()[0].Metrics[0].Count)
	require.Greater(t, r.HoldEnd, end+29*second)
}
