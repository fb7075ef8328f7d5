package evaluator_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	stricter "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
)

// The canonical bytes are hashed on every node: this text may never change.
func TestCanonicalIsFrozen(t *testing.T) {
	f := decodeFlag(t, `{"default":{"split":{"hash":"murmur3-32","by":"targetingKey","weights":[{"weight":1000,"variant":"a"},{"weight":99000,"variant":"b"}],
		"ranges":[{"from":0,"to":42949673,"variant":"a"},{"variant":"b","from":42949673,"to":4294967296,"down":true}],"missing":"b","salt":"s"},"label":"x"},
		"rules":[{"then":{"variant":"a"},"if":[{"values":["é","\u2028",1.0,1e21,-0.0,true],"operator":"in","attribute":"n","negate":true,"ifMissing":true,"coerce":true,"ignoreCase":true}],"description":"d","id":"r"}],
		"prerequisites":[{"variants":["on"],"flag":"p"}],"off":"a","variants":[{"value":{"b":[1,{"d":null,"c":"\u0001\""}],"a":{}},"key":"a"},{"key":"b"}],
		"enabled":true,"clientVisible":true,"archived":false,"expires":"2026-12-31","temporary":true,"metadata":{"z":1,"a":"x"},"annotations":{"b":"1","a":"2"},
		"tags":["z","a","z"],"owner":"o","description":"line\nline","name":"n","type":"object","kind":"flag","key":"f"}`)
	golden(t, "canonical.json", append(f.Canonical(), '\n'))
	s, err := evaluator.DecodeSegment([]byte(`{"rules":[{"if":[{"operator":"exists","attribute":"a"}]}],"exclude":["x"],"include":["b","a"],"by":"targetingKey","description":"d","name":"n","key":"s"}`))
	require.NoError(t, err)
	require.Equal(t, `{"key":"s","name":"n","description":"d","include":["b","a"],"exclude":["x"],"rules":[{"if":[{"attribute":"a","operator":"exists"}]}]}`, string(s.Canonical()))
}

func TestCanonicalIsAFixedPoint(t *testing.T) {
	paths := []string{"reasons", "truth-table", "operators", "semver", "segments", "prerequisites", "buckets"}
	for _, path := range paths {
		file, _ := readCases(t, fmt.Sprintf("testdata/cases/%s.json", path))
		for _, text := range file.Flags {
			first := decodeFlag(t, string(text))
			f := decodeFlag(t, string(first.Canonical())) // empty lists are gone now
			again := decodeFlag(t, string(f.Canonical()))
			require.Equal(t, string(first.Canonical()), string(again.Canonical()))
			require.Equal(t, f, again)
		}
	}
}

func drawValue(t *rapid.T, depth int) evaluator.Value {
	switch k := rapid.IntRange(0, 5).Draw(t, "kind"); {
	case k == 4 && depth < 4:
		var members []evaluator.Attribute
		for _, name := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "names") {
			members = append(members, evaluator.Attribute{Name: name, Value: drawValue(t, depth+1)})
		}
		return evaluator.Object(members)
	case k == 5 && depth < 4:
		var elems []evaluator.Value
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			elems = append(elems, drawValue(t, depth+1))
		}
		return evaluator.List(elems)
	case k == 1:
		return evaluator.Bool(rapid.Bool().Draw(t, "bool"))
	case k == 2:
		return evaluator.Number(rapid.OneOf(rapid.Float64(), rapid.Map(rapid.IntRange(-1<<53+1, 1<<53-1), func(i int) float64 { return float64(i) })).Draw(t, "number"))
	case k == 3:
		return evaluator.String(rapid.String().Draw(t, "text"))
	}
	return evaluator.Value{}
}

// RFC 8785 orders members by UTF-16 and writes whole numbers up to 1e21 without an exponent; ours are ordered bytewise
// and such numbers stay floats, so only texts and smaller numbers are compared with it.
func TestValuesAreWrittenAsCanonicalJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawValue(t, 0)
		text := v.AppendJSON(nil)
		require.True(t, jsontext.Value(text).IsValid(), string(text))
		var back evaluator.Value
		require.NoError(t, json.Unmarshal(text, &back))
		require.True(t, v.Equal(back) && back.Equal(v), string(text))
		require.Equal(t, string(text), string(back.AppendJSON(nil)))
		viaStream := evaluator.Value{}
		require.NoError(t, stricter.Unmarshal(text, &viaStream))
		require.Equal(t, back, viaStream)
		if v.Kind() == evaluator.KindString || (v.Kind() == evaluator.KindNumber && math.Abs(v.AsNumber()) < 1<<53) {
			canonical := jsontext.Value(text).Clone()
			require.NoError(t, canonical.Canonicalize())
			require.Equal(t, string(canonical), string(text))
		}
	})
}

func TestSettleStoresSaltAndRangesOnce(t *testing.T) {
	percent := func(key string, on int, more string) *evaluator.Flag {
		return decodeFlag(t, fmt.Sprintf(`{"key":%q,%s,"rules":[{"id":"r","then":{"split":{%s"weights":[{"variant":"on","weight":%d},{"variant":"off","weight":%d}]}}}],"default":{"variant":"off"}}`,
			key, onOff, more, on, 100_000-on))
	}
	split := func(f *evaluator.Flag) *evaluator.Split { return f.Rules[0].Then.Split }
	declared := percent("f", 10_000, "")
	first := declared.Settle(nil)
	require.Nil(t, split(declared).Ranges, "the flag given is not changed")
	require.Equal(t, "f/r", split(first).Salt)
	require.Equal(t, evaluator.Reallocate(nil, split(first).Weights), split(first).Ranges)

	more := percent("f", 30_000, "").Settle(first)
	require.Equal(t, "f/r", split(more).Salt)
	require.Equal(t, evaluator.Reallocate(split(first).Ranges, split(more).Weights), split(more).Ranges)

	copied := *more
	copied.Key = "renamed"
	require.Equal(t, "f/r", split(copied.Settle(nil)).Salt, "a stored salt is copied, never derived again")

	custom := percent("f", 10_000, `"salt":"custom",`).Settle(nil)
	require.Equal(t, "custom", split(percent("f", 20_000, "").Settle(custom)).Salt, "not saying the salt keeps it")

	other := percent("f", 30_000, `"salt":"other",`).Settle(first)
	require.Equal(t, evaluator.Reallocate(nil, split(other).Weights), split(other).Ranges, "another salt begins anew")
}
