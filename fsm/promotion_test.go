package fsm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

var (
	staging    = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "staging"}
	production = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "production"}
)

func user(id string) fsm.Actor {
	return fsm.Actor{Kind: fsm.ActorUser, ID: id, Email: id + "@example.com"}
}

// as does something as somebody.
func (n *node) as(who string, c fsm.Command) fsm.Receipt {
	n.t.Helper()
	out := n.apply(n.by(user(who), c))
	require.NoError(n.t, out.Err)
	return out.Receipt
}

func (n *node) at(scope fsm.Scope) *fsm.Environment {
	e, ok := n.store.State().Environment(scope.Tenant, scope.Environment)
	require.True(n.t, ok)
	return e
}

// change is the newest form of a change.
func (n *node) change(scope fsm.Scope, id string) *fsm.Change {
	n.t.Helper()
	c, ok := n.at(scope).Change(id)
	require.True(n.t, ok)
	return c
}

// opened does what opens a change, and returns its id.
func (n *node) opened(who string, scope fsm.Scope, c fsm.Command) string {
	n.t.Helper()
	receipt := n.as(who, c)
	change, ok := n.at(scope).Opened(receipt.Revision)
	require.True(n.t, ok)
	return change.ID
}

func promote(from, to fsm.Scope, kind fsm.PromotionType, keys ...string) fsm.OpenPromotion {
	c := fsm.OpenPromotion{Scope: to, Source: from.Environment, Type: kind}
	switch kind {
	case fsm.PromotionSelective:
		c.FlagIDs = keys
	case fsm.PromotionPattern:
		c.KeyPatterns = keys
	}
	return c
}

func moved(scope fsm.Scope, id string, move fsm.ChangeMove) fsm.MoveChange {
	return fsm.MoveChange{Scope: scope, ID: id, Move: move, Comment: "because"}
}

// carry promotes as ann, approved by bob, and executes.
func (n *node) carry(c fsm.OpenPromotion) string {
	n.t.Helper()
	id := n.opened("ann", c.Scope, c)
	n.as("ann", moved(c.Scope, id, fsm.ChangeMoveValidate))
	change := n.change(c.Scope, id)
	require.Equal(n.t, fsm.ChangeValidated, change.Status, "%+v", change.Promotion.Validation)
	if change.Required > 0 {
		n.as("bob", moved(c.Scope, id, fsm.ChangeMoveApprove))
	}
	n.as("ann", moved(c.Scope, id, fsm.ChangeMoveApply))
	require.Equal(n.t, fsm.ChangeCompleted, n.change(c.Scope, id).Status)
	return id
}

// fill puts random content into an environment by its own command, whatever its policy asks.
func fill(t *rapid.T, n *node, scope fsm.Scope, size int) {
	for range size {
		c := drawCommand(t, 0)
		switch c := c.(type) {
		case fsm.PutFlag:
			c.Scope = scope
			n.apply(n.proposal(c))
		case fsm.SetArchived:
			c.Scope = scope
			n.apply(n.proposal(c))
		case fsm.PutSegment:
			c.Scope = scope
			n.apply(n.proposal(c))
		case fsm.SetEnabled:
			c.Scope = scope
			n.apply(n.proposal(c))
		}
	}
}

// S1-03, S1-10, S1-13: whatever two environments hold, comparing mirrors, one with itself is equal, promoting everything
// leaves no difference, and rolling back leaves what was there, byte for byte.
func TestPromotionsOfAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t)
		fill(rt, n, dev, 25)
		fill(rt, n, staging, 25)
		source, target := n.at(dev), n.at(staging)
		require.Empty(rt, fsm.Compare(source, source).Entries)
		there, back := fsm.Compare(source, target), fsm.Compare(target, source)
		require.Equal(rt, there.Unchanged, back.Unchanged)
		require.Len(rt, back.Entries, len(there.Entries))
		for i, e := range there.Entries {
			mirror := map[fsm.ChangeType]fsm.ChangeType{fsm.ChangeAdded: fsm.ChangeRemoved, fsm.ChangeRemoved: fsm.ChangeAdded, fsm.ChangeModified: fsm.ChangeModified}
			require.Equal(rt, e.Key, back.Entries[i].Key)
			require.Equal(rt, mirror[e.Change], back.Entries[i].Change)
			require.Equal(rt, e.Source, back.Entries[i].Target)
			require.Equal(rt, e.Target, back.Entries[i].Source)
		}
		id := n.opened("ann", staging, promote(dev, staging, fsm.PromotionFull))
		n.as("ann", moved(staging, id, fsm.ChangeMoveValidate))
		if n.change(staging, id).Status == fsm.ChangeInvalid {
			return // two keys that differ in case, say
		}
		before := target.DeclaredHash()
		n.as("bob", moved(staging, id, fsm.ChangeMoveApprove))
		n.as("ann", moved(staging, id, fsm.ChangeMoveApply))
		require.Empty(rt, fsm.Compare(n.at(dev), n.at(staging)).Entries)
		n.as("ann", moved(staging, id, fsm.ChangeMoveRollback))
		require.Equal(rt, before, n.at(staging).DeclaredHash())
		for _, f := range target.Flags() {
			now, ok := n.at(staging).Flag(f.Key)
			require.True(rt, ok)
			require.Equal(rt, f.Record, now.Record)
		}
		restored := fsm.NewStore()
		require.NoError(rt, restored.Load(bytes.NewReader(n.save())))
		sameState(rt, n.store.State(), restored.State())
	})
}

