package fsm_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// stage brings a promotion or an edit into a state, by the shortest way.
func (n *node) waitingIn(kind fsm.ChangeKind, status fsm.ChangeStatus) string {
	n.t.Helper()
	do := func(who, id string, moves ...fsm.ChangeMove) string {
		for _, move := range moves {
			c := moved(staging, id, move)
			if move == fsm.ChangeMoveSchedule {
				c.At = n.now + 3_600_000
			}
			n.as(who, c)
		}
		require.Equal(n.t, status, n.change(staging, id).Status)
		return id
	}
	if kind == fsm.ChangePromotion {
		c := promote(dev, staging, fsm.PromotionFull)
		if status == fsm.ChangeInvalid {
			c = promote(dev, staging, fsm.PromotionSelective, "nowhere")
		}
		id := n.opened("ann", staging, c)
		way := map[fsm.ChangeStatus][]fsm.ChangeMove{fsm.ChangeDraft: nil, fsm.ChangeInvalid: {fsm.ChangeMoveValidate}, fsm.ChangeValidated: {fsm.ChangeMoveValidate},
			fsm.ChangeApproved:  {fsm.ChangeMoveValidate, fsm.ChangeMoveApprove},
			fsm.ChangeScheduled: {fsm.ChangeMoveValidate, fsm.ChangeMoveApprove, fsm.ChangeMoveSchedule},
			fsm.ChangeCompleted: {fsm.ChangeMoveValidate, fsm.ChangeMoveApprove, fsm.ChangeMoveApply}, fsm.ChangeRejected: {fsm.ChangeMoveValidate, fsm.ChangeMoveReject},
			fsm.ChangeRolledBack: {fsm.ChangeMoveValidate, fsm.ChangeMoveApprove, fsm.ChangeMoveApply, fsm.ChangeMoveRollback}, fsm.ChangeCancelled: {fsm.ChangeMoveCancel},
			fsm.ChangeFailed: {fsm.ChangeMoveValidate, fsm.ChangeMoveApprove, fsm.ChangeMoveSchedule}}[status]
		if status == fsm.ChangeFailed {
			return n.overdue(staging, id, way)
		}
		return do("bob", id, way...)
	}
	id := n.opened("ann", staging, fsm.OpenChange{Scope: staging, Title: "t", Commands: []fsm.Command{fsm.SetEnabled{Scope: staging, Key: "a", Enabled: false}}})
	return do("bob", id, map[fsm.ChangeStatus][]fsm.ChangeMove{fsm.ChangePending: nil, fsm.ChangeRequested: {fsm.ChangeMoveReturn}, fsm.ChangeApproved: {fsm.ChangeMoveApprove},
		fsm.ChangeScheduled: {fsm.ChangeMoveApprove, fsm.ChangeMoveSchedule}, fsm.ChangeApplied: {fsm.ChangeMoveApprove, fsm.ChangeMoveApply},
		fsm.ChangeRejected: {fsm.ChangeMoveReject}, fsm.ChangeCancelled: {fsm.ChangeMoveCancel}}[status]...)
}

// overdue schedules a promotion and lets its time come when it cannot happen any more.
func (n *node) overdue(scope fsm.Scope, id string, way []fsm.ChangeMove) string {
	n.t.Helper()
	for _, move := range way {
		c := moved(scope, id, move)
		c.At = n.now + 1000
		n.as("bob", c)
	}
	n.put(boolean(fmt.Sprint("moved-meanwhile-", n.ids), ""))
	n.now += 2000
	require.NoError(n.t, n.due(scope, id).Err)
	return id
}

// due is what the leader proposes when the time of a change has come.
func (n *node) due(scope fsm.Scope, id string) fsm.Outcome {
	return n.apply(&fsm.Proposal{RequestID: "promotion/" + id + "/execute", Actor: fsm.Actor{Kind: fsm.ActorSystem, ID: "pilot"}, ControllerTerm: n.term,
		Command: n.encode(fsm.MoveChange{Scope: scope, ID: id, Move: fsm.ChangeMoveDue})})
}

