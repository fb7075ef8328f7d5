package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// S1-08, S1-09: the leader dies at every entry of what a promotion is made of, at each of three points: before the entry is
// on its disk, when nobody else has it, and when it is applied but not answered. Whoever asked asks again under the same
// id. Then every node has all of it or nothing, a watcher sees one step, and the audit log is that of an undisturbed run.

// killing ends the leader at one point of the entry with a number, counted from arm on.
type killing struct {
	at    int // 0: nobody dies
	point clustertest.Point

	mu     sync.Mutex
	c      *clustertest.Cluster
	armed  bool
	seen   []uint64 // indexes of the entries so far
	leader *clustertest.Member
	victim *clustertest.Member
}

func (k *killing) arm() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = true
}

// disarm says how many entries there were, and who died.
func (k *killing) disarm() (int, *clustertest.Member) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = false
	return len(k.seen), k.victim
}

// around is told of each entry by the member that has it; the leader is the first.
func (k *killing) around(m *clustertest.Member, p clustertest.Point, l *raft.Log) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.armed || l.Type != raft.LogCommand {
		return
	}
	if p == clustertest.Appending && !slices.Contains(k.seen, l.Index) {
		if k.seen = append(k.seen, l.Index); len(k.seen) == k.at {
			k.leader = m
		}
	}
	if k.victim == nil && m == k.leader && p == k.point && l.Index == k.seen[k.at-1] {
		k.victim = m
		k.c.Crash(m)
	}
}

// voyage is a cluster with pilots in which a promotion travels.
type voyage struct {
	*flight
	kill *killing
}

func embark(t *testing.T, kill *killing) *voyage {
	c := clustertest.Start(t, clustertest.Options{Nodes: 3, Seed: 7, Around: kill.around})
	v := &voyage{flight: &flight{t: t, c: c, land: map[*clustertest.Member]func(){}}, kill: kill}
	kill.c = c
	for _, m := range c.Members() {
		v.fly(m)
	}
	return v
}

// as proposes as somebody through a node that does not lead, whose answer a leader's death cuts off; again and again under
// one id until it is known what happened.
func (v *voyage) as(who, id string, c fsm.Command) fsm.Receipt {
	v.t.Helper()
	command, err := fsm.EncodeCommand(c)
	require.NoError(v.t, err)
	for {
		receipt, err := v.once(&fsm.Proposal{RequestID: id, Actor: fsm.Actor{Kind: fsm.ActorUser, ID: who}, Command: command})
		var e *fsm.Error
		if !errors.As(err, &e) || e.Kind != fsm.KindUnknownOutcome && e.Kind != fsm.KindNoQuorum && e.Kind != fsm.KindNotLeader {
			require.NoError(v.t, err)
			return receipt
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (v *voyage) once(p *fsm.Proposal) (fsm.Receipt, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	leader := v.c.Leader()
	for _, m := range v.c.Up() {
		if node := m.Node(); m != leader && node != nil {
			return node.Propose(ctx, p)
		}
	}
	return fsm.Receipt{}, &fsm.Error{Kind: fsm.KindNoQuorum}
}

var (
	devScope = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}
	staging  = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "staging"}
)

// cargo is how many flags dev has in the end; together they are too large for one entry.
const cargo = 9

// ballast is a flag of about 16 KiB.
func ballast(t *testing.T, key, note string) *evaluator.Flag {
	f, err := evaluator.DecodeFlag(fmt.Appendf(nil, `{"key":%q,"type":"string","enabled":true,"variants":[{"key":"on","value":%q},{"key":"off","value":"off"}],
		"off":"off","default":{"variant":"on"}}`, key, note+strings.Repeat("x", 16<<10)))
	require.NoError(t, err)
	return f
}

// load fills dev by a staged write: its parts one by one, and then what makes them count.
func (v *voyage) load() {
	batch := fsm.Batch{Scope: devScope}
	for i := range cargo {
		batch.Commands = append(batch.Commands, fsm.PutFlag{Scope: devScope, Flag: ballast(v.t, fmt.Sprintf("f%d", i), "new")})
	}
	parts, err := fsm.Split(batch, "load")
	require.NoError(v.t, err)
	require.Greater(v.t, len(parts), cargo/2, "large enough to be staged")
	for i, part := range parts {
		v.as("ann", fmt.Sprintf("load-%d", i), part)
	}
}

// approve opens a full promotion of dev into staging and gets it approved.
func (v *voyage) approve() string {
	opened := v.as("ann", "open", fsm.OpenPromotion{Scope: staging, Source: "dev", Type: fsm.PromotionFull})
	_, leads := v.c.WaitLeader().Running()
	require.NoError(v.t, leads.Wait(context.Background(), opened.Revision))
	env, _ := leads.State().Environment(staging.Tenant, staging.Environment)
	change, ok := env.Opened(opened.Revision)
	require.True(v.t, ok)
	v.as("ann", "validate", fsm.MoveChange{Scope: staging, ID: change.ID, Move: fsm.ChangeMoveValidate})
	v.as("bob", "approve", fsm.MoveChange{Scope: staging, ID: change.ID, Move: fsm.ChangeMoveApprove})
	return change.ID
}

// lookout notes what an environment served, one line for each that it ever was on the members' first lives.
func (v *voyage) lookout(scope fsm.Scope) (seen func() map[string][]string) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	out := make([][]string, len(v.c.Members()))
	for i, m := range v.c.Members() {
		live, ok := m.Store().Live(scope.Tenant, scope.Environment)
		require.True(v.t, ok)
		watching.Go(func() {
			for {
				s := live.Snapshot()
				if line := whatServed(s); len(out[i]) == 0 || out[i][len(out[i])-1] != line {
					out[i] = append(out[i], line)
				}
				if _, err := live.Wait(ctx, s); err != nil {
					return
				}
			}
		})
	}
	return func() map[string][]string {
		cancel()
		watching.Wait()
		lines := map[string][]string{}
		for i, m := range v.c.Members() {
			lines[m.Name] = out[i]
		}
		return lines
	}
}

