package cloudbees_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

type names struct{ Added, Modified, ModifiedInFormOnly, Removed, Unchanged []string }

type goldenDiff struct {
	Source, Target      string
	Flags, TargetGroups names
}

// S1-03, S1-13
func TestDiffsOfRealEnvironmentsAgreeWithTheGoldenOnes(t *testing.T) {
	var golden struct{ Diffs []goldenDiff }
	readJSON(t, shared(t, "golden-diffs.json"), &golden)
	require.Len(t, golden.Diffs, 16)
	for _, want := range golden.Diffs {
		t.Run(want.Source+" to "+want.Target, func(t *testing.T) {
			flags, groups := compareTrees(t, want.Source, want.Target)
			require.Equal(t, want.Flags, flags)
			require.Equal(t, want.TargetGroups, groups)
		})
	}
}

// compareTrees applies target to an empty environment and asks the law what source would change there.
func compareTrees(t *testing.T, source, target string) (flags, groups names) {
	t.Helper()
	from, to := importTree(t, source).Content, importTree(t, target).Content
	env := environmentWith(t, to)
	here, there := liveNames(from), liveNames(to)
	touched := map[string]bool{}
	for _, c := range fsm.Diff(scope, env, from, true) {
		switch c := c.(type) {
		case fsm.PutFlag:
			touched["flag "+c.Flag.Key] = true
		case fsm.SetEnabled:
			touched["flag "+c.Key] = true
		case fsm.DeleteFlag:
			touched["flag "+c.Key] = true
		case fsm.PutSegment:
			touched["segment "+c.Segment.Key] = true
		case fsm.DeleteSegment:
			touched["segment "+c.Key] = true
		}
	}
	for node, name := range here {
		list := &flags
		if strings.HasPrefix(node, "segment ") {
			list = &groups
		}
		_, both := there[node]
		switch {
		case !both:
			list.Added = append(list.Added, name)
		case touched[node]:
			list.Modified = append(list.Modified, name)
		default:
			list.Unchanged = append(list.Unchanged, name)
		}
	}
	for node, name := range there {
		list := &flags
		if strings.HasPrefix(node, "segment ") {
			list = &groups
		}
		if _, both := here[node]; !both {
			require.True(t, touched[node], "%s is not in the source, but stays", node)
			list.Removed = append(list.Removed, name)
		}
	}
	for _, n := range []*names{&flags, &groups} {
		for _, list := range []*[]string{&n.Added, &n.Modified, &n.Removed, &n.Unchanged, &n.ModifiedInFormOnly} {
			slices.Sort(*list)
			*list = append([]string{}, *list...)
		}
	}
	return flags, groups
}

// liveNames maps every flag that is not archived, and every segment, to its name in the source.
func liveNames(content fsm.Content) map[string]string {
	out := map[string]string{}
	for _, f := range content.Flags {
		if !f.Archived {
			out["flag "+f.Key] = cmp.Or(f.Annotations["cloudbees.name"], f.Key)
		}
	}
	for _, s := range content.Segments {
		out["segment "+s.Key] = cmp.Or(s.Annotations["cloudbees.name"], s.Key)
	}
	return out
}

var scope = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}

// environmentWith is a fresh environment that holds the content.
func environmentWith(t testing.TB, content fsm.Content) *fsm.Environment {
	t.Helper()
	store := fsm.NewStore()
	index := uint64(0)
	propose := func(actor, id string, c fsm.Command) {
		data, err := fsm.EncodeCommand(c)
		require.NoError(t, err)
		index++
		p := fsm.Proposal{RequestID: id, Actor: fsm.Actor{Kind: actor}, Command: data, At: 1_700_000_000_000}
		out := store.Apply([]fsm.Entry{{Index: index, Term: 1, Data: p.Encode()}})
		require.NoError(t, out[0].Err)
	}
	propose("system", "", fsm.LeaderEstablished{Term: 1, ServerID: "n1", ClusterID: "c", Epoch: "e", LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	env, ok := store.State().Environment(scope.Tenant, scope.Environment)
	require.True(t, ok)
	commands := fsm.Diff(scope, env, content, false)
	if len(commands) > 0 {
		parts, err := fsm.Split(fsm.Batch{Scope: scope, Commands: commands}, "whole")
		require.NoError(t, err)
		for i, part := range parts {
			propose("system", "whole-"+string(rune('a'+i%26))+strings.Repeat("x", i/26), part)
		}
	}
	env, _ = store.State().Environment(scope.Tenant, scope.Environment)
	return env
}
