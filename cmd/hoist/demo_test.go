package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// S4-02: exposure changes reach every node while leaders die; the time it takes is measured.
func TestDemoSurvivesItsLeader(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a cluster and kills its leader for a while")
	}
	alone(t)
	t.Setenv("BE_HOIST", "1")
	out := does(t, "demo", "--chaos", "--duration", "6s", "--rate", "300", "--kill-every", "1s", "-o", "json")
	var r struct {
		Evaluations, FailedEvaluations, BackwardReads int
		AcknowledgedWrites, LostWrites, UnknownWrites int
		LeaderKills                                   int
		FailoverMs, PropagationMs                     struct{ P50, P99 float64 }
		StateHashesEqual                              bool
		HealthyCanary, PoisonedCanary                 struct {
			Rollout, Phase, Cause                  string
			SharePercent, StepPercent, WithdrawnMs float64
		}
	}
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&r))
	require.False(t, decoder.More(), "exactly one object")
	require.Positive(t, r.Evaluations)
	require.Positive(t, r.AcknowledgedWrites)
	require.Positive(t, r.LeaderKills)
	require.Positive(t, r.PropagationMs.P99)
	require.Positive(t, r.FailoverMs.P50)
	require.True(t, r.StateHashesEqual)
	require.Equal(t, "completed", r.HealthyCanary.Phase) // S3-11
	require.Equal(t, "rolled_back", r.PoisonedCanary.Phase)
	require.Contains(t, r.PoisonedCanary.Cause, "error-ratio")
	require.LessOrEqual(t, r.PoisonedCanary.SharePercent, r.PoisonedCanary.StepPercent+0.5)
}

func TestVerdictNamesEveryBreach(t *testing.T) {
	good := result{Evaluations: 1, StateHashesEqual: true}
	require.Empty(t, good.verdict())
	for words, bad := range map[string]result{
		"nothing was evaluated": {StateHashesEqual: true},
		"evaluation(s) failed":  {Evaluations: 1, StateHashesEqual: true, FailedEvaluations: 1},
		"were lost":             {Evaluations: 1, StateHashesEqual: true, LostWrites: 1},
		"went backward":         {Evaluations: 1, StateHashesEqual: true, BackwardReads: 1},
		"different states":      {Evaluations: 1},
	} {
		require.Contains(t, bad.verdict(), words)
	}
}

func TestQuantilesTakeTheValueAtTheRank(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i)*time.Millisecond)
	}
	require.Equal(t, quantiles{P50: 100, P99: 198}, quantilesOf(times))
	require.Equal(t, quantiles{P50: 7, P99: 7}, quantilesOf([]time.Duration{7 * time.Millisecond}))
	require.Equal(t, quantiles{}, quantilesOf(nil))
}