// whatServed is one line about everything in a snapshot, whatever its revision.
func whatServed(s *evaluator.Snapshot) string {
	var lines []string
	for i := range cargo {
		key := fmt.Sprintf("f%d", i)
		r := s.Evaluate(key, evaluator.NewContext("u"))
		lines = append(lines, key+string(r.Reason)+r.Variant+r.Value.AsString())
	}
	old := s.Evaluate("old", evaluator.NewContext("u"))
	sum := sha256.Sum256([]byte(strings.Join(append(lines, "old"+string(old.Reason)+old.Variant), ",")))
	return fmt.Sprintf("%d %s", s.Len(), hex.EncodeToString(sum[:4]))
}

// arrival is what is left of a voyage: it does not depend on who died when.
type arrival struct {
	Status   fsm.ChangeStatus
	Moves    []fsm.ChangeMove
	Declared map[string]string // of each environment
	Rows     []string          // of the audit log, without revisions and times
}

// arrive brings the dead one back, waits until all nodes agree, and says what they agree on.
func (v *voyage) arrive(id string) (arrival, int) {
	entries, victim := v.kill.disarm()
	if victim != nil {
		v.land[victim]()
		v.c.Restart(victim)
		v.fly(victim)
	}
	v.c.WaitQuiet()
	for _, land := range v.land {
		land()
	}
	v.c.WaitQuiet()
	var first arrival
	for i, m := range v.c.Members() {
		got := arrived(v.t, m.State(), id)
		if i == 0 {
			first = got
		}
		require.Equal(v.t, first, got, "%s differs", m.Name)
	}
	return first, entries
}

func arrived(t *testing.T, s *fsm.State, id string) arrival {
	a := arrival{Declared: map[string]string{}}
	for _, env := range s.Environments(fsm.DefaultTenant) {
		a.Declared[env.Key()] = env.DeclaredHash()
	}
	env, _ := s.Environment(staging.Tenant, staging.Environment)
	c, ok := env.Change(id)
	require.True(t, ok)
	a.Status = c.Status
	for _, e := range c.Events {
		a.Moves = append(a.Moves, e.Move)
	}
	for _, row := range s.Audit(0, 10_000) {
		if !strings.HasPrefix(row.Target, "cluster") {
			line := strings.Join([]string{row.Actor.Kind, row.Actor.ID, row.RequestID, row.Environment, row.Verb, row.Target, row.Reason, row.Approvals}, " ")
			a.Rows = append(a.Rows, strings.ReplaceAll(line, id, "ID"))
		}
	}
	return a
}

