package evaluator

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// caseFlags are the canonical forms of all definitions of the contract, which use every member.
func caseFlags(t testing.TB) (flags, segments [][]byte) {
	paths, err := filepath.Glob("testdata/cases/*.json")
	require.NoError(t, err)
	for _, path := range paths {
		var file struct {
			Flags    []json.RawMessage `json:"flags"`
			Segments []json.RawMessage `json:"segments"`
		}
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &file), path)
		for _, text := range file.Flags {
			if f, err := decodeFlag(text); err == nil {
				flags = append(flags, f.Canonical())
				if len(f.Check()) == 0 {
					flags = append(flags, f.Settle(nil).Canonical())
				}
			}
		}
		for _, text := range file.Segments {
			if s, err := decodeSegment(text); err == nil {
				segments = append(segments, s.Canonical())
			}
		}
	}
	golden, err := os.ReadFile("testdata/canonical.json")
	require.NoError(t, err)
	require.NotEmpty(t, segments)
	segments = append(segments, []byte(`{"key":"s","name":"n","description":"d","annotations":{"a":"b"},"by":"plan","include":["x","on"],"exclude":["y"],"rules":[{"if":[{"attribute":"a","operator":"exists"}]}]}`))
	return append(flags, golden[:len(golden)-1]), segments
}

// What is read by hand is what the library reads, and the canonical form always is.
func TestCanonicalDefinitionsAreReadByHand(t *testing.T) {
	flags, segments := caseFlags(t)
	require.Greater(t, len(flags), 50)
	for _, data := range flags {
		want, err := decodeFlag(data)
		require.NoError(t, err)
		for _, own := range []bool{true, false} {
			got, rest, ok := readFlag(append(data, ",more"...), own)
			require.True(t, ok, string(data))
			require.Equal(t, ",more", string(rest))
			require.Equal(t, want, got, string(data))
		}
	}
	for _, data := range segments {
		want, err := decodeSegment(data)
		require.NoError(t, err)
		got, rest, ok := readSegment(data, true)
		require.True(t, ok && len(rest) == 0, string(data))
		require.Equal(t, want, got)
	}
}

// sameAsLibrary holds what was read by hand, if anything, to the library's answer.
func sameAsLibrary(t require.TestingT, data []byte) {
	for _, own := range []bool{true, false} {
		if got, rest, ok := readFlag(data, own); ok && len(rest) == 0 {
			want, err := decodeFlag(data)
			require.NoError(t, err, string(data))
			require.Equal(t, want, got, string(data))
		}
		if got, rest, ok := readSegment(data, own); ok && len(rest) == 0 {
			want, err := decodeSegment(data)
			require.NoError(t, err, string(data))
			require.Equal(t, want, got, string(data))
		}
	}
}

// A definition that is nearly canonical is read by the library, unless both read the same.
func TestNearlyCanonicalDefinitionsAreReadAlike(t *testing.T) {
	flags, segments := caseFlags(t)
	all := append(flags, segments...)
	scraps := []string{"", "\"", ",", "{", "}", "[", "]", ":", "\\", "\\u00e9", "\\ud800", "null", "true", "false", "0", "-1", "1e3", "007", " ", "\n", "\x00", "\xff", "é",
		`"key":"x"`, `,"key":"x"`, `"on"`, `"values":[]`, `,"enabled":false`, `{}`, "99999999999999999999"}
	rapid.Check(t, func(t *rapid.T) {
		data := append([]byte(nil), rapid.SampledFrom(all).Draw(t, "definition")...)
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			at := rapid.IntRange(0, len(data)).Draw(t, "at")
			end := min(len(data), at+rapid.IntRange(0, 6).Draw(t, "away"))
			data = append(data[:at:at], append([]byte(rapid.SampledFrom(scraps).Draw(t, "scrap")), data[end:]...)...)
		}
		sameAsLibrary(t, data)
	})
}

func FuzzDefinition(f *testing.F) {
	flags, segments := caseFlags(f)
	for _, data := range append(flags, segments...) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameAsLibrary(t, data) })
}