// S1-04
func TestASelectivePromotionTouchesWhatItNames(t *testing.T) {
	n := newNode(t)
	n.do(putSegment(t, segmentOf("beta")))
	n.put(boolean("payments", ""), needs("checkout", "payments"), boolean("other", ""), inSegments("new-page", "beta"))
	id := n.opened("ann", staging, promote(dev, staging, fsm.PromotionSelective, "checkout", "nowhere"))
	n.as("ann", moved(staging, id, fsm.ChangeMoveValidate))
	v := n.change(staging, id).Promotion.Validation
	require.False(t, v.Valid)
	require.Equal(t, fsm.ChangeInvalid, n.change(staging, id).Status)
	require.Contains(t, fmt.Sprint(v.Findings), "dependency-missing")
	require.Contains(t, fmt.Sprint(v.Findings), "checkout needs payments")
	require.Contains(t, fmt.Sprint(v.Findings), "item-missing")
	require.Zero(t, n.at(staging).Snapshot().Len())

	n.carry(promote(dev, staging, fsm.PromotionSelective, "checkout", "payments"))
	require.Equal(t, 2, n.at(staging).Snapshot().Len())
	n.carry(promote(dev, staging, fsm.PromotionSelective, "new-page"))
	_, travelled := n.at(staging).Segment("beta")
	require.True(t, travelled, "a segment travels with the flag that names it")
	_, other := n.at(staging).Flag("other")
	require.False(t, other)
}

// S1-05
func TestPatternsAreGlobs(t *testing.T) {
	n := newNode(t)
	for _, key := range []string{"query.timeout", "querytimeout", "query.", "query.a.b", "queryX", "other"} {
		n.put(boolean(key, ""))
	}
	for pattern, want := range map[string][]string{
		"query.*": {"query.", "query.a.b", "query.timeout"}, "query?": {"query.", "queryX"}, "*": {"other", "query.", "query.a.b", "query.timeout", "queryX", "querytimeout"},
		"*.*.b": {"query.a.b"}, "nothing*": nil, "q*t": {"query.timeout", "querytimeout"}, "QUERY.*": nil,
	} {
		id := n.opened("ann", staging, promote(dev, staging, fsm.PromotionPattern, pattern))
		var got []string
		for _, item := range n.store.State().Items(n.at(staging), n.change(staging, id)) {
			got = append(got, item.Key)
		}
		require.Equal(t, want, got, pattern)
	}
}

// S1-08: thousands of items are one entry and one revision, and copying them keeps what each environment's people have.
func TestAFullPromotionIsOneRevision_S1_08(t *testing.T) {
	n := newNode(t)
	split := func(weight int) string {
		return fmt.Sprintf(`{"key":"theme","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off",
			"default":{"split":{"weights":[{"variant":"on","weight":%d},{"variant":"off","weight":%d}]}}}`, weight, 100_000-weight)
	}
	for i := range 300 {
		n.put(boolean(fmt.Sprintf("flag-%03d", i), ""))
	}
	n.put(split(10_000))
	n.carry(promote(dev, staging, fsm.PromotionFull))
	n.do(fsm.DeleteFlag{Scope: staging, Key: "theme"}) // staging's places part from dev's: there off was handed out first
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, strings.Replace(split(10_000), `[{"variant":"on","weight":10000},{"variant":"off","weight":90000}]`,
		`[{"variant":"off","weight":90000},{"variant":"on","weight":10000}]`, 1))})
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, split(10_000))})
	n.put(split(30_000))
	n.do(fsm.DeleteFlag{Scope: dev, Key: "flag-007"})

	served := func(scope fsm.Scope) (on map[int]bool) {
		live, _ := n.store.Live(scope.Tenant, scope.Environment)
		on = map[int]bool{}
		for i := range 500 {
			on[i] = live.Snapshot().Evaluate("theme", &evaluator.Context{TargetingKey: fmt.Sprint("user-", i)}).Variant == "on"
		}
		return on
	}
	before, from, hash := served(staging), n.at(staging).Snapshot().Revision(), n.at(staging).DeclaredHash()
	id := n.carry(promote(dev, staging, fsm.PromotionFull))
	now := n.at(staging).Snapshot()
	d, ok := now.Since(from)
	require.True(t, ok)
	require.Len(t, d.Flags, 2)
	for _, f := range d.Flags {
		_, revision, _ := now.Flag(f.Key())
		require.Equal(t, n.change(staging, id).Executed, revision)
	}
	gone, ok := n.at(staging).Flag("flag-007")
	require.True(t, ok)
	require.True(t, gone.Flag().Archived, "what the source lacks is archived")
	for i, on := range served(staging) {
		require.False(t, before[i] && !on, "raising a weight takes nobody back")
	}
	n.as("ann", moved(staging, id, fsm.ChangeMoveRollback))
	require.Equal(t, hash, n.at(staging).DeclaredHash())
	require.Equal(t, before, served(staging), "people return to their places")
	first := n.change(staging, id)
	require.False(t, n.as("ann", moved(staging, id, fsm.ChangeMoveRollback)).Changed, "a second rollback is the first")
	require.Equal(t, first, n.change(staging, id))
}

