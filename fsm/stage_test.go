package fsm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// bigBatch is about 500 KiB of flags and one segment that alone is larger than an entry.
func bigBatch(t testing.TB) fsm.Batch {
	var commands []fsm.Command
	for i := range 600 {
		commands = append(commands, put(t, boolean(fmt.Sprintf("flag-%03d", i), fmt.Sprintf(`,"description":%q`, strings.Repeat("d", 500)))))
	}
	members := make([]string, 20_000)
	for i := range members {
		members[i] = fmt.Sprintf("user-%d", i)
	}
	commands = append(commands, fsm.PutSegment{Scope: dev, Segment: &evaluator.Segment{Key: "beta", Include: members}},
		put(t, inSegments("last", "beta")))
	return fsm.Batch{Scope: dev, Commands: commands}
}

func TestSmallWriteIsNotSplit(t *testing.T) {
	c := put(t, boolean("checkout", ""))
	parts, err := fsm.Split(c, "change")
	require.NoError(t, err)
	require.Equal(t, []fsm.Command{c}, parts)
}

func TestBigWriteIsStagedThenCommittedAtOnce(t *testing.T) {
	n := newNode(t)
	parts, err := fsm.Split(bigBatch(t), "change")
	require.NoError(t, err)
	require.Greater(t, len(parts), 5)
	require.ErrorContains(t, n.store.State().Admit(n.proposal(bigBatch(t))), "Split")
	domain := n.store.State().DomainHash()
	for _, c := range parts[:len(parts)-1] {
		p := n.proposal(c)
		require.LessOrEqual(t, len(p.Encode()), fsm.MaxEntry)
		require.NoError(t, n.store.State().Admit(p))
		require.NoError(t, n.apply(p).Err)
		require.Equal(t, domain, n.store.State().DomainHash(), "invisible until the commit")
	}
	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())))

	receipt := n.do(parts[len(parts)-1])
	require.True(t, receipt.Changed)
	require.Equal(t, 601, n.env().Snapshot().Len())
	require.Equal(t, receipt.Revision, n.env().Snapshot().Revision())
	require.False(t, n.eval("last").Value.AsBool(), "user-1 is in the segment")
	restored.Apply(n.log)
	sameState(t, n.store.State(), restored.State())

	n.refuse(fsm.KindNotFound, parts[len(parts)-1]) // a commit happens once
}

func TestOneLargeFlagIsCutIntoFragments(t *testing.T) {
	n := newNode(t)
	text := func(c string) *evaluator.Value { v := evaluator.String(strings.Repeat(c, 60<<10)); return &v }
	f := &evaluator.Flag{Key: "page", Type: evaluator.TypeString, Enabled: true, Default: &evaluator.Serve{Variant: "c"},
		Variants: []evaluator.Variant{{Key: "a", Value: text("a")}, {Key: "b", Value: text("b")}, {Key: "c", Value: text("c")}}}
	parts, err := fsm.Split(fsm.PutFlag{Scope: dev, Flag: f}, "change")
	require.NoError(t, err)
	require.Greater(t, len(parts), 2)
	for _, c := range parts {
		n.do(c)
	}
	require.Equal(t, *text("c"), n.eval("page").Value)
}

func TestCommitOfSomethingElseIsRefused(t *testing.T) {
	n := newNode(t)
	parts, err := fsm.Split(bigBatch(t), "change")
	require.NoError(t, err)
	commit := parts[len(parts)-1].(fsm.Commit)
	n.refuse(fsm.KindNotFound, commit)
	n.do(parts[0])
	require.False(t, n.do(parts[0]).Changed, "a part sent twice is staged once")
	n.refuse(fsm.KindConflict, commit)
	n.refuse(fsm.KindConflict, parts[2])
	for _, c := range parts[1 : len(parts)-1] {
		n.do(c)
	}
	wrong := commit
	wrong.Hash = strings.Repeat("0", 64)
	n.refuse(fsm.KindConflict, wrong)
	n.do(commit)
}

func TestStagedChangeExpiresAfterTenMinutes(t *testing.T) {
	n := newNode(t)
	parts, err := fsm.Split(bigBatch(t), "change")
	require.NoError(t, err)
	for _, c := range parts[:len(parts)-1] {
		n.do(c)
	}
	n.now += 10*60*1000 + 1
	n.refuse(fsm.KindNotFound, parts[len(parts)-1])
}

func TestCommitWithOneDanglingReferenceStoresNothing(t *testing.T) {
	n := newNode(t)
	b := bigBatch(t)
	b.Commands = append(b.Commands, put(t, needs("checkout", "nothing")))
	parts, err := fsm.Split(b, "change")
	require.NoError(t, err)
	for _, c := range parts[:len(parts)-1] {
		n.do(c)
	}
	n.refuse(fsm.KindInvalid, parts[len(parts)-1])
	require.Zero(t, n.env().Snapshot().Len())
}

func TestFewBigWritesAtOnce(t *testing.T) {
	n := newNode(t)
	parts, err := fsm.Split(bigBatch(t), "change")
	require.NoError(t, err)
	stage := parts[0].(fsm.Stage)
	for i := range 8 {
		stage.Change = fmt.Sprint("change-", i)
		n.do(stage)
	}
	stage.Change = "change-8"
	n.refuse(fsm.KindConflict, stage)
}

