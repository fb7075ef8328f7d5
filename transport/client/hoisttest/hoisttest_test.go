package hoisttest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client/hoisttest"
)

func TestFlagsAreWhatTheTestSets(t *testing.T) {
	flags := hoisttest.New(t).Set("on", true).Set("name", "x").Set("count", 3).Set("limits", map[string]int{"max": 7})
	require.True(t, flags.Bool("on", false, nil))
	require.Equal(t, "x", flags.String("name", "", nil))
	require.EqualValues(t, 3, flags.Int("count", 0, nil))
	limits, _ := flags.Object("limits", evaluator.Value{}, nil).Member("max")
	require.EqualValues(t, 7, limits.AsNumber())

	require.False(t, flags.Set("on", false).Bool("on", true, nil))
	require.True(t, flags.Remove("on").Bool("on", true, nil))
	require.Equal(t, "set", flags.Exposures()[0].Variant)
	require.Equal(t, evaluator.ErrorFlagNotFound, flags.Exposures()[5].ErrorCode)
}

func TestDefineTakesAnyFlag(t *testing.T) {
	flags := hoisttest.New(t).Define(`{"key":"plan","type":"boolean","enabled":true,
		"variants":[{"key":"yes","value":true},{"key":"no","value":false}],
		"rules":[{"id":"pro","if":[{"attribute":"plan","operator":"in","values":["pro"]}],"then":{"variant":"yes"}}],
		"default":{"variant":"no"}}`)
	pro := evaluator.NewContext("u", evaluator.Attribute{Name: "plan", Value: evaluator.String("pro")})
	require.True(t, flags.Bool("plan", false, pro))
	require.False(t, flags.Bool("plan", true, nil))
}
