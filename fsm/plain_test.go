package fsm

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
)

func plainCommand(t *rapid.T) Command {
	text := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9._-]{0,9}`), rapid.String(), rapid.StringMatching(`[ -~]{0,9}`))
	scope := Scope{Tenant: text.Draw(t, "tenant"), Environment: text.Draw(t, "environment")}
	key, truth := text.Draw(t, "key"), rapid.Bool().Draw(t, "truth")
	return rapid.SampledFrom([]Command{SetEnabled{scope, key, truth}, SetArchived{scope, key, truth}, Kill{scope, key, text.Draw(t, "reason")}, Unkill{scope, key}}).
		Draw(t, "command")
}

// The short way writes what the library would, so that no node can tell which way a command went.
func TestPlainCommandsAreWrittenAsTheLibraryWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plainCommand(t)
		short, ok := encodePlain(c)
		if !ok {
			return
		}
		long, err := json.Marshal(c, plainOptions())
		require.NoError(t, err)
		require.Equal(t, string(long), string(short))
		back, ok := decodePlain(numberOf(c), short)
		require.True(t, ok)
		require.Equal(t, c, back)
	})
}

// What the short way reads, the library reads too, and the same.
func FuzzPlainCommand(f *testing.F) {
	for _, body := range []string{`{}`, `{"key":"a"}`, `{"tenant":"t","environment":"e","key":"a","enabled":true}`, `{"key":"a","enabled":false}`,
		`{"key":"a","key":"b"}`, `{"key":"a","archived":true}`, `{"key":"a","reason":"b"}`, `{"key":"a",}`, `{"key":"a\u0041"}`, `{"Key":"a"}`, `{"key":"ä"}`,
		`{"key":"a" }`, `{"key":null}`, `{"key":"a","enabled":truefalse}`, `{"reason":"","enabled":true}`} {
		for _, number := range []uint64{typeSetEnabled, typeSetArchived, typeKill, typeUnkill, typeDeleteFlag} {
			f.Add(number, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, number uint64, body []byte) {
		short, ok := decodePlain(number, body)
		if !ok {
			return
		}
		long, err := decodeLong(number, body)
		require.NoError(t, err)
		require.Equal(t, long, short)
	})
}

// The layers of a big write too have the bytes the library would give them, and come apart again.
func TestBulkCommandsAreWrittenAsTheLibraryWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[a-z <>&"\\/]{0,9}`), rapid.String())
		scope := Scope{Tenant: text.Draw(t, "tenant"), Environment: text.Draw(t, "environment")}
		yes, words := evaluator.Bool(true), evaluator.String(text.Draw(t, "value"))
		flag := &evaluator.Flag{Key: "a", Type: evaluator.TypeString, Name: text.Draw(t, "name"), Owner: text.Draw(t, "owner"), Enabled: true,
			Metadata: map[string]evaluator.Value{text.Draw(t, "metadata"): yes}, Variants: []evaluator.Variant{{Key: "v", Value: &words}}, Default: &evaluator.Serve{Variant: "v"}}
		put := PutFlag{Scope: scope, Flag: flag}
		if short, ok := encodePutFlag(put); ok {
			long, err := json.Marshal(put, encodeOptions())
			require.NoError(t, err)
			require.Equal(t, string(long), string(short))
			back, ok := peelPutFlag(short)
			require.True(t, ok)
			require.Equal(t, scope, back.Scope)
			require.Equal(t, flag.Canonical(), back.Flag.Canonical())
		}
		commands := []Command{put, SetEnabled{scope, "b", true}, PutFlag{Scope{"t", "e"}, flag}}[:rapid.IntRange(0, 3).Draw(t, "commands")]
		nested, err := encodeNested(scope, commands)
		if err != nil {
			return
		}
		batch := Batch{Scope: scope, Since: rapid.Uint64Range(0, 2).Draw(t, "since"), Commands: commands}
		if short, ok, err := encodeBatch(batch); ok {
			require.NoError(t, err)
			long, err := json.Marshal(batchBody{batch, nested}, encodeOptions())
			require.NoError(t, err)
			require.Equal(t, string(long), string(short))
			samePeeled(t, short)
		}
		stage := Stage{Scope: scope, Change: text.Draw(t, "change"), Part: rapid.IntRange(0, 2).Draw(t, "part"), Commands: commands}
		if short, ok, err := encodeStage(stage); ok {
			require.NoError(t, err)
			long, err := json.Marshal(stageBody{stage, nested}, encodeOptions())
			require.NoError(t, err)
			require.Equal(t, string(long), string(short))
			samePeeled(t, short)
			_, peeled := peelStage(short)
			require.Equal(t, len(commands) == 1, peeled, "only flags of one environment come apart by hand")
			at := rapid.IntRange(0, len(short)-1).Draw(t, "at")
			scrap := rapid.SampledFrom([]string{"", " ", ",", "}", "0", `"`, `"flag":{}`, "\u0041"}).Draw(t, "scrap")
			samePeeled(t, append(append(append([]byte(nil), short[:at]...), scrap...), short[min(len(short), at+rapid.IntRange(0, 2).Draw(t, "away")):]...))
		}
	})
}

// samePeeled holds what comes apart by hand to what the library reads.
func samePeeled(t require.TestingT, body []byte) {
	if short, ok := peelStage(body); ok {
		long, err := decodeLongStage(body)
		require.NoError(t, err, string(body))
		require.Equal(t, long, short, string(body))
	}
	if short, ok := peelBatch(body); ok {
		long, err := decodeLongBatch(body)
		require.NoError(t, err, string(body))
		require.Equal(t, long, short, string(body))
	}
}

func FuzzPeelBulk(f *testing.F) {
	for _, body := range []string{`{"commands":[{"type":6,"body":{"flag":{"key":"a","type":"boolean"}}}]}`, `{"tenant":"t","since":7,"commands":[{"type":6,"body":{"flag":{}}},{"type":6,"body":{"flag":{}}}]}`,
		`{"environment":"e","change":"c","part":0,"last":false,"commands":[{"type":6,"body":{"flag":{"key":"a"}}}]}`, `{"change":"c","part":07,"last":false,"commands":[{"type":6,"body":{"flag":{}}}]}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { samePeeled(t, body) })
}

// What was peeled off is what the library would have read.
func FuzzPeelPutFlag(f *testing.F) {
	for _, body := range []string{`{"flag":{"key":"a","type":"boolean"}}`, `{"tenant":"t","environment":"e","flag":{"key":"a"}}`, `{"flag":{"key":"a"},"flag":{}}`,
		`{"flag":{"key":"a"},"x":1}`, `{"tenant":"t","tenant":"u","flag":{}}`, `{"environment":"e","flag":{}}}`, `{"flag":{}} `} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		short, ok := peelPutFlag(body)
		if !ok {
			return
		}
		raw := struct {
			Scope
			Flag jsontext.Value `json:"flag"`
		}{}
		require.NoError(t, json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)))
		long, err := evaluator.DecodeFlag(raw.Flag)
		require.NoError(t, err)
		require.Equal(t, PutFlag{Scope: raw.Scope, Flag: long}, short)
	})
}
