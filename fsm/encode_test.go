package fsm_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/fsm"
)

func TestCommandsSurviveEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawCommand(rt, 1)
		b, err := fsm.EncodeCommand(c)
		require.NoError(rt, err)
		back, err := fsm.DecodeCommand(b)
		require.NoError(rt, err)
		again, err := fsm.EncodeCommand(back)
		require.NoError(rt, err)
		require.Equal(rt, b, again)
		require.Equal(rt, c.Verb(), back.Verb())
	})
	n := newNode(t)
	for _, c := range []fsm.Command{
		fsm.LeaderEstablished{Term: 3, ServerID: "s", ClusterID: "c", Epoch: "e", LawLow: 1, LawHigh: 2},
		fsm.RaiseVersion{Version: 2}, fsm.Checksum{Index: 4096, Hash: "ab"}, fsm.CreateTenant{Tenant: "t", Name: "T"},
		fsm.CreateEnvironment{Tenant: "t", Environment: "e", Name: "E"},
		fsm.Stage{Scope: dev, Change: "c", Part: 2, Fragment: []byte{1, 2, 3}, Last: true},
		fsm.Stage{Scope: dev, Change: "c", Commands: []fsm.Command{fsm.Unkill{Scope: dev, Key: "a"}}},
		fsm.Commit{Scope: dev, Change: "c", Parts: 3, Hash: "ab"},
		fsm.SetPolicy{Scope: dev, Policy: fsm.Policy{RequiredApprovals: ptr(2), AllowFrom: &[]string{"qa"}, Protected: ptr(true)}, Reset: true},
		fsm.OrderEnvironments{Tenant: "t", Environments: []string{"b", "a"}},
		fsm.OpenChange{Scope: dev, Title: "t", Since: 7, Commands: []fsm.Command{fsm.Unkill{Scope: dev, Key: "a"}}},
		fsm.EditChange{Scope: dev, ID: "c", Commands: []fsm.Command{fsm.Unkill{Scope: dev, Key: "a"}}},
		fsm.OpenPromotion{Scope: dev, Source: "qa", Type: fsm.PromotionPattern, KeyPatterns: []string{"a*"}, Notes: "n"},
		fsm.MoveChange{Scope: dev, ID: "c", Move: fsm.ChangeMoveSchedule, Hash: "ab", At: 9, Zone: "UTC", Force: true},
	} {
		back, err := fsm.DecodeCommand(n.encode(c))
		require.NoError(t, err)
		require.Equal(t, c, back)
	}
}

func TestProposalsSurviveEncoding(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &fsm.Proposal{RequestID: rapid.String().Draw(rt, "id"), At: rapid.Int64().Draw(rt, "at"),
			Actor:          fsm.Actor{Kind: rapid.String().Draw(rt, "kind"), ID: rapid.String().Draw(rt, "actor"), Email: rapid.String().Draw(rt, "email")},
			Comment:        rapid.String().Draw(rt, "comment"),
			ControllerTerm: rapid.Uint64().Draw(rt, "term"), Command: rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(rt, "command")}
		if rapid.Bool().Draw(rt, "expected") {
			revision := rapid.Uint64().Draw(rt, "revision")
			p.ExpectedRevision = &revision
		}
		back, err := fsm.DecodeProposal(p.Encode())
		require.NoError(rt, err)
		require.Equal(rt, p, back)
	})
}

// Enable, disable and kill never carry a whole flag.
func TestSmallCommandsStaySmall(t *testing.T) {
	n := newNode(t)
	for _, c := range []fsm.Command{
		fsm.SetEnabled{Scope: fsm.Scope{Tenant: "default", Environment: "production"}, Key: "checkout-with-a-long-name", Enabled: true},
		fsm.Kill{Scope: fsm.Scope{Tenant: "default", Environment: "production"}, Key: "checkout-with-a-long-name"},
	} {
		p := n.proposal(c)
		p.RequestID = uuid7(start, 1)
		p.At = start
		require.LessOrEqual(t, len(p.Encode()), 200)
	}
}

func TestBatchNamesItsEnvironmentOnce(t *testing.T) {
	b := newNode(t).encode(fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.Unkill{Scope: dev, Key: "a"}, fsm.Unkill{Scope: dev, Key: "b"}}})
	require.Equal(t, 1, strings.Count(string(b), "environment"))
}

func TestMalformedCommandsAreRefusedBeforeTheLog(t *testing.T) {
	n := newNode(t)
	scope := `"tenant":"default","environment":"dev",`
	for name, data := range map[string][]byte{
		"empty":           {},
		"newer version":   append([]byte{2, 1, 0}, "{}"...),
		"unknown type":    append([]byte{1, 99, 0}, "{}"...),
		"unknown member":  append([]byte{1, 10, 0}, `{`+scope+`"key":"a","force":true}`...),
		"duplicate":       append([]byte{1, 10, 0}, `{`+scope+`"key":"a","key":"b"}`...),
		"other case":      append([]byte{1, 10, 0}, `{`+scope+`"Key":"a"}`...),
		"trailing":        append([]byte{1, 10, 0}, `{`+scope+`"key":"a"}}`...),
		"member of flag":  append([]byte{1, 6, 0}, `{`+scope+`"flag":{"key":"a","typ":"boolean"}}`...),
		"nested unknown":  append([]byte{1, 15, 0}, `{`+scope+`"commands":[{"type":99,"body":{}}]}`...),
		"invalid UTF-8":   append([]byte{1, 10, 0}, "{"+scope+"\"key\":\"\xff\"}"...),
		"flag is missing": append([]byte{1, 6, 0}, `{`+scope+`"flag":null}`...),
	} {
		t.Run(name, func(t *testing.T) {
			p := n.proposal(fsm.CreateTenant{Tenant: "x"})
			p.Command = data
			var e *fsm.Error
			require.ErrorAs(t, n.store.State().Admit(p), &e)
			require.Contains(t, []fsm.Kind{fsm.KindMalformed, fsm.KindInvalid}, e.Kind)
		})
	}
}

func FuzzDecodeCommand(f *testing.F) {
	n := newNode(f)
	f.Add(n.encode(put(f, boolean("checkout", ""))))
	f.Add(n.encode(fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.Unkill{Scope: dev, Key: "a"}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := fsm.DecodeCommand(data)
		if err != nil {
			return
		}
		b, err := fsm.EncodeCommand(c)
		require.NoError(t, err)
		back, err := fsm.DecodeCommand(b)
		require.NoError(t, err)
		again, err := fsm.EncodeCommand(back)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzDecodeProposal(f *testing.F) {
	f.Add((&fsm.Proposal{RequestID: "a", Command: []byte{1}}).Encode())
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = fsm.DecodeProposal(data)
	})
}
