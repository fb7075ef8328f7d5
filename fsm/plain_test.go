package fsm

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
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
