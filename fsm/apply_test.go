package fsm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

func TestFreshStateIsTheSameEverywhere(t *testing.T) {
	a, b := fsm.NewStore(), fsm.NewStore()
	require.Equal(t, a.State().FullHash(), b.State().FullHash())
	require.Equal(t, []string{"default"}, a.State().Tenants())
	var keys []string
	for _, e := range a.State().Environments("default") {
		keys = append(keys, e.Key())
	}
	require.Equal(t, []string{"dev", "staging", "production"}, keys)
	require.Empty(t, a.State().Epoch())
	require.Zero(t, a.State().Index())
}

func TestFirstLeaderNamesTheClusterAndLaterOnesDoNot(t *testing.T) {
	n := newNode(t)
	require.Equal(t, epoch, n.store.State().Epoch())
	n.term = 5
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(fsm.LeaderEstablished{
		Term: 5, ServerID: "b", ClusterID: "other", Epoch: "other", LawLow: 1, LawHigh: 1})})
	require.NoError(t, out.Err)
	require.Equal(t, epoch, n.store.State().Epoch())
	require.Equal(t, clusterID, n.store.State().ClusterID())
	require.EqualValues(t, 5, n.store.State().EstablishedTerm())
	require.Equal(t, epoch, n.env().Snapshot().Epoch())
}

func TestNoWriteBeforeTheFirstLeader(t *testing.T) {
	n := &node{t: t, store: fsm.NewStore(), now: start, term: 1}
	n.refuse(fsm.KindNoQuorum, put(t, boolean("checkout", "")))
}

// S4-01: a flag that says nothing about being enabled serves its off value.
func TestNewFlagIsDark_S4_01(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"checkout","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`)
	r := n.eval("checkout")
	require.Equal(t, evaluator.ReasonDisabled, r.Reason)
	require.Equal(t, "off", r.Variant)
	require.False(t, r.Value.AsBool())

	receipt := n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true})
	require.True(t, receipt.Changed)
	require.True(t, n.eval("checkout").Value.AsBool())
	require.Equal(t, n.store.State().Index(), n.eval("checkout").Revision)
}

// S2-14: disabling takes targeting away.
func TestDisabledFlagDoesNoTargeting_S2_14(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", `,"rules":[{"id":"all","then":{"variant":"on"}}]`))
	require.Equal(t, evaluator.ReasonTargetingMatch, n.eval("checkout").Reason)
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout"})
	r := n.eval("checkout")
	require.Equal(t, evaluator.ReasonDisabled, r.Reason)
	require.Equal(t, "off", r.Variant)
}

// S2-15: a variant without a value means the value in the caller's code.
func TestAbsentValueStaysAbsent_S2_15(t *testing.T) {
	n := newNode(t)
	n.put(`{"key":"title","type":"string","enabled":true,"variants":[{"key":"in-code"}],"default":{"variant":"in-code"}}`)
	r := n.eval("title")
	require.False(t, r.HasValue)
	require.Equal(t, "in-code", r.Variant)
	require.Empty(t, r.ErrorCode)
}

// S2-16: an archived flag is kept and listed, not served.
func TestArchivedFlagIsKeptNotServed_S2_16(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.do(fsm.SetArchived{Scope: dev, Key: "checkout", Archived: true})
	require.Equal(t, evaluator.ErrorFlagNotFound, n.eval("checkout").ErrorCode)
	require.Len(t, n.env().Flags(), 1)
	require.True(t, n.env().Content().Flags[0].Archived)
	n.do(fsm.SetArchived{Scope: dev, Key: "checkout"})
	require.True(t, n.eval("checkout").Value.AsBool())
}

func TestWriteThatAsksForWhatIsThereChangesNothing(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	first := n.store.State()
	for _, c := range []fsm.Command{
		put(t, boolean("checkout", "")),
		fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true},
		fsm.SetArchived{Scope: dev, Key: "checkout"},
		fsm.Unkill{Scope: dev, Key: "checkout"},
		fsm.CreateEnvironment{Tenant: "default", Environment: "dev"},
		fsm.CreateTenant{Tenant: "default"},
		fsm.Batch{Scope: dev, Commands: []fsm.Command{
			fsm.SetEnabled{Scope: dev, Key: "checkout"}, fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true}}},
	} {
		receipt := n.do(c)
		require.False(t, receipt.Changed, c.Verb())
		require.Equal(t, n.store.State().Index(), receipt.Revision)
	}
	require.EqualValues(t, 2, n.do(fsm.SetEnabled{Scope: dev, Key: "checkout", Enabled: true}).Object)
	require.Equal(t, first.DomainHash(), n.store.State().DomainHash())
	seq, _ := n.store.State().AuditHead()
	require.EqualValues(t, 1, seq)
	require.EqualValues(t, 2, n.env().Revision())
	require.Len(t, n.env().History(fsm.ObjectFlag, "checkout"), 1)
}