// S1-07, S1-11, S1-17: every move in every state. What the table does not list is RES_STATE with the state and the moves
// that are possible, and changes nothing.
func TestEveryMoveInEveryState(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("a", ""))})
	listed := map[fsm.ChangeKind]map[fsm.ChangeStatus]string{
		fsm.ChangePromotion: {
			fsm.ChangeDraft: "validate cancel", fsm.ChangeInvalid: "validate cancel", fsm.ChangeValidated: "validate approve reject cancel",
			fsm.ChangeApproved: "validate approve apply schedule cancel", fsm.ChangeScheduled: "approve schedule cancel",
			fsm.ChangeCompleted: "rollback", fsm.ChangeRolledBack: "rollback", fsm.ChangeCancelled: "cancel", fsm.ChangeRejected: "", fsm.ChangeFailed: "",
		},
		fsm.ChangeEdit: {
			fsm.ChangePending: "edit approve request-changes reject cancel", fsm.ChangeRequested: "edit cancel",
			fsm.ChangeApproved: "edit approve apply schedule cancel", fsm.ChangeScheduled: "approve schedule cancel",
			fsm.ChangeApplied: "", fsm.ChangeRejected: "", fsm.ChangeCancelled: "cancel",
		},
	}
	for kind, states := range listed {
		for status, names := range states {
			for _, move := range append(fsm.ChangeMoves(), fsm.ChangeMoveEdit) {
				if move == fsm.ChangeMoveDue {
					continue
				}
				t.Run(fmt.Sprintf("%s %s in %s", kind, move, status), func(t *testing.T) {
					n.t = t
					id := n.waitingIn(kind, status)
					c := moved(staging, id, move)
					c.At = n.now + 7_200_000
					var command fsm.Command = c
					if move == fsm.ChangeMoveEdit {
						command = fsm.EditChange{Scope: staging, ID: id, Commands: []fsm.Command{fsm.SetEnabled{Scope: staging, Key: "a", Enabled: true}}}
					}
					allowed := slices.Contains(strings.Fields(names), string(move))
					if !allowed {
						before := n.change(staging, id)
						e := n.refuseProposal(fsm.KindState, n.by(user("cid"), command))
						require.Equal(t, string(status), e.State)
						require.ElementsMatch(t, strings.Fields(names), e.Allowed)
						require.Equal(t, before, n.change(staging, id))
						return
					}
					require.NoError(t, n.apply(n.by(user("cid"), command)).Err)
				})
			}
		}
	}
	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), restored.State())
}

// S1-09: the leader proposes at the time; the law takes it once, and what is not due leaves nothing under the id.
func TestAScheduledPromotionHappensOnce(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	id := n.waitingIn(fsm.ChangePromotion, fsm.ChangeScheduled)
	early := n.due(staging, id)
	require.ErrorContains(t, early.Err, "later time")
	at, ok := n.at(staging).NextChange()
	require.True(t, ok)
	require.Equal(t, id, at.ID)
	n.now += 4_000_000
	first := n.due(staging, id)
	require.NoError(t, first.Err, "what was refused too early does not answer now")
	require.Equal(t, fsm.ChangeCompleted, n.change(staging, id).Status)
	again := n.due(staging, id)
	require.Error(t, again.Err, "there is nothing due any more")
	require.Equal(t, 1, n.at(staging).Snapshot().Len())
	_, ok = n.at(staging).NextChange()
	require.False(t, ok)

	failed := n.waitingIn(fsm.ChangePromotion, fsm.ChangeFailed)
	require.Equal(t, fsm.ChangeFailed, n.change(staging, failed).Status)
	require.Contains(t, n.change(staging, failed).Cause, "PROM_STALE")
}

