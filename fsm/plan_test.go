package fsm_test

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// S15, S0-04.
func TestGeneratorsWriteTheSteps(t *testing.T) {
	for rule, want := range map[string][]string{
		`"linear":{"step":20,"max":50}`:        {"20%", "40%", "50%"},
		`"linear":{"step":50,"max":100}`:       {"50%", "100%"},
		`"list":[1,2,10,80]`:                   {"1%", "2%", "10%", "80%"},
		`"fibonacci":true`:                     {"5%", "8%", "13%", "21%", "34%", "55%", "89%", "100%"},
		`"exponential":{"start":5,"factor":3}`: {"5%", "15%", "45%", "100%"},
		`"exponential":{"start":0.5}`:          {"0.5%", "1%", "2%", "4%", "8%", "16%", "32%", "64%", "100%"},
	} {
		p := plan(t, `{"name":"p","flag":"f","target":{"variant":"on"},"analysis":"none","generate":{`+rule+`,"hold":"10m"}}`)
		require.Empty(t, p.Check(), rule)
		var got []string
		for i, s := range p.Ladder() {
			if i%2 == 0 {
				got = append(got, s.SetWeight.String())
			} else {
				require.Equal(t, "10m0s", s.Hold.For.String())
			}
		}
		require.Equal(t, want, got)
	}
	require.ErrorContains(t, json.Unmarshal([]byte(`{"generate":{"list":[200]}}`), &fsm.Plan{}), "from 0 to 100")
}

// S4-05, S4-06: every broken rule is named with its path.
func TestBrokenPlansAreRefusedWithThePath(t *testing.T) {
	head := `{"name":"p","flag":"f","target":{"variant":"on"},`
	withMetric := func(m string) string {
		return head + `"steps":[{"setWeight":10},{"hold":"1m"}],"analysis":{"background":{"metrics":[` + m + `]}}}`
	}
	prom := `"prometheus":{"address":"http://p","query":"x{{args.cohort}}"}`
	for _, c := range []struct{ name, plan, field string }{
		{"no gates", head + `"steps":[{"setWeight":10},{"hold":"1m"}]}`, "/analysis"},
		{"none beside gates", head + `"analysis":"none","steps":[{"setWeight":10},{"analysis":{"metrics":[` + metric + `]}}]}`, "/analysis"},
		{"no steps", head + `"analysis":"none"}`, "/steps"},
		{"two raises", head + `"analysis":"none","steps":[{"setWeight":10},{"setWeight":20},{"hold":"1m"}]}`, "/steps/1"},
		{"a last raise without a hold", head + `"analysis":"none","steps":[{"setWeight":10},{"hold":"1m"},{"setWeight":20}]}`, "/steps/2"},
		{"a step of two kinds", head + `"analysis":"none","steps":[{"setWeight":10,"hold":"1m"}]}`, "/steps/0"},
		{"an unknown ring", head + `"analysis":"none","steps":[{"setRing":"x"},{"hold":"1m"}]}`, "/steps/0/setRing"},
		{"a seat", head + `"seat":"nowhere","analysis":"none","steps":[{"setWeight":10},{"hold":"1m"}]}`, "/seat"},
		{"no condition", withMetric(`{"name":"m",` + prom + `}`), "/analysis/background/metrics/0"},
		{"count without interval", withMetric(`{"name":"m","count":3,"failureCondition":"x",` + prom + `}`), "/analysis/background/metrics/0/interval"},
		{"can never fail", withMetric(`{"name":"m","count":3,"interval":"5s","failureLimit":3,"failureCondition":"x",` + prom + `}`), "/analysis/background/metrics/0/failureLimit"},
		{"no limits", withMetric(`{"name":"m","interval":"5s","failureLimit":-1,"failureCondition":"x",` + prom + `}`), "/analysis/background/metrics/0/failureLimit"},
		{"not scoped", withMetric(`{"name":"m","interval":"5s","failureCondition":"x","prometheus":{"address":"http://p","query":"up"}}`), "/analysis/background/metrics/0"},
		{"two providers", withMetric(`{"name":"m","interval":"5s","failureCondition":"x",` + prom + `,"web":{"url":"http://x/{{args.cohort}}"}}`), "/analysis/background/metrics/0"},
		{"an address", withMetric(`{"name":"m","interval":"5s","failureCondition":"x","web":{"url":"file:///etc/{{args.cohort}}"}}`), "/analysis/background/metrics/0/web/url"},
		{"a dry run of nothing", head + `"steps":[{"setWeight":10},{"hold":"1m"}],"analysis":{"dryRun":["x"],"background":{"metrics":[` + metric + `]}}}`, "/analysis/dryRun/0"},
		{"a starting step", head + `"steps":[{"setWeight":10},{"hold":"1m"}],"analysis":{"background":{"startingStep":2,"metrics":[` + metric + `]}}}`, "/analysis/background/startingStep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := plan(t, c.plan).Check()
			var fields []string
			for _, p := range problems {
				fields = append(fields, p.Field)
			}
			require.Contains(t, fields, c.field, "%v", problems)
		})
	}
}

func TestAPlanThatNamesNoVariantIsToldSo(t *testing.T) {
	problems := plan(t, `{"name":"p","flag":"f","steps":[{"setWeight":10},{"hold":"1m"}],"analysis":"none"}`).Check()
	require.Len(t, problems, 1)
	require.Equal(t, "/target/variant", problems[0].Field)
	require.Contains(t, problems[0].Message, "it is missing")
}

func TestPlansKeepTheirFormThroughJSON(t *testing.T) {
	p := watched(t, 1, `[{"setWeight":12.5},{"hold":{}},{"setWeight":50},{"approval":{"count":2}},{"hold":"1h30m"}]`)
	require.Empty(t, p.Check())
	b, err := json.Marshal(p, json.Deterministic(true))
	require.NoError(t, err)
	again := plan(t, string(b))
	require.Equal(t, p, again)
}
