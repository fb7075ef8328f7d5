package evaluator_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// decodeFlag reads a flag from JSON, or fails the test.
func decodeFlag(t testing.TB, text string) *evaluator.Flag {
	t.Helper()
	f, err := evaluator.DecodeFlag([]byte(text))
	require.NoError(t, err, text)
	return f
}

func compileFlag(t testing.TB, text string) *evaluator.Compiled {
	t.Helper()
	c, err := evaluator.Compile(decodeFlag(t, text))
	require.NoError(t, err, text)
	return c
}

func compileSegment(t testing.TB, text string) *evaluator.CompiledSegment {
	t.Helper()
	s, err := evaluator.DecodeSegment([]byte(text))
	require.NoError(t, err, text)
	c, err := evaluator.CompileSegment(s)
	require.NoError(t, err, text)
	return c
}

// snapshotOf compiles flags and segments (told apart by their members) into a snapshot at revision 7.
func snapshotOf(t testing.TB, texts ...string) *evaluator.Snapshot {
	t.Helper()
	changes := evaluator.Changes{Revision: 7, At: 1000}
	for _, text := range texts {
		var shape struct{ Type string }
		require.NoError(t, json.Unmarshal([]byte(text), &shape), text)
		if shape.Type == "" {
			changes.Segments = append(changes.Segments, compileSegment(t, text))
		} else {
			changes.Flags = append(changes.Flags, compileFlag(t, text))
		}
	}
	return evaluator.EmptySnapshot("epoch").With(changes)
}

func parseContext(t testing.TB, text string) *evaluator.Context {
	t.Helper()
	c := new(evaluator.Context)
	require.NoError(t, evaluator.ParseContext([]byte(text), c), text)
	return c
}

// onOff is the middle of a boolean flag that is enabled and off by default.
const onOff = `"type":"boolean","enabled":true,"off":"off","variants":[{"key":"on","value":true},{"key":"off","value":false}]`

// ruleFlag is a boolean flag with one rule, whose clauses are given.
func ruleFlag(key, clauses string) string {
	return `{"key":"` + key + `",` + onOff + `,"rules":[{"id":"r","if":[` + clauses + `],"then":{"variant":"on"}}],"default":{"variant":"off"}}`
}

// requireNoAllocations runs a few times: a collection in between may cost regexp its pool once.
func requireNoAllocations(t testing.TB, run func(), message ...any) {
	t.Helper()
	if !raceDetector {
		require.Zero(t, testing.AllocsPerRun(10, run), message...)
	}
}