func TestTypeAndKindNeverChange(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	e := n.refuse(fsm.KindInvalid, put(t, `{"key":"checkout","kind":"config","type":"string","value":"x"}`))
	require.Len(t, e.Problems, 2)
	require.Equal(t, "/type", e.Problems[0].Field)
	require.Equal(t, "/kind", e.Problems[1].Field)
}

func TestFlagKeysThatDifferOnlyInCaseAreRefused(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	e := n.refuse(fsm.KindInvalid, put(t, boolean("Checkout", "")))
	require.Equal(t, "flag.key.case", e.Problems[0].Code)
	n.refuse(fsm.KindInvalid, fsm.Batch{Scope: dev, Commands: []fsm.Command{put(t, boolean("a", "")), put(t, boolean("A", ""))}})
	_, ok := n.env().Flag("Checkout")
	require.False(t, ok)
	n.do(fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.DeleteFlag{Scope: dev, Key: "checkout"}, put(t, boolean("Checkout", ""))}})
	_, ok = n.env().Flag("Checkout")
	require.True(t, ok, "a rename within one batch")
	n.do(fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.DeleteFlag{Scope: dev, Key: "Checkout"}, put(t, boolean("checkout", ""))}})
	require.Equal(t, 1, n.env().Snapshot().Len())
}

func TestDefinitionThatBreaksRulesIsRefusedWithItsFields(t *testing.T) {
	n := newNode(t)
	e := n.refuse(fsm.KindInvalid, put(t, boolean("checkout",
		`,"rules":[{"id":"beta","then":{"split":{"weights":[{"variant":"on","weight":1},{"variant":"off","weight":2}]}}}]`)))
	require.NotEmpty(t, e.Problems)
	require.Contains(t, e.Problems[0].Field, "/rules/0/then/split")
}

func TestUnknownThingsAreNotFound(t *testing.T) {
	n := newNode(t)
	elsewhere := fsm.Scope{Tenant: "default", Environment: "qa"}
	for _, c := range []fsm.Command{
		fsm.SetEnabled{Scope: dev, Key: "checkout"}, fsm.SetArchived{Scope: dev, Key: "checkout"},
		fsm.Kill{Scope: dev, Key: "checkout"}, fsm.Unkill{Scope: dev, Key: "checkout"},
		fsm.DeleteFlag{Scope: dev, Key: "checkout"}, fsm.DeleteSegment{Scope: dev, Key: "beta"},
		fsm.Restore{Scope: dev, Object: fsm.ObjectFlag, Key: "checkout", Revision: 1},
		fsm.SetEnabled{Scope: elsewhere, Key: "checkout"},
		fsm.CreateEnvironment{Tenant: "nobody", Environment: "dev"},
	} {
		n.refuse(fsm.KindNotFound, c)
	}
}

func TestTenantsAndEnvironments(t *testing.T) {
	n := newNode(t)
	n.do(fsm.CreateTenant{Tenant: "acme", Name: "Acme"})
	n.do(fsm.CreateEnvironment{Tenant: "acme", Environment: "qa", Name: "Quality"})
	require.Equal(t, []string{"acme", "default"}, n.store.State().Tenants())
	envs := n.store.State().Environments("acme")
	require.Len(t, envs, 4)
	require.Equal(t, "Quality", envs[3].Name())
	live, ok := n.store.Live("acme", "qa")
	require.True(t, ok)
	n.do(fsm.PutFlag{Scope: fsm.Scope{Tenant: "acme", Environment: "qa"}, Flag: decodeFlag(t, boolean("checkout", ""))})
	require.Equal(t, 1, live.Snapshot().Len(), "the pointer handed out before follows")
	require.Zero(t, n.env().Snapshot().Len())
	n.refuse(fsm.KindExists, fsm.CreateTenant{Tenant: "acme", Name: "Other"})
	n.refuse(fsm.KindInvalid, fsm.CreateEnvironment{Tenant: "acme", Environment: "no good"})
}

func TestExpectedRevisionDecidesBetweenTwoWriters(t *testing.T) {
	n := newNode(t)
	none, two := uint64(0), uint64(2)
	p := n.proposal(put(t, boolean("checkout", "")))
	p.ExpectedRevision = &none
	require.NoError(t, n.apply(p).Err)

	again := n.proposal(put(t, boolean("checkout", `,"name":"other"`)))
	again.ExpectedRevision = &none
	require.EqualValues(t, 2, n.refuseProposal(fsm.KindExists, again).Revision)

	first, second := n.proposal(fsm.SetEnabled{Scope: dev, Key: "checkout"}), n.proposal(put(t, boolean("checkout", `,"name":"late"`)))
	first.ExpectedRevision, second.ExpectedRevision = &two, &two
	require.NoError(t, n.apply(first).Err)
	e := n.refuseProposal(fsm.KindConflict, second)
	require.EqualValues(t, 4, e.Revision)

	n.do(fsm.DeleteFlag{Scope: dev, Key: "checkout"})
	gone := n.proposal(put(t, boolean("checkout", "")))
	gone.ExpectedRevision = &two
	n.refuseProposal(fsm.KindConflict, gone)
}