// Approvals are for the diff that was looked at: whoever comes second, an approval or an edit, finds another change.
func TestApprovalsAndEditsRace(t *testing.T) {
	n := newNode(t)
	n.do(fsm.SetPolicy{Scope: staging, Policy: fsm.Policy{RequiredApprovals: ptr(2)}})
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("a", ""))})
	id := n.opened("ann", staging, fsm.OpenChange{Scope: staging, Title: "t", Commands: []fsm.Command{fsm.SetEnabled{Scope: staging, Key: "a"}}})
	seen := n.change(staging, id).Hash
	approve := moved(staging, id, fsm.ChangeMoveApprove)
	approve.Hash = seen
	edit := fsm.EditChange{Scope: staging, ID: id, Commands: []fsm.Command{fsm.SetArchived{Scope: staging, Key: "a", Archived: true}}}
	n.as("bob", approve)
	n.as("ann", edit)
	e := n.refuseProposal(fsm.KindConflict, n.by(user("cid"), approve))
	require.Contains(t, e.Detail, "another diff")
	require.Empty(t, n.change(staging, id).Approvals, "bob agreed to another diff")
	require.Equal(t, fsm.ChangePending, n.change(staging, id).Status)
	approve.Hash = n.change(staging, id).Hash
	n.as("bob", approve)
	require.Equal(t, fsm.ChangePending, n.change(staging, id).Status, "one of two")
	require.False(t, n.as("bob", approve).Changed, "nobody counts twice")
	n.as("cid", approve)
	require.Equal(t, fsm.ChangeApproved, n.change(staging, id).Status)
	stale := edit
	n.as("ann", stale)
	n.refuseProposal(fsm.KindState, n.by(user("ann"), moved(staging, id, fsm.ChangeMoveApply)))
}

func ptr[T any](v T) *T { return &v }

// S0-20: not the author, not through a second token of theirs, and only those whom the policy names.
func TestWhoMayApprove_S0_20(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	n.do(fsm.SetPolicy{Scope: staging, Policy: fsm.Policy{Approvers: &[]string{"release"}}})
	ann := n.grantToken("annA", fsm.Grant{Role: fsm.RoleEditor, Owner: "ann"})
	annToo := n.grantToken("annB", fsm.Grant{Role: fsm.RoleAdmin, Owner: "ann", Groups: []string{"release"}})
	bob := n.grantToken("bob", fsm.Grant{Role: fsm.RoleApprover, Owner: "bob"})
	cid := n.grantToken("cid", fsm.Grant{Role: fsm.RoleApprover, Owner: "cid", Groups: []string{"release"}})
	open := n.apply(n.by(ann, promote(dev, staging, fsm.PromotionFull)))
	require.NoError(t, open.Err)
	change, ok := n.at(staging).Opened(open.Receipt.Revision)
	require.True(t, ok)
	id := change.ID
	require.NoError(t, n.apply(n.by(ann, moved(staging, id, fsm.ChangeMoveValidate))).Err)
	approve := moved(staging, id, fsm.ChangeMoveApprove)
	n.refuseProposal(fsm.KindDenied, n.by(ann, approve)) // an editor approves nothing
	n.refuseProposal(fsm.KindSelfApproval, n.by(annToo, approve))
	n.refuseProposal(fsm.KindDenied, n.by(bob, approve))
	require.NoError(t, n.apply(n.by(cid, approve)).Err)
	require.Equal(t, fsm.ChangeApproved, n.change(staging, id).Status)

	n.do(fsm.RevokeToken{Tenant: dev.Tenant, ID: cid.Token})
	e := n.refuseProposal(fsm.KindState, n.by(ann, moved(staging, id, fsm.ChangeMoveApply)))
	require.Contains(t, e.Detail, "0 of those given still count")
}

