package wire_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// requireSameCall holds what was read against the message that the library reads from the same bytes.
func requireSameCall(t *testing.T, c *wire.EvaluateCall, err error, m *hoistv1.EvaluateRequest) {
	t.Helper()
	require.NoError(t, err)
	require.Nil(t, m.GetRead())
	require.Empty(t, m.ProtoReflect().GetUnknown())
	require.Equal(t, m.GetEnvironment(), string(c.Environment))
	require.Equal(t, m.GetKey(), string(c.Key))
	var want evaluator.Context
	require.NoError(t, wire.DecodeContext(m.GetContext(), &want))
	require.Equal(t, want.TargetingKey, c.Context.TargetingKey)
	require.Len(t, c.Context.Attributes, len(want.Attributes))
	for i, a := range want.Attributes {
		require.Equal(t, a.Name, c.Context.Attributes[i].Name)
		require.Equal(t, a.Value.Kind(), c.Context.Attributes[i].Value.Kind())
		require.Equal(t, string(a.Value.AppendJSON(nil)), string(c.Context.Attributes[i].Value.AppendJSON(nil)))
		require.Equal(t, math.Float64bits(a.Value.AsNumber()), math.Float64bits(c.Context.Attributes[i].Value.AsNumber()))
	}
}

var callsInJSON = map[string]bool{ // whether they are plain
	`{}`: true,
	` {"key" : "a" , "environment":"dev","context":{"targetingKey":"u","n":-1.5,"b":true,"z":null,"o":{"l":[1,"ü",{}]}}} `: true,
	`{"key":"a","context":{}}`:                         true,
	`{"key":"a","key":"b"}`:                            false,
	`{"key":"a",}`:                                     false,
	`{"key":"a"} {}`:                                   false,
	`{"key":"a"`:                                       false,
	`{"key":null}`:                                     false,
	`{"key":"\u0061"}`:                                 false,
	`{"key":"a","other":1}`:                            false,
	`{"key":"a","read":{"minRevision":"1"}}`:           false,
	`{"key":"a","context":null}`:                       false,
	`{"key":"a","context":{"a":1,"a":2}}`:              false,
	`{"key":"a","context":{"targetingKey":1}}`:         false,
	`{"key":"a","context":{"a":1e400}}`:                false,
	`{"key":"a","context":{"a":-0}}`:                   false,
	`{"key":"a","context":{"a":9007199254740993}}`:     false,
	"{\"key\":\"a\x00\"}":                              false,
	"{\"key\":\"\xff\"}":                               false,
	"{\"key\":\"a\"}\x00":                              false,
	`{"key":"a","context":{"a":"\ud800"}}`:             false,
	`{"key":"a","context":{"a":{"b":1,"b":2}}}`:        false,
	`{"key":"a","context":{"a":[1,2}}}`:                false,
	`{"key":"a","context":{"a":01}}`:                   false,
	`{"key":"a","context":{"a":0.1,"b":[10,2,0.5e1]}}`: false,
}

func TestPlainCallsInJSON(t *testing.T) {
	var c wire.EvaluateCall
	for text, plain := range callsInJSON {
		require.Equal(t, plain, c.ReadJSON([]byte(text)), text)
	}
}

// FuzzCallInJSON: what is read without the library is what the library reads.
func FuzzCallInJSON(f *testing.F) {
	for text := range callsInJSON {
		f.Add([]byte(text))
	}
	for depth := 28; depth < 36; depth++ {
		f.Add([]byte(`{"context":{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}}`))
		f.Add([]byte(`{"context":{"a":` + strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) + `}}`))
	}
	var c wire.EvaluateCall
	f.Fuzz(func(t *testing.T, data []byte) {
		if !c.ReadJSON(data) {
			return
		}
		var m hoistv1.EvaluateRequest
		requireSameCall(t, &c, protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, &m), &m)
	})
}

