package chaos_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	"github.com/hoistflags/hoist/fsm"
)

const second = int64(time.Second)

// tale is a small lawful history with its log, made by hand, for tests to spoil.
type tale struct {
	t     *testing.T
	h     *chaos.History
	dump  chaos.Dump
	store *fsm.Store
	at    int64
}

func newTale(t *testing.T) *tale {
	x := &tale{t: t, h: chaos.NewHistory(time.Now()), store: fsm.NewStore()}
	x.system(1, fsm.LeaderEstablished{Term: 1, ServerID: "s1", ClusterID: "c", Epoch: "e", LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	x.put("a", "one")
	x.put("a", "two")
	return x
}

// log appends an entry and applies it.
func (x *tale) log(term uint64, p *fsm.Proposal) fsm.Outcome {
	x.at += second
	p.At = x.at / 1e6
	e := fsm.Entry{Index: uint64(len(x.dump.Entries) + 1), Term: term, Data: p.Encode()}
	x.dump.Entries = append(x.dump.Entries, chaos.Entry{Entry: e, Applied: x.at})
	return x.store.Apply([]fsm.Entry{e})[0]
}

func (x *tale) system(term uint64, c fsm.Command) {
	command, err := fsm.EncodeCommand(c)
	require.NoError(x.t, err)
	require.NoError(x.t, x.log(term, &fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem, ID: "cluster"}, Command: command}).Err)
}

// put writes, and records that the client was told so.
func (x *tale) put(key, value string) chaos.Op {
	in := chaos.Input{Kind: chaos.Put, Environment: chaos.Registers, Key: key, Value: value}
	command, err := chaos.Encoded(in)
	require.NoError(x.t, err)
	request := fmt.Sprint("r", len(x.dump.Entries))
	call := x.at
	o := x.log(1, &fsm.Proposal{RequestID: request, Actor: fsm.Actor{Kind: "user", ID: "chaos"}, Command: command})
	require.NoError(x.t, o.Err)
	op := chaos.Op{Client: 1, Request: request, Node: "n1", Call: call, Return: x.at, Input: in, Outcome: chaos.OK, Epoch: "e", Revision: o.Receipt.Revision,
		Result: chaos.Result{Object: o.Receipt.Object, Changed: true}}
	x.h.Add(op)
	return op
}

// read records what a client saw.
func (x *tale) read(kind chaos.Kind, revision, object uint64, value string) {
	x.at += second
	x.h.Add(chaos.Op{Client: 2, Node: "n1", Call: x.at - second/2, Return: x.at, Outcome: chaos.OK, Epoch: "e", Revision: revision,
		Input: chaos.Input{Kind: kind, Environment: chaos.Registers, Key: "a"}, Result: chaos.Result{Found: true, Object: object, Value: value}})
}

func (x *tale) broken() (numbers []int) {
	for _, v := range chaos.Check(chaos.Evidence{History: x.h, Dump: x.dump}) {
		if !slices.Contains(numbers, v.Invariant) {
			numbers = append(numbers, v.Invariant)
		}
	}
	return numbers
}

func TestALawfulHistoryIsLawful(t *testing.T) {
	x := newTale(t)
	x.read(chaos.Read, 3, 3, "two")
	x.read(chaos.Stale, 3, 3, "two")
	env, _ := x.store.State().Environment(fsm.DefaultTenant, chaos.Registers)
	x.h.See(chaos.Frame{Environment: chaos.Registers, Epoch: "e", Revision: 3, Digest: chaos.Digest(env.Snapshot()), At: x.at})
	require.Empty(t, x.broken())
}