// everyEntry sails without a death, and then once for each point of each entry after the preparations.
func everyEntry(t *testing.T, sail func(t *testing.T, kill *killing) (arrival, int)) {
	var want arrival
	entries := 0
	synctest.Test(t, func(t *testing.T) { want, entries = sail(t, &killing{}) })
	step := 1
	if testing.Short() {
		step = max(1, entries/3)
	}
	deaths := 0
	for at := 1; at <= entries; at += step {
		for _, point := range []clustertest.Point{clustertest.Appending, clustertest.Appended, clustertest.HasApplied} {
			t.Run(fmt.Sprintf("entry %d %s", at, point), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					kill := &killing{at: at, point: point}
					got, _ := sail(t, kill)
					require.Equal(t, want, got)
					require.NotNil(t, kill.victim, "the leader was to die")
					deaths++
				})
			})
		}
	}
	t.Logf("%d entries, %d deaths", entries, deaths)
}

// oneStep: nobody ever saw anything but what was before and what is after, and those who lived through it saw both.
func oneStep(t *testing.T, v *voyage, seen map[string][]string) {
	t.Helper()
	var longest []string
	for _, lines := range seen {
		if len(lines) > len(longest) {
			longest = lines
		}
	}
	require.Len(t, longest, 2, "before and after, nothing between: %v", seen)
	for name, lines := range seen {
		require.Equal(t, longest[:len(lines)], lines, name)
		if v.kill.victim == nil || v.kill.victim.Name != name {
			require.Len(t, lines, 2, name)
		}
	}
}

// standing gives staging a flag that the promotion changes and one that it archives.
func (v *voyage) standing() {
	v.as("ann", "standing", fsm.Batch{Scope: staging, Commands: []fsm.Command{
		fsm.PutFlag{Scope: staging, Flag: ballast(v.t, "f0", "old")}, fsm.PutFlag{Scope: staging, Flag: ballast(v.t, "old", "")}}})
	v.c.WaitQuiet()
}

func TestExecutionSurvivesTheDeathOfLeaders_S1_08(t *testing.T) {
	everyEntry(t, func(t *testing.T, kill *killing) (arrival, int) {
		v := embark(t, kill)
		v.standing()
		dev, target := v.lookout(devScope), v.lookout(staging)
		kill.arm()
		v.load()
		id := v.approve()
		v.as("ann", "execute", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveApply})
		got, entries := v.arrive(id)
		oneStep(t, v, dev())
		oneStep(t, v, target())
		require.Equal(t, fsm.ChangeCompleted, got.Status)
		return got, entries
	})
}

func TestAScheduledPromotionSurvivesTheDeathOfLeaders_S1_09(t *testing.T) {
	everyEntry(t, func(t *testing.T, kill *killing) (arrival, int) {
		v := embark(t, kill)
		v.standing()
		v.load()
		id := v.approve()
		v.c.WaitQuiet()
		seen := v.lookout(staging)
		at := v.c.WaitLeader().Node().Now().Add(20 * time.Second)
		kill.arm()
		v.as("ann", "later", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveSchedule, At: at.UnixMilli()})
		time.Sleep(40 * time.Second)
		got, entries := v.arrive(id)
		oneStep(t, v, seen())
		require.Equal(t, fsm.ChangeCompleted, got.Status)
		env, _ := v.c.WaitLeader().State().Environment(staging.Tenant, staging.Environment)
		c, _ := env.Change(id)
		require.GreaterOrEqual(t, c.ExecutedAt, at.UnixMilli(), "not before its time")
		return got, entries
	})
}

func TestRollbackSurvivesTheDeathOfLeaders_S1_08(t *testing.T) {
	everyEntry(t, func(t *testing.T, kill *killing) (arrival, int) {
		v := embark(t, kill)
		v.standing()
		v.load()
		before := declared(v, staging)
		id := v.approve()
		v.as("ann", "execute", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveApply})
		v.c.WaitQuiet()
		require.NotEqual(t, before, declared(v, staging))
		seen := v.lookout(staging)
		kill.arm()
		v.as("ann", "back", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveRollback})
		v.as("ann", "back again", fsm.MoveChange{Scope: staging, ID: id, Move: fsm.ChangeMoveRollback})
		got, entries := v.arrive(id)
		oneStep(t, v, seen())
		require.Equal(t, fsm.ChangeRolledBack, got.Status)
		require.Equal(t, before, got.Declared[staging.Environment], "the digests from before the promotion")
		return got, entries
	})
}

func declared(v *voyage, scope fsm.Scope) string {
	env, _ := v.c.WaitLeader().State().Environment(scope.Tenant, scope.Environment)
	return env.DeclaredHash()
}