// S1-17: what moved since a change was made is not overwritten; the answer names both revisions and both values.
func TestAMovedBaseRefusesTheApply(t *testing.T) {
	n := newNode(t)
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("a", `,"owner":"one"`))})
	id := n.opened("ann", staging, fsm.OpenChange{Scope: staging, Title: "t", Commands: []fsm.Command{
		fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("a", `,"owner":"two"`))}}})
	n.as("bob", moved(staging, id, fsm.ChangeMoveApprove))
	base := n.change(staging, id).Base
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("b", ""))}) // something else does not matter
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("a", `,"owner":"three"`))})
	e := n.refuseProposal(fsm.KindConflict, n.by(user("ann"), moved(staging, id, fsm.ChangeMoveApply)))
	require.Contains(t, e.Detail, fmt.Sprintf("from revision %d", base))
	require.Contains(t, e.Problems.Error(), `"owner":"one"`)
	require.Contains(t, e.Problems.Error(), `"owner":"three"`)
	require.Equal(t, fsm.ChangeApproved, n.change(staging, id).Status)
}

// A protected environment takes declarations through a change only; what lowers exposure is always free.
func TestProtectedEnvironments(t *testing.T) {
	n := newNode(t)
	flag := fsm.PutFlag{Scope: production, Flag: decodeFlag(t, boolean("a", ""))}
	for _, c := range []fsm.Command{flag, fsm.Batch{Scope: production, Commands: []fsm.Command{flag}}, fsm.SetEnabled{Scope: production, Key: "a", Enabled: true},
		fsm.PutSegment{Scope: production, Segment: putSegment(t, segmentOf("s")).(fsm.PutSegment).Segment},
		fsm.Stage{Scope: production, Change: "c", Commands: []fsm.Command{flag}}} {
		e := n.refuse(fsm.KindProtected, c)
		require.Contains(t, e.Detail, "--change TITLE")
	}
	id := n.opened("ann", production, fsm.OpenChange{Scope: production, Title: "new", Commands: []fsm.Command{flag}})
	n.as("bob", moved(production, id, fsm.ChangeMoveApprove))
	n.as("ann", moved(production, id, fsm.ChangeMoveApply))
	row := n.store.State().Audit(0, 1000)
	require.Equal(t, "bob", row[len(row)-1].Approvals)
	require.Equal(t, id, row[len(row)-2].Correlation)
	n.do(fsm.Kill{Scope: production, Key: "a", Reason: "errors"})
	n.refuse(fsm.KindProtected, fsm.Unkill{Scope: production, Key: "a"})
	n.do(fsm.Freeze{Scope: production, Reason: "incident"})
}

// In an emergency something may be lowered, never raised, with a reason; and somebody else looks at it afterwards.
func TestEmergenciesLowerAndAreReviewed(t *testing.T) {
	n := newNode(t)
	split := `{"key":"theme","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off",
		"default":{"split":{"weights":[{"variant":"on","weight":%d},{"variant":"off","weight":%d}]}}}`
	n.do(fsm.SetPolicy{Scope: production, Policy: fsm.Policy{Protected: ptr(false)}})
	n.do(fsm.PutFlag{Scope: production, Flag: decodeFlag(t, fmt.Sprintf(split, 30_000, 70_000))})
	n.do(fsm.SetPolicy{Scope: production, Policy: fsm.Policy{Protected: ptr(true)}})
	operator := n.grantToken("op", fsm.Grant{Role: fsm.RoleOperator, Owner: "olga"})
	editor := n.grantToken("ed", fsm.Grant{Role: fsm.RoleEditor, Owner: "ed"})
	brk := n.grantToken("brk", fsm.Grant{Kind: fsm.TokenBreakGlass, Owner: "bea"})
	do := func(a fsm.Actor, comment string, c fsm.Command) *fsm.Proposal {
		p := n.by(a, c)
		p.Comment = comment
		return p
	}
	put := func(on, off int) fsm.Command {
		return fsm.PutFlag{Scope: production, Flag: decodeFlag(t, fmt.Sprintf(split, on, off))}
	}
	n.refuseProposal(fsm.KindProtected, do(operator, "", put(0, 100_000)))
	n.refuseProposal(fsm.KindProtected, do(editor, "errors", put(0, 100_000)))
	n.refuseProposal(fsm.KindProtected, do(operator, "more!", put(50_000, 50_000)))
	n.refuseProposal(fsm.KindDenied, do(brk, "more!", put(50_000, 50_000)))
	require.NoError(t, n.apply(do(operator, "errors", put(0, 100_000))).Err)
	review := n.at(production).Changes()[0]
	require.Equal(t, fsm.ChangeReview, review.Kind)
	require.Equal(t, "errors", review.Notes)
	require.Contains(t, review.Title, "theme")
	n.refuseProposal(fsm.KindSelfApproval, n.by(operator, moved(production, review.ID, fsm.ChangeMoveApprove)))
	n.as("bob", moved(production, review.ID, fsm.ChangeMoveApprove))
	require.NoError(t, n.apply(do(brk, "still errors", fsm.SetEnabled{Scope: production, Key: "theme"})).Err)
	require.NoError(t, n.apply(do(brk, "", fsm.Kill{Scope: production, Key: "theme", Reason: "still"})).Err)
	require.Len(t, n.at(production).Changes(), 3)
}