// callsInProto are messages, and whether they are plain.
func callsInProto(t testing.TB) map[string]bool {
	of := func(m *hoistv1.EvaluateRequest) string {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		require.NoError(t, err)
		return string(data)
	}
	about := func(members map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(members)
		require.NoError(t, err)
		return s
	}
	plain := of(&hoistv1.EvaluateRequest{Environment: "dev", Key: "a", Context: about(map[string]any{"targetingKey": "u", "n": -1.5, "b": true, "c": false,
		"z": nil, "o": map[string]any{"l": []any{1, "ü\n", map[string]any{}}}})})
	return map[string]bool{
		"": true, plain: true, of(&hoistv1.EvaluateRequest{Key: "a", Context: about(nil)}): true,
		of(&hoistv1.EvaluateRequest{Key: "a", Read: &hoistv1.ReadOptions{}}):                                           false,
		of(&hoistv1.EvaluateRequest{Key: "a", Context: about(map[string]any{"a": math.Inf(1)})}):                       false,
		of(&hoistv1.EvaluateRequest{Key: "a", Context: about(map[string]any{"a": math.NaN()})}):                        false,
		of(&hoistv1.EvaluateRequest{Key: "a", Context: about(map[string]any{"targetingKey": 1})}):                      false,
		of(&hoistv1.EvaluateRequest{Key: "a", Context: &structpb.Struct{Fields: map[string]*structpb.Value{"a": {}}}}): false,
		"\x12\x01a\x12\x01b":   false, // twice
		"\x12\x01a\x0a\x01b":   false, // out of order
		"\x12\x01\xff":         false, // no text
		"\x12\x02a":            false, // too short
		"\x10\x01":             false, // another type
		plain + "\xa2\x06\x00": false, // an unknown field
		"\x1a\x12\x0a\x07\x0a\x01a\x12\x02\x20\x01\x0a\x07\x0a\x01a\x12\x02\x20\x00": false, // a member twice
		"\x1a\x0b\x0a\x09\x0a\x01a\x12\x04\x20\x01\x20\x00":                          false, // a value twice
	}
}

func TestPlainCallsInProtobuf(t *testing.T) {
	var c wire.EvaluateCall
	for data, plain := range callsInProto(t) {
		require.Equal(t, plain, c.ReadProto([]byte(data)), "%q", data)
	}
}

// FuzzCallInProtobuf: what is read without the library is what the library reads.
func FuzzCallInProtobuf(f *testing.F) {
	for data := range callsInProto(f) {
		f.Add([]byte(data))
	}
	deep := structpb.NewBoolValue(true)
	for range 36 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
		data, err := proto.Marshal(&hoistv1.EvaluateRequest{Context: &structpb.Struct{Fields: map[string]*structpb.Value{"a": deep}}})
		require.NoError(f, err)
		f.Add(data)
	}
	var c wire.EvaluateCall
	f.Fuzz(func(t *testing.T, data []byte) {
		if !c.ReadProto(data) {
			return
		}
		var m hoistv1.EvaluateRequest
		requireSameCall(t, &c, proto.Unmarshal(data, &m), &m)
	})
}

// Answers written without the library are the messages that EncodeResult makes.
func TestAnswersAreTheMessages(t *testing.T) {
	flag := func(text string) *evaluator.Compiled {
		f, err := evaluator.DecodeFlag([]byte(text))
		require.NoError(t, err)
		compiled, err := evaluator.Compile(f)
		require.NoError(t, err)
		return compiled
	}
	plain := flag(`{"key":"k","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)
	rich := flag(`{"key":"k","type":"boolean","enabled":true,"metadata":{"m":1.5,"s":"\"ü\"","b":false,"e":""},"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)
	var values []evaluator.Value
	for _, text := range []string{`true`, `false`, `0`, `-1.5`, `1e300`, `9007199254740991`, `""`, `"a\"\u0001ü"`, `{}`, `{"a":[1,null,{"b":"c"}]}`, `[]`, `null`} {
		var v evaluator.Value
		require.NoError(t, v.UnmarshalJSON([]byte(text)))
		values = append(values, v)
	}
	results := []evaluator.Result{{Reason: evaluator.ReasonDisabled}, {Reason: evaluator.ReasonSplit, Variant: "on", RuleID: "r", Label: "\"canary\""}}
	for _, v := range values {
		results = append(results, evaluator.Result{HasValue: true, Value: v, Reason: evaluator.ReasonStatic, Variant: "on"})
	}
	for _, f := range []*evaluator.Compiled{plain, rich} {
		for _, r := range results {
			for _, at := range []wire.Place{{}, {Epoch: "e", Revision: math.MaxUint64, AgeMs: math.MaxInt64}, {Epoch: "e", Revision: 1, AgeMs: -1}} {
				want := &hoistv1.EvaluateResponse{Evaluation: wire.EncodeResult(f.Key(), f, r),
					Position: &hoistv1.Position{Epoch: at.Epoch, Revision: at.Revision, AgeMs: at.AgeMs}}
				var got hoistv1.EvaluateResponse
				require.NoError(t, proto.Unmarshal(wire.AppendEvaluateProto(nil, f, &r, at), &got))
				require.True(t, proto.Equal(want, &got), "want %v, got %v", want, &got)
				require.Empty(t, got.ProtoReflect().GetUnknown())
				text := wire.AppendEvaluateJSON([]byte("before"), f, &r, at)[len("before"):]
				got.Reset()
				require.NoError(t, protojson.Unmarshal(text, &got), string(text))
				require.True(t, proto.Equal(want, &got), "want %v, got %v", want, &got)
				theirs, err := protojson.Marshal(want)
				require.NoError(t, err)
				require.JSONEq(t, string(theirs), string(text), "the same members are left out")
			}
		}
	}
}