// The second write of a flag in one change carries on from the first, not from what stood there when it was staged.
func TestTwoStagedWritesOfOneFlagFollowEachOther(t *testing.T) {
	three := func(a, b, c int) fsm.Command {
		return put(t, fmt.Sprintf(`{"key":"f","type":"boolean","variants":[{"key":"a"},{"key":"b","value":true},{"key":"c","value":false}],
			"default":{"split":{"weights":[{"variant":"a","weight":%d},{"variant":"b","weight":%d},{"variant":"c","weight":%d}]}}}`, a, b, c))
	}
	commands := []fsm.Command{three(20_000, 30_000, 50_000), three(40_000, 30_000, 30_000)}
	staged, direct := newNode(t), newNode(t)
	direct.do(fsm.Batch{Scope: dev, Commands: commands})
	stage := fsm.Stage{Scope: dev, Change: "change", Commands: commands}
	staged.do(stage)
	hash := sha256.Sum256(append(make([]byte, 32), staged.encode(stage)...))
	staged.do(fsm.Commit{Scope: dev, Change: "change", Parts: 1, Hash: hex.EncodeToString(hash[:])})
	require.Equal(t, direct.env().DeclaredHash(), staged.env().DeclaredHash())
}

// What was worked out when a flag was staged is a shortcut only: whatever happens before the commit, the result is
// that of the same commands in one batch.
func TestCommitEqualsTheBatchWhateverHappenedMeanwhile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		staged, direct := newNode(t), newNode(t)
		drawLog(rt, staged, 10)
		direct.store.Apply(staged.log[1:])
		direct.now, direct.ids = staged.now, staged.ids
		var commands []fsm.Command
		for range rapid.IntRange(1, 4).Draw(rt, "size") {
			commands = append(commands, drawCommand(rt, 0))
		}
		stage := fsm.Stage{Scope: dev, Change: "change", Commands: commands}
		encoded := staged.encode(stage)
		if staged.apply(staged.proposal(stage)).Err != nil {
			rt.Skip("refused without looking at the state")
		}
		direct.now, direct.ids = staged.now, staged.ids
		for range rapid.IntRange(0, 3).Draw(rt, "meanwhile") {
			c := drawCommand(rt, 0)
			staged.apply(staged.proposal(c))
			direct.apply(direct.proposal(c))
		}
		hash := sha256.Sum256(append(make([]byte, 32), encoded...))
		a := staged.apply(staged.proposal(fsm.Commit{Scope: dev, Change: "change", Parts: 1, Hash: hex.EncodeToString(hash[:])}))
		b := direct.apply(direct.proposal(fsm.Batch{Scope: dev, Commands: commands}))
		require.Equal(rt, a.Err == nil, b.Err == nil, "%v %v", a.Err, b.Err)
		require.Equal(rt, a.Receipt.Changed, b.Receipt.Changed)
		require.Equal(rt, direct.env().DeclaredHash(), staged.env().DeclaredHash())
		require.Equal(rt, direct.store.State().DomainHash(), staged.store.State().DomainHash())
		for _, key := range []string{"a", "b", "c", "A"} {
			require.Equal(rt, direct.eval(key).Variant, staged.eval(key).Variant)
		}
	})
}

func TestBatchNamesWhatMovedMeanwhile(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), boolean("b", ""))
	since := n.env().Revision()
	n.do(fsm.SetEnabled{Scope: dev, Key: "b", Enabled: false})
	change := []fsm.Command{fsm.SetEnabled{Key: "a"}, fsm.SetArchived{Key: "b", Archived: true}}
	e := n.refuse(fsm.KindConflict, fsm.Batch{Scope: dev, Since: since, Commands: change})
	require.Contains(t, e.Target, `"b"`)
	n.do(fsm.Batch{Scope: dev, Since: since, Commands: change[:1]})

	n.do(fsm.DeleteFlag{Scope: dev, Key: "b"})
	e = n.refuse(fsm.KindConflict, fsm.Batch{Scope: dev, Since: since, Commands: []fsm.Command{put(t, boolean("b", ""))}})
	require.Contains(t, e.Target, `"b"`, "what was deleted meanwhile moved, too")
	n.do(fsm.Batch{Scope: dev, Since: n.env().Revision(), Commands: []fsm.Command{put(t, boolean("b", ""))}})
}

func TestStagedWriteNamesWhatMovedMeanwhile(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""))
	since := n.env().Revision()
	var commands []fsm.Command
	for i := range 2000 {
		commands = append(commands, put(t, boolean(fmt.Sprintf("flag-%d", i), "")))
	}
	commands = append(commands, fsm.SetEnabled{Key: "a"})
	parts, err := fsm.Split(fsm.Batch{Scope: dev, Since: since, Commands: commands}, "big")
	require.NoError(t, err)
	require.Greater(t, len(parts), 2)
	for _, part := range parts[:len(parts)-1] {
		n.do(part)
	}
	n.do(fsm.SetArchived{Scope: dev, Key: "a", Archived: true})
	e := n.refuse(fsm.KindConflict, parts[len(parts)-1])
	require.Contains(t, e.Target, `"a"`)
	require.Len(t, n.env().Flags(), 1, "nothing is half applied")
}
