package fsm_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func (n *node) use(c fsm.NoteUse) {
	n.t.Helper()
	c.Scope = dev
	require.NoError(n.t, n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(c)}).Err)
}

// unset is a flag that nobody enabled.
func unset(key string) string {
	return strings.Replace(boolean(key, ""), `"enabled":true,`, "", 1)
}

// S4-11: at 100 % or unevaluated for D days, or past expiry, with the reason
func TestStaleFlagsAreListedWithTheirReasons(t *testing.T) {
	n := newNode(t)
	const day = 24 * 3_600_000
	n.put(boolean("everybody", `,"owner":"team"`), boolean("expired", `,"temporary":true,"expires":"2001-01-01","owner":"team"`), unset("forgotten"), unset("used"))
	stale := func(days int) map[string]string {
		out := map[string]string{}
		for _, s := range n.env().Stale(n.store.State().Now(), days) {
			out[s.Flag.Key] = strings.Join(s.Reasons, "; ")
		}
		return out
	}
	n.now += 40 * day
	n.use(fsm.NoteUse{Flags: []string{"everybody", "used", "none"}})
	found := stale(30)
	require.Contains(t, found["everybody"], "serves on to everybody")
	require.Contains(t, found["expired"], "expired on 2001-01-01")
	require.Contains(t, found["forgotten"], "never evaluated")
	require.NotContains(t, found, "used")
	require.NotContains(t, stale(60), "everybody", "not for as long")

	n.use(fsm.NoteUse{Whole: true})
	require.NotContains(t, stale(30), "forgotten", "somebody reads the environment as a whole")

	loaded := fsm.NewStore()
	require.NoError(t, loaded.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), loaded.State())
	n.do(fsm.DeleteFlag{Scope: dev, Key: "used"})
	_, ok := n.env().Used("used")
	require.False(t, ok)
	revision := n.env().Revision()
	n.use(fsm.NoteUse{Flags: []string{"everybody"}, Whole: true})
	require.Equal(t, revision, n.env().Revision(), "once a day is enough")
	n.refuse(fsm.KindDenied, fsm.NoteUse{Scope: dev, Flags: []string{"everybody"}})
}
