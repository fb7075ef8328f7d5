package chaos_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

// directedScenarios are those of the write path, of reads, of nodes, of rollouts and of promotions.
func directedScenarios() []directed {
	return slices.Concat(writeScenarios(), nodeScenarios(), rolloutScenarios(), promotionScenarios())
}

func writeScenarios() []directed {
	return []directed{
		{bug: "B01", breaks: "a controller of an earlier term is obeyed", name: "late controller", catches: []int{chaos.OneController}, play: lateController},
		{bug: "B02", breaks: "writes are acknowledged before they are committed", name: "write to an isolated leader",
			catches: []int{chaos.Durable, chaos.Oracle}, play: func(s *stage) {
				leader := s.leader()
				s.cutOff(leader)
				s.put(leader, "a", "lost")
				time.Sleep(2 * time.Second)
			}},
		{bug: "B03", breaks: "request ids are not remembered", name: "retry", catches: []int{chaos.Idempotent, chaos.Oracle}, play: func(s *stage) {
			in := chaos.Input{Kind: chaos.Put, Key: "a", Value: "first"}
			s.attempt("n1", "once", in)
			s.put("n2", "a", "second")
			s.attempt("n3", "once", in)
		}},
		{bug: "B08", breaks: "batches ignore the expected revision", name: "batch from an old revision", catches: []int{chaos.Oracle}, play: func(s *stage) {
			old := s.put("n1", "m", "first").Result.Object
			s.put("n1", "m", "second")
			s.do("n2", chaos.Input{Kind: chaos.Batch, Expected: &old, Parts: []chaos.Input{{Kind: chaos.Put, Environment: chaos.Registers, Key: "m", Value: "third"}}})
		}},
		{bug: "B09", breaks: "the order of a map decides", name: "batches of many flags", catches: []int{chaos.Hashes}, play: func(s *stage) {
			for i := range 3 {
				in := chaos.Input{Kind: chaos.Batch}
				for k := range 8 {
					in.Parts = append(in.Parts, chaos.Input{Kind: chaos.Put, Environment: chaos.Registers, Key: fmt.Sprint("m", k), Value: fmt.Sprint(i, "-", k)})
				}
				s.do("n1", in)
			}
		}},
		{bug: "B05", breaks: "the state machine reads the clock", name: "a write under slow lines", catches: []int{chaos.Hashes}, play: func(s *stage) {
			for _, other := range s.others() {
				require.NoError(s, s.Line(s.leader(), other, chaos.Line{Delay: 20 * time.Millisecond}))
			}
			s.put(s.leader(), "a", "first")
			time.Sleep(time.Second)
		}},
		{bug: "B17", breaks: "a change leaves no audit row", name: "kill switch", catches: []int{chaos.Oracle}, play: func(s *stage) {
			s.put("n1", "a", "first")
			s.do("n1", chaos.Input{Kind: chaos.Kill, Key: "a"})
		}},
	}
}

// lateController proposes under the term before the present one.
func lateController(s *stage) {
	s.put("n1", "a", "first")
	term := s.Cluster().WaitLeader().State().EstablishedTerm()
	s.lead(s.others()[0])
	command, err := chaos.Encoded(chaos.Input{Kind: chaos.Put, Environment: chaos.Registers, Key: "a", Value: "late"})
	require.NoError(s, err)
	_, err = s.Cluster().WaitLeader().Node().Propose(s.Context(), &fsm.Proposal{RequestID: "late", ControllerTerm: term,
		Actor: fsm.Actor{Kind: "user", ID: "chaos"}, Command: command})
	s.Logf("the late controller is answered: %v", err)
}

func nodeScenarios() []directed {
	snapshots := clustertest.Options{SnapshotThreshold: 20, TrailingLogs: 5}
	return []directed{
		{bug: "B04", breaks: "a resumed stream misses one change", name: "resume after one change", catches: []int{chaos.Streams}, play: resume},
		{bug: "B06", breaks: "reads are not confirmed by a quorum", name: "linearizable read on an isolated follower", catches: []int{chaos.Linearizable}, play: func(s *stage) {
			s.put("n1", "a", "first")
			alone := s.others()[0]
			s.cutOff(alone)
			s.put(s.leader(), "a", "second")
			s.read(alone, "a", chaos.Read)
		}},
		{bug: "B07", breaks: "a leader reads before it knows what was committed", name: "read at an election", catches: []int{chaos.Linearizable}, play: readAtElection},
		{bug: "B12", breaks: "subscribers are not told of a restored state", name: "stream over an installed snapshot", options: snapshots,
			catches: []int{chaos.Streams}, play: installed},
		{bug: "B13", breaks: "a node forgets at boot what it had served", name: "restart without quorum", options: snapshots,
			catches: []int{chaos.Monotonic}, play: restartAlone},
		{bug: "B15", breaks: "snapshots leave out the request table", name: "retry at a node that was sent a snapshot", options: snapshots,
			catches: []int{chaos.Idempotent, chaos.Oracle, chaos.Hashes}, play: retryAfterInstall},
		{bug: "B18", breaks: "a write counts before it is on disk", name: "power failure", catches: []int{chaos.Durable}, play: func(s *stage) {
			for _, n := range s.Nodes() {
				require.NoError(s, s.Disk(n, chaos.Disk{Sync: 100 * time.Millisecond}))
			}
			s.put(s.leader(), "a", "first")
			for _, n := range s.Nodes() {
				require.NoError(s, s.Crash(n))
			}
		}},
	}
}