// Each invariant can fail: a history that breaks it, and what is then said. Those about rollouts are shown by the planted
// defects B10, B11, B14, B16 and B19.
func TestEachInvariantCanFail(t *testing.T) {
	voters := func(x *tale, ids ...string) {
		x.at += second
		x.dump.Entries = append(x.dump.Entries, chaos.Entry{Entry: fsm.Entry{Index: uint64(len(x.dump.Entries) + 1), Term: 1}, Applied: x.at, Config: true, Voters: ids, Members: ids})
	}
	for name, c := range map[string]struct {
		breaks int
		spoil  func(x *tale)
	}{
		"a linearizable read shows what was replaced": {chaos.Linearizable, func(x *tale) { x.read(chaos.Read, 2, 2, "one") }},
		"a read shows what nobody wrote":              {chaos.Linearizable, func(x *tale) { x.read(chaos.Read, 3, 3, "three") }},
		"an answer names another revision": {chaos.Oracle, func(x *tale) {
			op := x.put("b", "one")
			op.Revision, op.Result.Object = 2, 2
			x.h.Add(op)
		}},
		"what was refused is in the log": {chaos.Oracle, func(x *tale) {
			in := chaos.Input{Kind: chaos.Put, Environment: chaos.Registers, Key: "b", Value: "one"}
			command, err := chaos.Encoded(in)
			require.NoError(t, err)
			x.log(1, &fsm.Proposal{RequestID: "refused", Actor: fsm.Actor{Kind: "user", ID: "chaos"}, Command: command})
			x.h.Add(chaos.Op{Request: "refused", Input: in, Outcome: chaos.Fail, Return: x.at, Result: chaos.Result{Code: string(fsm.KindNoQuorum)}})
		}},
		"two nodes differ": {chaos.Hashes, func(x *tale) {
			x.dump.Sightings = append(x.dump.Sightings, chaos.Sighting{Node: "n2", Epoch: "e", Index: 3, Full: "another"})
		}},
		"an acknowledged write is gone": {chaos.Durable, func(x *tale) {
			x.put("b", "one")
			x.dump.Entries = x.dump.Entries[:3]
		}},
		"two entries at one index": {chaos.Durable, func(x *tale) { x.dump.Clashes = []string{"n2 applied another entry"} }},
		"a local read goes back": {chaos.Monotonic, func(x *tale) {
			x.read(chaos.Stale, 3, 3, "two")
			x.read(chaos.Stale, 2, 2, "one")
		}},
		"min_revision is not waited for": {chaos.ReadYourWrite, func(x *tale) {
			x.h.Add(chaos.Op{Client: 3, Node: "n1", Return: x.at, Outcome: chaos.OK, Epoch: "e", Revision: 2,
				Input:  chaos.Input{Kind: chaos.Bounded, Environment: chaos.Registers, Key: "a", Min: 3, Epoch: "e"},
				Result: chaos.Result{Found: true, Object: 2, Value: "one"}})
		}},
		"a follower holds something else": {chaos.Streams, func(x *tale) {
			x.h.See(chaos.Frame{Environment: chaos.Registers, Epoch: "e", Revision: 3, Digest: "another", At: x.at})
		}},
		"a follower goes back": {chaos.Streams, func(x *tale) {
			x.h.See(chaos.Frame{Environment: chaos.Registers, Epoch: "e", Revision: 9, At: x.at})
			x.h.See(chaos.Frame{Environment: chaos.Registers, Epoch: "e", Revision: 8, At: x.at})
		}},
		"a node stays behind": {chaos.Alive, func(x *tale) {
			x.put("b", "one")
			s := x.store.State()
			x.dump.Nodes = []chaos.Standing{{Node: "n2", Index: 2, Domain: s.DomainHash(), Full: s.FullHash()}}
		}},
		"an evaluation fails": {chaos.NeverFails, func(x *tale) {
			x.h.Add(chaos.Op{Node: "n1", Input: chaos.Input{Kind: chaos.Stale}, Outcome: chaos.Fail, Return: x.at})
		}},
		"two voters at once": {chaos.Membership, func(x *tale) { voters(x, "s1", "s2", "s3"); voters(x, "s1") }},
		"a removed server leads": {chaos.Membership, func(x *tale) {
			voters(x, "s1", "s2")
			voters(x, "s2")
			x.system(2, fsm.LeaderEstablished{Term: 2, ServerID: "s1", LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTale(t)
			c.spoil(x)
			require.Contains(t, x.broken(), c.breaks)
		})
	}
}

// A stored history is judged again as it was judged the first time, and its shortest prefix ends where it went wrong.
func TestAStoredHistoryIsJudgedAgain(t *testing.T) {
	x := newTale(t)
	x.read(chaos.Stale, 3, 3, "wrong")
	wrong := x.at
	for i := range 50 {
		x.put("b", fmt.Sprint("v", i))
	}
	var stored bytes.Buffer
	require.NoError(t, x.h.Write(&stored))
	again, err := chaos.ReadHistory(&stored)
	require.NoError(t, err)
	e := chaos.Evidence{History: again, Dump: x.dump}
	violations := chaos.Check(e)
	require.Equal(t, chaos.Check(chaos.Evidence{History: x.h, Dump: x.dump}), violations)
	require.Len(t, violations, 1)
	prefix := chaos.Prefix(e, violations[0], time.Now().Add(time.Minute))
	ops := prefix.History.Ops()
	require.Equal(t, wrong, ops[len(ops)-1].Return)
	require.Len(t, prefix.Dump.Entries, 3)
}

// A write of which nobody knows whether it happened may explain a later read, and need not.
func TestUnknownOutcomesAreLeftOpen(t *testing.T) {
	for name, seen := range map[string]string{"it happened": "maybe", "it did not": "two"} {
		t.Run(name, func(t *testing.T) {
			x := newTale(t)
			in := chaos.Input{Kind: chaos.Put, Environment: chaos.Registers, Key: "a", Value: "maybe"}
			x.h.Add(chaos.Op{Client: 3, Request: "open", Input: in, Outcome: chaos.Unknown, Call: x.at, Return: x.at + second})
			revision := uint64(3)
			if seen == "maybe" {
				command, err := chaos.Encoded(in)
				require.NoError(t, err)
				x.log(1, &fsm.Proposal{RequestID: "open", Actor: fsm.Actor{Kind: "user", ID: "chaos"}, Command: command})
				revision = 4
			}
			x.at += 2 * second
			x.read(chaos.Read, revision, revision, seen)
			require.Empty(t, x.broken())
		})
	}
}
