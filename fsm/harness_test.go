package fsm_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

const (
	epoch     = "0192f000-0000-7000-8000-000000000001"
	clusterID = "0192f000-0000-7000-8000-000000000002"
	start     = int64(1_795_000_000_000) // leader time of the first entry
)

var dev = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}

// node is a store that gets its log entry by entry and remembers it.
type node struct {
	t     testing.TB
	store *fsm.Store
	log   []fsm.Entry
	now   int64
	term  uint64
	ids   int
}

// newNode has a cluster name already: its first entry is a LeaderEstablished.
func newNode(t testing.TB) *node {
	n := &node{t: t, store: fsm.NewStore(), now: start, term: 1}
	out := n.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: n.encode(fsm.LeaderEstablished{
		Term: 1, ServerID: "a", ClusterID: clusterID, Epoch: epoch, LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})})
	require.NoError(t, out.Err)
	return n
}

func (n *node) encode(c fsm.Command) []byte {
	b, err := fsm.EncodeCommand(c)
	require.NoError(n.t, err)
	return b
}

// proposal is what a door would send: a person, a fresh id, the next millisecond.
func (n *node) proposal(c fsm.Command) *fsm.Proposal {
	n.ids++
	return &fsm.Proposal{RequestID: fmt.Sprintf("request-%d", n.ids), Actor: fsm.Actor{Kind: "user", ID: "ann"}, Command: n.encode(c)}
}

func (n *node) apply(p *fsm.Proposal) fsm.Outcome {
	n.now++
	p.At = n.now
	e := fsm.Entry{Index: n.store.State().Index() + 1, Term: n.term, Data: p.Encode()}
	n.log = append(n.log, e)
	return n.store.Apply([]fsm.Entry{e})[0]
}

func (n *node) do(c fsm.Command) fsm.Receipt {
	n.t.Helper()
	out := n.apply(n.proposal(c))
	require.NoError(n.t, out.Err)
	return out.Receipt
}

// refuse applies a command that must fail, and asserts that it left no trace in what people declared.
func (n *node) refuse(kind fsm.Kind, c fsm.Command) *fsm.Error {
	n.t.Helper()
	return n.refuseProposal(kind, n.proposal(c))
}

func (n *node) refuseProposal(kind fsm.Kind, p *fsm.Proposal) *fsm.Error {
	n.t.Helper()
	before := n.store.State()
	out := n.apply(p)
	var e *fsm.Error
	require.ErrorAs(n.t, out.Err, &e)
	require.Equal(n.t, kind, e.Kind, e.Error())
	require.NotEmpty(n.t, e.Detail)
	after := n.store.State()
	require.Equal(n.t, before.DomainHash(), after.DomainHash(), "a refused write changes nothing")
	seq, _ := before.AuditHead()
	now, _ := after.AuditHead()
	require.Equal(n.t, seq, now, "a refused write has no audit row")
	return e
}

func (n *node) env() *fsm.Environment {
	e, ok := n.store.State().Environment(dev.Tenant, dev.Environment)
	require.True(n.t, ok)
	return e
}

func (n *node) eval(key string, attributes ...evaluator.Attribute) evaluator.Result {
	live, ok := n.store.Live(dev.Tenant, dev.Environment)
	require.True(n.t, ok)
	return live.Snapshot().Evaluate(key, &evaluator.Context{TargetingKey: "user-1", Attributes: attributes})
}

func (n *node) save() []byte {
	var b bytes.Buffer
	require.NoError(n.t, n.store.State().Save(&b))
	return b.Bytes()
}

func (n *node) put(definitions ...string) {
	n.t.Helper()
	for _, d := range definitions {
		n.do(put(n.t, d))
	}
}

func put(t testing.TB, definition string) fsm.Command {
	t.Helper()
	return fsm.PutFlag{Scope: dev, Flag: decodeFlag(t, definition)}
}

func decodeFlag(t testing.TB, definition string) *evaluator.Flag {
	t.Helper()
	f, err := evaluator.DecodeFlag([]byte(definition))
	require.NoError(t, err)
	return f
}

func putSegment(t testing.TB, definition string) fsm.Command {
	t.Helper()
	s, err := evaluator.DecodeSegment([]byte(definition))
	require.NoError(t, err)
	return fsm.PutSegment{Scope: dev, Segment: s}
}

// boolean is an enabled flag that serves on, with more members after a comma.
func boolean(key, more string) string {
	return fmt.Sprintf(`{"key":%q,"type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],
		"off":"off","default":{"variant":"on"}%s}`, key, more)
}

func needs(key string, flags ...string) string {
	more := ""
	for _, f := range flags {
		if more != "" {
			more += ","
		}
		more += fmt.Sprintf(`{"flag":%q,"variants":["on"]}`, f)
	}
	return boolean(key, `,"prerequisites":[`+more+`]`)
}