// resume lets a follower miss exactly one change.
func resume(s *stage) {
	rest := s.others()
	s.put(s.leader(), "a", "first")
	stop := s.follow(chaos.Registers, rest[0])
	defer stop()
	time.Sleep(6 * time.Second) // a progress mark passed
	s.put(s.leader(), "b", "second")
	time.Sleep(time.Second)
	require.NoError(s, s.Crash(rest[0]))
	s.put(s.leader(), "a", "third")
	require.NoError(s, s.Restart(rest[0]))
	time.Sleep(4 * time.Second)
}

// readAtElection crashes a leader when it has acknowledged a write of which nobody else knows that it is committed, and
// asks the next one before it can commit anything of its own.
func readAtElection(s *stage) {
	for _, a := range s.Nodes() {
		for _, b := range s.Nodes() {
			require.NoError(s, s.Line(a, b, chaos.Line{Delay: 20 * time.Millisecond}))
		}
		require.NoError(s, s.Disk(a, chaos.Disk{Sync: 60 * time.Millisecond}))
	}
	time.Sleep(time.Second)
	leader, rest := s.leader(), s.others()
	time.AfterFunc(100*time.Millisecond, func() { // the entry has gone out; that it is committed will not
		for _, node := range rest {
			_ = s.Line(leader, node, chaos.Line{Cut: true}) // cannot fail
		}
	})
	s.put(leader, "a", "first")
	require.NoError(s, s.Crash(leader))
	next := ""
	s.Cluster().Wait("an election", 10*time.Second, func() bool {
		for _, node := range rest {
			if s.role(node) == "leader" {
				next = node
			}
		}
		return next != ""
	})
	other := rest[0]
	if other == next {
		other = rest[1]
	}
	require.NoError(s, s.Disk(other, chaos.Disk{Hang: true}))               // a confirmation needs no disk, a commit does
	time.AfterFunc(time.Second, func() { _ = s.Disk(other, chaos.Disk{}) }) // cannot fail
	s.read(next, "a", chaos.Read)
}

// behind cuts a follower off until only a snapshot helps it.
func behind(s *stage, node string) {
	s.cutOff(node)
	for i := range 60 {
		s.put(s.leader(), fmt.Sprint("k", i%5), fmt.Sprint("v", i))
	}
	time.Sleep(12 * time.Second) // a snapshot is taken
	s.Cluster().Network.Heal()
}

func installed(s *stage) {
	node := s.others()[0]
	s.put(s.leader(), "a", "first")
	stop := s.follow(chaos.Registers, node)
	defer stop()
	time.Sleep(time.Second)
	behind(s, node)
	time.Sleep(12 * time.Second) // two progress marks
	require.NotEmpty(s, s.Installs(node), "the follower was sent no snapshot: the scenario proves nothing")
}

func restartAlone(s *stage) {
	for i := range 40 {
		s.put("n1", "a", fmt.Sprint("v", i))
	}
	time.Sleep(12 * time.Second) // a snapshot is taken
	for i := range 5 {
		s.put("n1", "a", fmt.Sprint("late", i))
	}
	time.Sleep(5 * time.Second)
	s.read("n1", "a", chaos.Stale)
	for _, n := range s.Nodes() {
		require.NoError(s, s.Stop(n))
	}
	require.NoError(s, s.Restart("n1"))
	s.read("n1", "a", chaos.Stale)
}

func retryAfterInstall(s *stage) {
	in := chaos.Input{Kind: chaos.Put, Key: "a", Value: "once"}
	node := s.others()[0]
	s.cutOff(node)
	s.attempt(s.leader(), "once", in)
	s.put(s.leader(), "a", "twice")
	behind(s, node)
	s.Cluster().WaitQuiet()
	require.NotEmpty(s, s.Installs(node), "the follower was sent no snapshot: the scenario proves nothing")
	time.Sleep(5 * time.Second)
	s.lead(node)
	s.attempt(node, "once", in)
}

func rolloutScenarios() []directed {
	return []directed{
		{bug: "B10", breaks: "an abort leaves the revision of its rollout", name: "abort", catches: []int{chaos.NeverUp}, play: func(s *stage) {
			id := s.rollout("20s")
			time.Sleep(3 * time.Second)
			s.move(id, fsm.MoveAbort)
		}},
		{bug: "B11", breaks: "a new leader believes its own clock", name: "failover to a wrong clock", catches: []int{chaos.Holds}, play: func(s *stage) {
			s.rollout("60s")
			time.Sleep(5 * time.Second)
			wrong := s.others()[0]
			require.NoError(s, s.Clock(wrong, time.Hour, 0))
			time.Sleep(5 * time.Second)
			s.lead(wrong)
			time.Sleep(10 * time.Second)
		}},
		{bug: "B14", breaks: "a raise allocates anew", name: "ladder over a half", catches: []int{chaos.Sticky}, play: func(s *stage) {
			s.rollout("2s")
			time.Sleep(20 * time.Second)
		}},
		{bug: "B16", breaks: "an abort leaves the exposure", name: "abort in the middle", catches: []int{chaos.NeverUp}, play: func(s *stage) {
			id := s.rollout("3s")
			time.Sleep(6 * time.Second)
			s.move(id, fsm.MoveAbort)
			time.Sleep(5 * time.Second)
		}},
		{bug: "B19", breaks: "one seat is given to two rollouts", name: "two rollouts", catches: []int{chaos.OneController}, play: func(s *stage) {
			s.rollout("20s")
			s.start("20s")
			time.Sleep(2 * time.Second)
		}},
	}
}