// S1-06
func TestExecutionIsBoundToWhatWasValidated(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	id := n.opened("ann", staging, promote(dev, staging, fsm.PromotionFull))
	n.as("ann", moved(staging, id, fsm.ChangeMoveValidate))
	require.False(t, n.as("ann", moved(staging, id, fsm.ChangeMoveValidate)).Changed, "looking twice at the same is looking once")
	require.Zero(t, n.at(staging).Snapshot().Len())
	n.as("bob", moved(staging, id, fsm.ChangeMoveApprove))
	n.put(boolean("b", ""))
	require.True(t, n.store.State().Stale(n.at(staging), n.change(staging, id)))
	e := n.refuseProposal(fsm.KindStale, n.by(user("ann"), moved(staging, id, fsm.ChangeMoveApply)))
	require.Contains(t, e.Detail, fmt.Sprintf("dev is at revision %d, validated at", n.at(dev).DeclaredRevision()))
	n.as("ann", moved(staging, id, fsm.ChangeMoveValidate))
	require.Equal(t, fsm.ChangeValidated, n.change(staging, id).Status)
	require.Empty(t, n.change(staging, id).Approvals, "approvals were for another diff")

	n.do(fsm.Kill{Scope: dev, Key: "a"}) // exposures do not count
	require.False(t, n.store.State().Stale(n.at(staging), n.change(staging, id)))
}

// S1-18
func TestRollbackShowsWhatWasEditedSince(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), boolean("b", ""))
	n.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("a", `,"owner":"x"`))})
	before := n.at(staging).DeclaredHash()
	id := n.carry(promote(dev, staging, fsm.PromotionFull))
	n.do(fsm.SetEnabled{Scope: staging, Key: "a"})
	drift, kept := n.at(staging).Drift(n.change(staging, id))
	require.True(t, kept)
	require.Len(t, drift, 1)
	require.Equal(t, "a", drift[0].Key)
	e := n.refuseProposal(fsm.KindDrift, n.by(user("ann"), moved(staging, id, fsm.ChangeMoveRollback)))
	require.Contains(t, e.Problems.Error(), "a was edited")

	again := n.opened("ann", staging, promote(dev, staging, fsm.PromotionFull))
	n.as("ann", moved(staging, again, fsm.ChangeMoveValidate))
	require.Contains(t, fmt.Sprint(n.change(staging, again).Promotion.Validation.Findings), "drift")
	require.True(t, n.change(staging, again).Promotion.Validation.Valid, "it warns")

	force := moved(staging, id, fsm.ChangeMoveRollback)
	force.Force = true
	n.as("ann", force)
	require.Equal(t, before, n.at(staging).DeclaredHash())
}

// S1-12
func TestThePipelineIsEnforcedAndConfigurable(t *testing.T) {
	n := newNode(t)
	e := n.refuse(fsm.KindPipeline, promote(dev, production, fsm.PromotionFull))
	require.Contains(t, e.Detail, "lets staging into production, not dev")
	n.do(fsm.SetPolicy{Scope: production, Policy: fsm.Policy{AllowFrom: &[]string{"dev", "staging"}}})
	n.do(promote(dev, production, fsm.PromotionFull))
	n.do(fsm.SetPolicy{Scope: production, Reset: true})
	n.do(fsm.OrderEnvironments{Tenant: dev.Tenant, Environments: []string{"staging", "dev", "production"}})
	n.do(promote(dev, production, fsm.PromotionFull))
	n.refuse(fsm.KindPipeline, promote(dev, staging, fsm.PromotionFull))
	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())))
	sameState(t, n.store.State(), restored.State())
}
