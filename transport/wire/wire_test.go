package wire_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"encoding/json"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// Every definition of the case files survives the way through a message, byte for byte of its canonical form.
func TestDefinitionsSurviveTheMessage(t *testing.T) {
	files, err := filepath.Glob("../../evaluator/testdata/cases/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var file struct{ Flags, Segments []json.RawMessage }
		require.NoError(t, json.Unmarshal(data, &file))
		for _, raw := range file.Flags {
			f, err := evaluator.DecodeFlag(raw)
			require.NoError(t, err)
			back, err := wire.DecodeFlag(overTheWire(t, wire.EncodeFlag(f), new(hoistv1.Flag)))
			require.NoError(t, err)
			require.Equal(t, string(f.Canonical()), string(back.Canonical()))
		}
		for _, raw := range file.Segments {
			s, err := evaluator.DecodeSegment(raw)
			require.NoError(t, err)
			back, err := wire.DecodeSegment(overTheWire(t, wire.EncodeSegment(s), new(hoistv1.Segment)))
			require.NoError(t, err)
			require.Equal(t, string(s.Canonical()), string(back.Canonical()))
		}
	}
}

// A flag with every member set, so that a member forgotten on either side shows.
func TestEveryMemberOfAFlagSurvives(t *testing.T) {
	f, err := evaluator.DecodeFlag([]byte(`{"key":"k","kind":"flag","type":"object","name":"n","description":"d","owner":"o","tags":["a","b"],
		"annotations":{"x":"y"},"metadata":{"m":1,"s":"t","b":true},"temporary":true,"expires":"2027-01-01T00:00:00Z","archived":true,"clientVisible":true,
		"enabled":true,"variants":[{"key":"v","value":{"a":[1,"2",null,{"b":false}]}},{"key":"w"}],"off":"v","prerequisites":[{"flag":"p","variants":["on"]}],
		"rules":[{"id":"r","description":"rd","if":[{"attribute":"a","operator":"in","values":[1,"x",true],"negate":true,"ifMissing":true,"coerce":true,"ignoreCase":true}],
		"then":{"split":{"by":"plan","salt":"s","hash":"murmur3-32","missing":"v","weights":[{"variant":"v","weight":100000}],"ranges":[{"variant":"v","from":1,"to":4294967296,"down":true}]},"label":"l"}}],
		"default":{"variant":"w"}}`))
	require.NoError(t, err)
	back, err := wire.DecodeFlag(overTheWire(t, wire.EncodeFlag(f), new(hoistv1.Flag)))
	require.NoError(t, err)
	require.Equal(t, string(f.Canonical()), string(back.Canonical()))
}

func overTheWire[M proto.Message](t testing.TB, in, out M) M {
	t.Helper()
	data, err := proto.Marshal(in)
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(data, out))
	return out
}

func TestValuesThatAMessageCanHoldAndADefinitionCannot(t *testing.T) {
	deep := structpb.NewNullValue()
	for range 40 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	for name, m := range map[string]*structpb.Value{
		"not a number": structpb.NewNumberValue(math.NaN()), "infinite": structpb.NewNumberValue(math.Inf(1)),
		"unset": {}, "deep": deep,
	} {
		_, err := wire.DecodeFlag(&hoistv1.Flag{Key: "k", Variants: []*hoistv1.Variant{{Key: "v", Value: m}}})
		var problems evaluator.Problems
		require.ErrorAs(t, err, &problems, name)
		require.Contains(t, problems[0].Field, "/variants/0/value", name)
	}
	_, err := wire.DecodeFlag(nil)
	require.Error(t, err)
	_, err = wire.DecodeSegment(nil)
	require.Error(t, err)
}

func TestContextsOfMessagesHaveTheLimitsOfEveryDoor(t *testing.T) {
	var c evaluator.Context
	m, err := structpb.NewStruct(map[string]any{"targetingKey": "u", "nested": map[string]any{"a": 1.0}, "list": []any{"x", nil}})
	require.NoError(t, err)
	require.NoError(t, wire.DecodeContext(m, &c))
	require.Equal(t, "u", c.TargetingKey)
	require.NoError(t, wire.DecodeContext(nil, &c))
	require.Empty(t, c.TargetingKey)
	for name, value := range map[string]any{"targetingKey": 7.0, "nan": math.NaN()} {
		bad := &structpb.Struct{Fields: map[string]*structpb.Value{name: structpb.NewNumberValue(value.(float64))}}
		var known *evaluator.ContextError
		require.ErrorAs(t, wire.DecodeContext(bad, &c), &known, name)
		require.Equal(t, evaluator.ErrorInvalidContext, known.Code)
	}
}

// FuzzDecodeFlag feeds arbitrary messages: nothing panics, and what is accepted is stable from then on.
func FuzzDecodeFlag(f *testing.F) {
	seed, err := proto.Marshal(&hoistv1.Flag{Key: "k", Type: "boolean", Metadata: map[string]*structpb.Value{"a": structpb.NewBoolValue(true)},
		Rules: []*hoistv1.Rule{{Id: "r", If: []*hoistv1.Clause{{Operator: "in", Values: []*structpb.Value{structpb.NewStringValue("x")}}}, Then: &hoistv1.Serve{Variant: "on"}}}})
	require.NoError(f, err)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var m hoistv1.Flag
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		flag, err := wire.DecodeFlag(&m)
		if err != nil {
			return
		}
		flag.Check()
		again, err := wire.DecodeFlag(wire.EncodeFlag(flag))
		require.NoError(t, err)
		require.Equal(t, string(flag.Canonical()), string(again.Canonical()))
	})
}

// FuzzDecodeContext feeds arbitrary structs: nothing panics.
func FuzzDecodeContext(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m structpb.Struct
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		var c evaluator.Context
		_ = wire.DecodeContext(&m, &c)
	})
}