// S4-11, S4-14
func TestPoliciesOfFlags(t *testing.T) {
	n := newNode(t)
	n.do(fsm.SetPolicy{Scope: dev, Policy: fsm.Policy{MaxStep: ptr(20_000), TemporaryOwner: ptr(true)}})
	e := n.refuse(fsm.KindInvalid, put(t, boolean("a", `,"temporary":true,"expires":"2030-01-01"`)))
	require.Contains(t, e.Problems.Error(), "owner")
	n.put(boolean("a", `,"temporary":true,"expires":"2030-01-01","owner":"web"`), dark("b"))
	e = n.refuse(fsm.KindInvalid, put(t, boolean("b", "")))
	require.Contains(t, e.Problems.Error(), "would rise by 100%")
	n.do(fsm.SetEnabled{Scope: dev, Key: "a"})
	n.refuse(fsm.KindInvalid, fsm.SetEnabled{Scope: dev, Key: "a", Enabled: true})
}

// sampleChanges uses every command of policies, changes and promotions.
func sampleChanges(n *node) {
	t := n.t
	qa := fsm.Scope{Tenant: "acme", Environment: "qa"}
	ground := fsm.Scope{Tenant: "acme", Environment: "dev"}
	n.do(fsm.SetPolicy{Scope: qa, Policy: fsm.Policy{AllowFrom: &[]string{"dev"}, RequiredApprovals: ptr(1), MaxStep: ptr(100_000)}})
	n.do(fsm.OrderEnvironments{Tenant: "acme", Environments: []string{"dev", "qa", "staging", "production"}})
	n.do(fsm.PutFlag{Scope: ground, Flag: decodeFlag(t, boolean("a", ""))})
	n.do(fsm.PutFlag{Scope: qa, Flag: decodeFlag(t, boolean("old", ""))})
	id := n.carry(promote(ground, qa, fsm.PromotionFull))
	n.as("ann", moved(qa, id, fsm.ChangeMoveRollback))
	n.carry(promote(ground, qa, fsm.PromotionPattern, "a*"))
	edit := n.opened("ann", qa, fsm.OpenChange{Scope: qa, Title: "t", Commands: []fsm.Command{fsm.SetEnabled{Scope: qa, Key: "a"}}})
	n.as("bob", moved(qa, edit, fsm.ChangeMoveReturn))
	n.as("ann", fsm.EditChange{Scope: qa, ID: edit, Commands: []fsm.Command{fsm.DeleteFlag{Scope: qa, Key: "a"}}})
	n.as("bob", moved(qa, edit, fsm.ChangeMoveApprove))
	later := moved(qa, edit, fsm.ChangeMoveSchedule)
	later.At = n.now + 86_400_000
	n.as("ann", later)
}
