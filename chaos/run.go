package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/clustertest"
)

// Trial is one run of the virtual world: everything in it follows from the seed, but for the order in which goroutines run.
type Trial struct {
	Seed    uint64
	Rounds  int           // of a fault and a rest
	On, Off time.Duration // how long each takes
	Nemesis []string      // empty: drawn for every round
}

// Report is what came of a trial.
type Report struct {
	Trial      Trial
	Settings   string
	Virtual    time.Duration // of cluster time with faults and load
	Operations int
	Done       int // acknowledged
	Evidence   Evidence
	Violations []Violation
}

// settings draws how the cluster of a seed is run.
func (t Trial) settings(chance *rand.Rand) (clustertest.Options, string, int) {
	o := clustertest.Options{Nodes: 3, Seed: t.Seed, SnapshotThreshold: []uint64{50, 100, 1000}[chance.IntN(3)],
		TrailingLogs: []uint64{10, 1000}[chance.IntN(2)], CommitTimeout: 50 * time.Millisecond, Profile: cluster.ProfileLAN}
	if chance.IntN(4) == 0 {
		o.Nodes = 5
	}
	if chance.IntN(8) == 0 {
		o.CommitTimeout = 5 * time.Millisecond
	}
	if chance.IntN(5) == 0 {
		o.Profile = cluster.ProfileWAN
	}
	readers := 0
	if chance.IntN(4) == 0 { // members that never vote
		o.PromoteAfter, readers = 24*time.Hour, 1+chance.IntN(2)
	}
	return o, fmt.Sprintf("%d voters, %d others, %s, snapshots every %d entries, %d kept, commit timeout %s",
		o.Nodes, readers, o.Profile, o.SnapshotThreshold, o.TrailingLogs, o.CommitTimeout), readers
}

// Run plays the trial. It must be called inside a bubble, and Judge outside of it: a search is bounded by real time.
func (t Trial) Run(tb testing.TB) *Report {
	chance := rand.New(rand.NewPCG(t.Seed, 7))
	options, settings, readers := t.settings(chance)
	options.Raft = func(c *raft.Config) {
		if options.Profile == cluster.ProfileWAN {
			c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 1500*time.Millisecond, 1500*time.Millisecond, 750*time.Millisecond
		}
	}
	h := NewHistory(time.Now())
	w := NewVirtual(tb, h, options)
	defer w.Close()
	w.cluster.WaitLeader()
	for range readers {
		if _, err := w.Join(tb.Context()); err != nil {
			tb.Errorf("a reader: %v", err)
		}
	}
	report := &Report{Trial: t, Settings: settings}
	stop := Load{World: w, History: h, Seed: t.Seed, Follow: 1, Control: true}.Start(context.Background())
	began := time.Now()
	for range t.Rounds {
		Strike(context.Background(), w, h, chance, t.On, t.draw(chance)...)
		time.Sleep(t.Off)
	}
	report.Virtual = time.Since(began)
	stop()
	report.Violations = append(Settle(w, h), w.Unlawful()...)
	report.Violations = append(report.Violations, w.tooManyInstalls()...)
	report.Evidence = Evidence{History: h, Dump: w.Dump()}
	return report
}

// draw chooses what breaks next: one nemesis, or two together.
func (t Trial) draw(chance *rand.Rand) []Nemesis {
	if len(t.Nemesis) > 0 {
		found, err := Find(t.Nemesis)
		if err != nil {
			panic(err) // the names were checked when they were given
		}
		return found
	}
	all := Nemeses()
	found := []Nemesis{all[chance.IntN(len(all))]}
	if chance.IntN(2) == 0 {
		found = append(found, all[chance.IntN(len(all))])
	}
	return found
}

// loadFloor is how many operations must be acknowledged per second, or the run proves nothing.
const loadFloor = 5

// Judge adds what the checkers find.
func (r *Report) Judge() {
	for _, op := range r.Evidence.History.Ops() {
		r.Operations++
		if op.Outcome == OK {
			r.Done++
		}
	}
	r.Violations = append(r.Violations, Check(r.Evidence)...)
	if floor := loadFloor * int(r.Virtual.Seconds()); r.Done < floor {
		r.Violations = append(r.Violations, Violation{Name: "enough load", Detail: fmt.Sprintf("%d operations were acknowledged, %d are needed", r.Done, floor)})
	}
	if frames := len(r.Evidence.History.Frames()); frames < int(r.Virtual.Seconds()/10) {
		r.Violations = append(r.Violations, Violation{Name: "enough load", Detail: fmt.Sprintf("followers saw %d states only", frames)})
	}
}

// String is one line about the run.
func (r *Report) String() string {
	return fmt.Sprintf("seed %d: %s of cluster time, %d operations, %d acknowledged, %d log entries, %d frames (%s)", r.Trial.Seed,
		r.Virtual.Round(time.Second), r.Operations, r.Done, len(r.Evidence.Dump.Entries), len(r.Evidence.History.Frames()), r.Settings)
}

// Command is what repeats the trial.
func (t Trial) Command() string {
	command := fmt.Sprintf("make sim SEED=%d", t.Seed)
	if len(t.Nemesis) > 0 {
		command += " NEMESIS=" + strings.Join(t.Nemesis, "+")
	}
	return command
}

// settleTime is how long a healed cluster may take until everything works again.
const settleTime = 10 * time.Second

// Settle writes through every node of a healed world; each must take the write within ten seconds.
func Settle(w World, h *History) (out []Violation) {
	end := time.Now().Add(settleTime)
	c := (Load{World: w, History: h, Seed: 1}).caller(99)
	for _, node := range w.Nodes() {
		in := Input{Kind: Put, Environment: Registers, Key: "alive", Value: "alive-" + node}
		op := c.call(context.Background(), in, c.request(), node)
		for op.Outcome != OK && time.Now().Before(end) {
			time.Sleep(50 * time.Millisecond)
			op = c.call(context.Background(), in, op.Request, node)
		}
		if op.Outcome != OK {
			out = append(out, found(Alive, h.Now(), "%s does not write %s after healing: %s %s", node, settleTime, op.Result.Code, op.Result.Detail))
		}
	}
	for time.Now().Before(end.Add(settleTime)) && !level(w.Dump().Nodes) {
		time.Sleep(200 * time.Millisecond)
	}
	if nodes := w.Dump().Nodes; !level(nodes) {
		out = append(out, found(Alive, h.Now(), "the nodes do not come to one revision after healing: %v", nodes))
	}
	return out
}

// level tells whether all nodes stand at one revision.
func level(nodes []Standing) bool {
	return len(nodes) > 0 && !slices.ContainsFunc(nodes, func(s Standing) bool { return s.Index != nodes[0].Index })
}

// mostInstalls is how many snapshots a node may be given in a minute: one after each of the six rounds of faults, where only
// ten entries are kept, and three more. A follower that can never be satisfied is given hundreds.
const mostInstalls = 6 + 3

func (v *Virtual) tooManyInstalls() (out []Violation) {
	for _, node := range v.Nodes() {
		times := v.Installs(node)
		for i := mostInstalls; i < len(times); i++ {
			if times[i].Sub(times[i-mostInstalls]) < time.Minute {
				out = append(out, found(Alive, int64(times[i].Sub(v.history.began)), "%s was given %d snapshots within a minute", node, mostInstalls+1))
				break
			}
		}
	}
	return out
}
