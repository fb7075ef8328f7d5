package fsm_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// sameState compares everything that a reader could see.
func sameState(t require.TestingT, want, got *fsm.State) {
	require.Equal(t, want.Index(), got.Index())
	require.Equal(t, want.DomainHash(), got.DomainHash())
	require.Equal(t, want.FullHash(), got.FullHash())
	require.Equal(t, want.Now(), got.Now())
	require.Equal(t, want.EstablishedTerm(), got.EstablishedTerm())
	require.Equal(t, want.Audit(0, 1<<20), got.Audit(0, 1<<20))
	require.Equal(t, want.RolloutLog().Audit(0, 1<<20), got.RolloutLog().Audit(0, 1<<20))
	require.Equal(t, want.RolloutLog().AuditBefore(), got.RolloutLog().AuditBefore())
	require.Equal(t, want.Tenants(), got.Tenants())
	for _, tenant := range want.Tenants() {
		theirs := got.Environments(tenant)
		for i, a := range want.Environments(tenant) {
			sameEnvironment(t, a, theirs[i])
		}
	}
	var a, b bytes.Buffer
	require.NoError(t, want.Save(&a))
	require.NoError(t, got.Save(&b))
	require.True(t, bytes.Equal(a.Bytes(), b.Bytes()), "saved bytes differ")
}

func sameEnvironment(t require.TestingT, a, b *fsm.Environment) {
	require.Equal(t, a.Key(), b.Key())
	require.Equal(t, a.Revision(), b.Revision())
	require.Equal(t, a.DeclaredHash(), b.DeclaredHash())
	require.Equal(t, a.Flags(), b.Flags())
	require.Equal(t, a.Segments(), b.Segments())
	require.Equal(t, a.Snapshot().Revision(), b.Snapshot().Revision())
	for _, r := range a.Flags() {
		require.Equal(t, a.Exposures(r.Key), b.Exposures(r.Key))
		require.Equal(t, a.Referrers(fsm.ObjectFlag, r.Key), b.Referrers(fsm.ObjectFlag, r.Key))
	}
	for _, key := range []string{"a", "b", "c", "A", "deep.d"} {
		require.Equal(t, a.History(fsm.ObjectFlag, key), b.History(fsm.ObjectFlag, key))
		for user := range 3 {
			c := &evaluator.Context{TargetingKey: fmt.Sprint("user-", user)}
			require.Equal(t, a.Snapshot().Evaluate(key, c), b.Snapshot().Evaluate(key, c))
		}
	}
	for revision := range a.Snapshot().Revision() {
		mine, ok := a.Snapshot().Since(revision)
		theirs, okToo := b.Snapshot().Since(revision)
		require.Equal(t, ok, okToo)
		require.Equal(t, keysOf(mine), keysOf(theirs))
	}
}

func keysOf(d evaluator.Difference) string {
	out := fmt.Sprint(d.From, d.To, d.RemovedFlags, d.RemovedSegments)
	for _, f := range d.Flags {
		out += " " + string(f.Record())
	}
	for _, s := range d.Segments {
		out += " " + string(s.Record())
	}
	return out
}

func TestSameLogGivesTheSameStateHoweverItComes(t *testing.T) {
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	rapid.Check(t, func(rt *rapid.T) {
		runtime.GOMAXPROCS(old)
		n := newNode(t)
		drawLog(rt, n, 40)
		runtime.GOMAXPROCS(1)
		other := fsm.NewStore()
		for log := n.log; len(log) > 0; { // in batches of another size
			size := rapid.IntRange(1, len(log)).Draw(rt, "batch")
			for _, out := range other.Apply(log[:size]) {
				var law *fsm.LawError
				require.NotErrorAs(rt, out.Err, &law)
			}
			log = log[size:]
		}
		sameState(rt, n.store.State(), other.State())
	})
}