func TestBatchIsAtomicAndOneRevision(t *testing.T) {
	n := newNode(t)
	receipt := n.do(fsm.Batch{Scope: dev, Commands: []fsm.Command{
		put(t, needs("checkout", "payments")), put(t, boolean("payments", ""))}})
	require.True(t, receipt.Changed)
	for _, r := range n.env().Flags() {
		require.Equal(t, receipt.Revision, r.Revision)
	}
	require.Len(t, n.store.State().Audit(0, 10), 2)
	n.refuse(fsm.KindNotFound, fsm.Batch{Scope: dev, Commands: []fsm.Command{
		fsm.SetEnabled{Scope: dev, Key: "checkout"}, fsm.DeleteFlag{Scope: dev, Key: "nothing"}}})
	require.True(t, n.eval("checkout").Value.AsBool())
	n.refuse(fsm.KindInvalid, fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.CreateTenant{Tenant: "x"}}})
	elsewhere := fsm.Scope{Tenant: "default", Environment: "production"}
	n.refuse(fsm.KindInvalid, fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.Kill{Scope: elsewhere, Key: "checkout"}}})
}

func TestControllerOfAnEarlierTermIsFenced(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.term = 4
	p := n.proposal(fsm.SetEnabled{Scope: dev, Key: "checkout"})
	p.ControllerTerm = 2
	n.refuseProposal(fsm.KindFenced, p)
	_, stored := n.store.State().Request(p.Actor, p.RequestID)
	require.False(t, stored)
	p.ControllerTerm = 4
	require.NoError(t, n.apply(p).Err)
}

func TestOnlyTheClusterSpeaksForItself(t *testing.T) {
	n := newNode(t)
	for _, c := range []fsm.Command{fsm.RaiseVersion{Version: 1}, fsm.Checksum{}, fsm.LeaderEstablished{}} {
		n.refuse(fsm.KindDenied, c)
		require.Error(t, n.store.State().Admit(n.proposal(c)))
		n.refuse(fsm.KindDenied, fsm.Batch{Scope: dev, Commands: []fsm.Command{c}}) // every command of a batch is asked
	}
	require.NoError(t, n.store.State().Admit(n.proposal(fsm.CreateTenant{Tenant: "acme"})))
}

func TestTimeNeverGoesBack(t *testing.T) {
	n := newNode(t)
	n.now += 1000
	n.put(boolean("checkout", ""))
	now := n.store.State().Now()
	n.now -= 900
	n.do(fsm.SetEnabled{Scope: dev, Key: "checkout"})
	require.Equal(t, now, n.store.State().Now())
	r, _ := n.env().Flag("checkout")
	require.Equal(t, now, r.UpdatedAt)
}

func TestEntriesAlreadyAppliedAreIgnored(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	hash := n.store.State().FullHash()
	for _, out := range n.store.Apply(n.log) {
		require.Zero(t, out)
	}
	require.Equal(t, hash, n.store.State().FullHash())
}

func TestConfigurationEntryOnlyMovesTheIndex(t *testing.T) {
	n := newNode(t)
	hash := n.store.State().FullHash()
	require.NoError(t, n.store.Apply([]fsm.Entry{{Index: 9, Term: 1}})[0].Err)
	require.EqualValues(t, 9, n.store.State().Index())
	require.Equal(t, hash, n.store.State().FullHash())
}

func TestTryAnswersAndChangesNothing(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""), boolean("a", ""), boolean("b", "")) // three rows: the tail has room for a fourth
	state, full := n.store.State(), n.store.State().FullHash()
	receipt, err := state.Try(n.proposal(fsm.DeleteFlag{Scope: dev, Key: "checkout"}))
	require.NoError(t, err)
	require.True(t, receipt.Changed)
	_, err = state.Try(n.proposal(put(t, needs("cart", "nothing"))))
	require.ErrorContains(t, err, "does not exist")
	require.Equal(t, full, n.store.State().FullHash())
	require.NoError(t, fsm.VerifyAudit("", n.store.State().Audit(0, 10)))
	n.put(boolean("cart", ""))
	_, err = state.Try(n.proposal(fsm.DeleteFlag{Scope: dev, Key: "checkout"})) // a state that is past
	require.NoError(t, err)
	rows := n.store.State().Audit(0, 10)
	_, head := n.store.State().AuditHead()
	require.Equal(t, head, rows[len(rows)-1].Hash, "a trial left nothing in the shared tail")
}
