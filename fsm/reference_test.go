package fsm_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func inSegments(key string, segments ...string) string {
	values := ""
	for i, s := range segments {
		if i > 0 {
			values += ","
		}
		values += fmt.Sprintf("%q", s)
	}
	return boolean(key, `,"rules":[{"id":"r","if":[{"operator":"segment","values":[`+values+`]}],"then":{"variant":"off"}}]`)
}

func segmentOf(key string, inner ...string) string {
	if len(inner) == 0 {
		return fmt.Sprintf(`{"key":%q,"include":["user-1"]}`, key)
	}
	return fmt.Sprintf(`{"key":%q,"rules":[{"if":[{"operator":"segment","values":[%q]}]}]}`, key, inner[0])
}

func TestDanglingReferencesAreRefusedWithTheirPlace(t *testing.T) {
	n := newNode(t)
	n.put(boolean("payments", ""))
	for definition, field := range map[string]string{
		needs("checkout", "payments", "nothing"):                                            "/prerequisites/1/flag",
		inSegments("checkout", "beta"):                                                      "/rules/0/if/0/values/0",
		boolean("checkout", `,"prerequisites":[{"flag":"payments","variants":["purple"]}]`): "/prerequisites/0/flag",
		boolean("checkout", `,"rules":[{"id":"r","if":[{"operator":"prerequisite","attribute":"nothing","values":["on"]}],"then":{"variant":"off"}}]`): "/rules/0/if/0/attribute",
	} {
		e := n.refuse(fsm.KindInvalid, put(t, definition))
		require.Equal(t, field, e.Problems[0].Field)
		require.NotEmpty(t, e.Problems[0].Message)
	}
	n.refuse(fsm.KindInvalid, putSegment(t, segmentOf("outer", "beta")))
}

func TestCircleIsRefusedAndNamed(t *testing.T) {
	n := newNode(t)
	n.put(boolean("c", ""), needs("b", "c"), needs("a", "b"))
	e := n.refuse(fsm.KindInvalid, put(t, needs("c", "a")))
	require.Contains(t, e.Detail, "flag/c -> flag/a -> flag/b -> flag/c")
	n.refuse(fsm.KindInvalid, put(t, needs("c", "c")))
	n.refuse(fsm.KindInvalid, fsm.Batch{Scope: dev, Commands: []fsm.Command{put(t, needs("x", "y")), put(t, needs("y", "x"))}})
	n.do(putSegment(t, segmentOf("inner")))
	n.do(putSegment(t, segmentOf("outer", "inner")))
	n.refuse(fsm.KindInvalid, putSegment(t, segmentOf("inner", "outer")))
}

func TestDiamondIsNoCircle(t *testing.T) {
	n := newNode(t)
	n.put(boolean("d", ""), needs("b", "d"), needs("c", "d"), needs("a", "b", "c"))
	require.Equal(t, []string{"flag/b", "flag/c"}, n.env().Referrers(fsm.ObjectFlag, "d"))
}

func TestPathsHaveAGreatestDepth(t *testing.T) {
	n := newNode(t)
	n.put(boolean("f0", ""))
	for i := 1; i <= 8; i++ {
		n.put(needs(fmt.Sprintf("f%d", i), fmt.Sprintf("f%d", i-1)))
	}
	e := n.refuse(fsm.KindInvalid, put(t, needs("f9", "f8")))
	require.Equal(t, "reference.depth", e.Problems[0].Code)
	n.put(boolean("below", ""))
	n.refuse(fsm.KindInvalid, put(t, needs("f0", "below"))) // everything above would be too deep

	n.do(putSegment(t, segmentOf("s0")))
	for i := 1; i <= 4; i++ {
		n.do(putSegment(t, segmentOf(fmt.Sprintf("s%d", i), fmt.Sprintf("s%d", i-1))))
	}
	n.refuse(fsm.KindInvalid, putSegment(t, segmentOf("s5", "s4")))
}

func TestWhatOthersReferToStays(t *testing.T) {
	n := newNode(t)
	n.put(boolean("payments", ""), needs("checkout", "payments"))
	n.do(putSegment(t, segmentOf("beta")))
	n.put(inSegments("cart", "beta"))
	for _, c := range []fsm.Command{
		fsm.DeleteFlag{Scope: dev, Key: "payments"},
		fsm.SetArchived{Scope: dev, Key: "payments", Archived: true},
		fsm.DeleteSegment{Scope: dev, Key: "beta"},
		put(t, `{"key":"payments","type":"boolean","variants":[{"key":"yes","value":true},{"key":"off","value":false}],"default":{"variant":"yes"}}`),
	} {
		e := n.refuse(fsm.KindConflict, c)
		require.Contains(t, e.Detail, "flag/c")
	}
	n.do(fsm.DeleteFlag{Scope: dev, Key: "checkout"})
	n.do(fsm.DeleteFlag{Scope: dev, Key: "payments"})
	n.do(fsm.Batch{Scope: dev, Commands: []fsm.Command{fsm.DeleteSegment{Scope: dev, Key: "beta"}, fsm.DeleteFlag{Scope: dev, Key: "cart"}}})
	require.Empty(t, n.env().Referrers(fsm.ObjectSegment, "beta"))
}

func TestArchivedFlagCannotBecomeAPrerequisite(t *testing.T) {
	n := newNode(t)
	n.put(boolean("payments", `,"archived":true`))
	e := n.refuse(fsm.KindInvalid, put(t, needs("checkout", "payments")))
	require.Equal(t, "reference.flag.archived", e.Problems[0].Code)
}

// TestPathsThatAreTooManyAreRefused: a lattice is no circle and not deep, but an evaluation would look at its foot once
// per path.
func TestPathsThatAreTooManyAreRefused(t *testing.T) {
	n := newNode(t)
	layer := func(level int) (keys []string) {
		for i := range 4 {
			keys = append(keys, fmt.Sprintf("l%d-%d", level, i))
		}
		return keys
	}
	for _, key := range layer(0) {
		n.put(boolean(key, ""))
	}
	for level := 1; level <= 5; level++ {
		for _, key := range layer(level) {
			n.put(needs(key, layer(level-1)...))
		}
	}
	n.put(needs("top", layer(5)...)) // 5,460 visits
	e := n.refuse(fsm.KindInvalid, put(t, needs("higher", append(layer(5), "top")...)))
	require.Equal(t, "reference.visits", e.Problems[0].Code)
	require.Contains(t, e.Detail, "flag/higher")

	var leaves []string
	for i := range 10 {
		leaves = append(leaves, fmt.Sprintf("leaf-%d", i))
		n.put(boolean(leaves[i], ""))
	}
	n.put(needs("twig", leaves...))
	e = n.refuse(fsm.KindInvalid, put(t, needs("l0-0", "twig"))) // 1,024 paths lead there from the top
	require.Equal(t, "reference.visits", e.Problems[0].Code)
	require.Contains(t, e.Detail, "flag/top", "what is above would look too often")
}
