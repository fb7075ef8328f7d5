package fsm_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/fsm"
)

func TestTheTextOfATokenIsFrozen(t *testing.T) {
	text := fsm.FormatCredential(fsm.TokenServer, "abcdefABCDEF", strings.Repeat("s", 43))
	require.Equal(t, "hst_srv_abcdefABCDEF_sssssssssssssssssssssssssssssssssssssssssss0XU5pS", text)
	kind, id, err := fsm.ParseCredential(text)
	require.NoError(t, err)
	require.Equal(t, fsm.TokenServer, kind)
	require.Equal(t, "abcdefABCDEF", id)
	require.Equal(t, id, fsm.CredentialID(text))
	require.Empty(t, fsm.CredentialID(text[1:]))
	require.Equal(t, sha256.Sum256([]byte(text)), fsm.CredentialDigest(text))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, _, err := fsm.ParseCredential(text); err != nil {
			panic(err)
		}
		fsm.CredentialDigest(text)
	}))
}

func TestAMistypedTokenIsToldAsSuch(t *testing.T) {
	text := fsm.FormatCredential(fsm.TokenAdmin, "abcdefABCDEF", strings.Repeat("s", 43))
	for name, c := range map[string]struct{ text, says string }{
		"nothing":          {"", "begins with hst_"},
		"a password":       {"nothing", "begins with hst_"},
		"cut off":          {text[:40], "cut"},
		"with a line end":  {text + "\n", "more was copied"},
		"an unknown kind":  {fsm.FormatCredential("xyz", "abcdefABCDEF", strings.Repeat("s", 43)), "KIND"},
		"a changed letter": {strings.Replace(text, "abc", "abd", 1), "a character was changed"},
	} {
		_, _, err := fsm.ParseCredential(c.text)
		require.ErrorContains(t, err, c.says, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(4, len(text)-1).Draw(t, "at")
		other := rapid.SampledFrom([]byte(fsm.Alphabet)).Filter(func(c byte) bool { return c != text[at] }).Draw(t, "other")
		if _, _, err := fsm.ParseCredential(text[:at] + string(other) + text[at+1:]); err == nil {
			t.Fatal("one changed character was not found")
		}
	})
}

func FuzzParseCredential(f *testing.F) {
	f.Add(fsm.FormatCredential(fsm.TokenClient, "abcdefABCDEF", strings.Repeat("s", 43)))
	f.Add("hst_")
	f.Fuzz(func(t *testing.T, text string) {
		kind, id, err := fsm.ParseCredential(text)
		if err == nil && !strings.HasPrefix(text, "hst_"+string(kind)+"_"+id+"_") {
			t.Fatalf("%q was read as %s %s", text, kind, id)
		}
	})
}
