package chaos_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

// directed is one scenario that is made for one defect: whoever has the defect breaks one of the invariants.
type directed struct {
	bug     string
	breaks  string // what the defect is
	name    string // of the scenario
	options clustertest.Options
	catches []int // the invariants of which one at least must see it
	play    func(s *stage)
}

// stage is a world with one client on it.
type stage struct {
	*testing.T
	*chaos.Virtual
	h    *chaos.History
	made int
}

// do lets the client do one operation on a node; it need not succeed.
func (s *stage) do(node string, in chaos.Input) chaos.Op {
	s.made++
	return s.attempt(node, fmt.Sprint("directed-", s.made), in)
}

// attempt is do under a request id.
func (s *stage) attempt(node, request string, in chaos.Input) chaos.Op {
	s.made++
	if in.Environment == "" {
		in.Environment = chaos.Registers
	}
	op := chaos.Op{Client: 1, ID: s.made, Request: request, Node: node, Input: in, Call: s.h.Now()}
	if in.Kind.Reads() {
		op.Request = ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	s.Client(node).Do(ctx, &op)
	op.Return = s.h.Now()
	s.h.Add(op)
	time.Sleep(time.Millisecond) // so that the next one clearly comes later
	return op
}

// put writes a register.
func (s *stage) put(node, key, value string) chaos.Op {
	return s.do(node, chaos.Input{Kind: chaos.Put, Key: key, Value: value})
}

func (s *stage) read(node, key string, kind chaos.Kind) chaos.Op {
	return s.do(node, chaos.Input{Kind: kind, Key: key})
}

// leader waits for one.
func (s *stage) leader() string { return s.Cluster().WaitLeader().Name }

// role is what raft says a node is, whether it has established its term or not.
func (s *stage) role(node string) string {
	for _, m := range s.Cluster().Up() {
		if m.Name == node {
			return m.Node().Status().Role
		}
	}
	return ""
}

// others are the nodes that do not lead.
func (s *stage) others() (rest []string) {
	leader := s.leader()
	for _, n := range s.Nodes() {
		if n != leader {
			rest = append(rest, n)
		}
	}
	return rest
}

// lead gives leadership to a node.
func (s *stage) lead(node string) {
	if s.leader() == node {
		return
	}
	m := s.Cluster().WaitLeader()
	require.NoError(s, m.Node().Transfer(s.Context(), node))
	s.Cluster().Wait("the transfer", 5*time.Second, func() bool { l := s.Cluster().Leader(); return l != nil && l.Name == node })
}

// cutOff isolates a node.
func (s *stage) cutOff(node string) {
	for _, other := range s.Nodes() {
		if other != node {
			require.NoError(s, s.Line(node, other, chaos.Line{Cut: true}))
			require.NoError(s, s.Line(other, node, chaos.Line{Cut: true}))
		}
	}
}

// follow records what a follower of the given nodes holds, until the returned function is called.
func (s *stage) follow(environment string, nodes ...string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); chaos.Follow(ctx, s, s.h, 100, environment, nodes) }()
	return func() { cancel(); <-done }
}

const ladder = `
name: p
flag: r
target: {variant: "on"}
steps: [{setWeight: 10}, {hold: %s}, {setWeight: 40}, {hold: %s}, {setWeight: 60}, {hold: %s}]
analysis: none
`

// rollout makes the flag and starts a rollout on it.
func (s *stage) rollout(hold string) (id string) {
	s.do(s.leader(), chaos.Input{Kind: chaos.Put, Environment: chaos.Rollouts, Key: "r"})
	return s.start(hold)
}

func (s *stage) start(hold string) string {
	op := s.do(s.leader(), chaos.Input{Kind: chaos.Start, Environment: chaos.Rollouts, Plan: fmt.Sprintf(ladder, hold, hold, hold)})
	return fsm.RolloutID("p", op.Revision)
}

func (s *stage) move(id string, m fsm.Move) {
	s.do(s.leader(), chaos.Input{Kind: chaos.Move, Environment: chaos.Rollouts, Key: id, Value: string(m)})
}

// run plays a scenario and judges it.
func (d directed) run(t *testing.T) *chaos.Report {
	report := &chaos.Report{Trial: chaos.Trial{Seed: 1}}
	synctest.Test(t, func(t *testing.T) {
		h := chaos.NewHistory(time.Now())
		w := chaos.NewVirtual(t, h, d.options)
		defer w.Close()
		w.Cluster().WaitLeader()
		time.Sleep(time.Second)
		d.play(&stage{T: t, Virtual: w, h: h})
		w.Heal()
		report.Violations = append(chaos.Settle(w, h), w.Unlawful()...)
		report.Evidence = chaos.Evidence{History: h, Dump: w.Dump()}
	})
	report.Violations = append(report.Violations, chaos.Check(report.Evidence)...)
	return report
}

// The other half of the seeded bugs: without one, every scenario made for a defect is lawful.
func TestScenariosMadeForDefectsAreLawfulWithoutThem(t *testing.T) {
	for _, d := range directedScenarios() {
		t.Run(d.bug+" "+d.name, func(t *testing.T) {
			for _, v := range d.run(t).Violations {
				t.Error(v)
			}
		})
	}
}
