package openfeature

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client"
)

func TestContextsKeepTheirTypes(t *testing.T) {
	about, err := contextOf(map[string]any{
		"targetingKey": "user-1", "plan": "pro", "age": 29, "big": uint32(7), "ratio": 0.5, "beta": true, "nothing": nil,
		"since": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "tags": []string{"a"}, "nested": map[string]any{"n": 1},
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"targetingKey":"user-1","plan":"pro","age":29,"big":7,"ratio":0.5,"beta":true,"nothing":null,
		"since":"2026-01-02T03:04:05Z","tags":["a"],"nested":{"n":1}}`, string(about.AppendCanonical(nil)))
	require.Equal(t, "user-1", about.TargetingKey)

	number, err := contextOf(map[string]any{"targetingKey": 5})
	require.NoError(t, err)
	require.Empty(t, number.TargetingKey, "a key that is no text is an attribute like others")
	_, err = contextOf(map[string]any{"bad": func() {}})
	require.ErrorContains(t, err, `"bad"`)
}

func TestProviderThatHasNotStartedSaysSo(t *testing.T) {
	p := NewProvider(client.Config{Addr: "127.0.0.1:1"})
	d := p.BooleanEvaluation(t.Context(), "x", true, nil)
	require.True(t, d.Value)
	require.ErrorContains(t, d.Error(), "PROVIDER_NOT_READY")
	require.NoError(t, p.ShutdownWithContext(t.Context()), "nothing to stop")
}

func TestPlainValuesAreThoseOfJSON(t *testing.T) {
	var v evaluator.Value
	require.NoError(t, v.UnmarshalJSON([]byte(`{"a":[1,"x",true,null],"b":{"c":0.5}}`)))
	require.Equal(t, map[string]any{"a": []any{1.0, "x", true, nil}, "b": map[string]any{"c": 0.5}}, plain(v))
}