// S0-10, and the promise of every snapshot: a node that was restored goes on exactly like one that applied the log.
func TestRestoredNodeContinuesIdentically_S0_10(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t)
		drawLog(rt, n, 30)
		restored := fsm.NewStore()
		require.NoError(rt, restored.Load(bytes.NewReader(n.save())))
		sameState(rt, n.store.State(), restored.State())
		before := len(n.log)
		drawLog(rt, n, 20)
		restored.Apply(n.log[before:])
		sameState(rt, n.store.State(), restored.State())
	})
}

// The incremental hashes are those of the content: what was undone leaves nothing in Declared and Domain.
func TestHashesDependOnContentOnly(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.put(boolean("x", ""), boolean("y", ""))
	b.put(boolean("y", `,"name":"first"`), boolean("z", ""), boolean("x", ""), boolean("y", ""))
	b.do(fsm.DeleteFlag{Scope: dev, Key: "z"})
	require.Equal(t, a.env().DeclaredHash(), b.env().DeclaredHash())
	require.Equal(t, a.store.State().DomainHash(), b.store.State().DomainHash())
	require.NotEqual(t, a.store.State().FullHash(), b.store.State().FullHash())
	staging := fsm.Scope{Tenant: "default", Environment: "staging"}
	a.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("x", ""))})
	a.do(fsm.PutFlag{Scope: staging, Flag: decodeFlag(t, boolean("y", ""))})
	e, _ := a.store.State().Environment("default", "staging")
	require.Equal(t, a.env().DeclaredHash(), e.DeclaredHash(), "the same content in another environment")
}

func TestChecksumFindsTheNodeThatWentAstray(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	hash := n.store.State().FullHash()
	n.store.Apply([]fsm.Entry{{Index: 4095, Term: 1}})
	index, _ := n.store.State().Checkpoint()
	require.Zero(t, index)
	n.store.Apply([]fsm.Entry{{Index: 4100, Term: 1}}) // 4096 itself never reached the store
	index, kept := n.store.State().Checkpoint()
	require.EqualValues(t, 4096, index)
	require.Equal(t, hash, kept)

	system := func(c fsm.Command) fsm.Outcome {
		return n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(c)})
	}
	require.NoError(t, system(fsm.Checksum{Index: 4096, Hash: kept}).Err)
	require.NoError(t, system(fsm.Checksum{Index: 8192, Hash: "not there yet"}).Err)
	at := n.store.State().Index()
	var law *fsm.LawError
	require.ErrorAs(t, system(fsm.Checksum{Index: 4096, Hash: "other"}).Err, &law)
	require.Equal(t, 71, law.ExitCode)
	require.Equal(t, at, n.store.State().Index(), "nothing is applied any more")
}

func TestUnknownLawStopsTheNode(t *testing.T) {
	n := newNode(t)
	ignorable, fatal := []byte{1, 99, 128, '{', '}'}, []byte{1, 99, 0, '{', '}'}
	p := n.proposal(put(t, boolean("checkout", "")))
	p.Command = ignorable
	require.NoError(t, n.apply(p).Err)

	unknownField := append(n.encode(fsm.DeleteFlag{Scope: dev, Key: "x"})[:3:3], `{"key":"x","force":true}`...)
	for _, data := range [][]byte{fatal, unknownField, {7}, {}} {
		at, hash := n.store.State().Index(), n.store.State().FullHash()
		p := n.proposal(put(t, boolean("checkout", "")))
		p.Command = data
		next := *p
		out := n.store.Apply([]fsm.Entry{{Index: at + 1, Term: 1, Data: next.Encode()}, {Index: at + 2, Term: 1, Data: n.proposal(put(t, boolean("x", ""))).Encode()}})
		for _, o := range out {
			var law *fsm.LawError
			require.ErrorAs(t, o.Err, &law)
			require.Equal(t, 73, law.ExitCode)
		}
		require.Equal(t, at, n.store.State().Index())
		require.Equal(t, hash, n.store.State().FullHash())
	}
	var law *fsm.LawError
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(fsm.RaiseVersion{Version: fsm.LawVersion + 1})})
	require.ErrorAs(t, out.Err, &law)
	require.Equal(t, 73, law.ExitCode)
}
