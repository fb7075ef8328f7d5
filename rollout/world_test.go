package rollout_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

var dev = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}

// world is one node's law in a bubble of virtual time: a log without disks and networks, a pilot and a provider. Leaders
// can be killed before or after any entry the pilot makes.
type world struct {
	t        *testing.T
	store    *fsm.Store
	mu       sync.Mutex
	term     uint64
	leadsAt  time.Time
	changed  chan struct{}
	ids      int
	log      []fsm.Entry
	made     int           // entries of the pilot
	killAt   int           // the entry around which the leader dies; 0: never
	killPost bool          // after it is in the log
	wall     time.Duration // how far the wall clock of the next leader is off
	drift    float64       // of the leaders' clocks
	base     time.Time     // leader's time at turned
	turned   time.Time
	answer   func(q rollout.Query) (rollout.Answer, error)
	delay    time.Duration // before an answer
	asked    int
	pilot    *rollout.Pilot
	cancel   context.CancelFunc
	done     chan struct{}
}

// within runs a test in a bubble with a pilot at work.
func within(t *testing.T, test func(w *world)) {
	t.Helper()
	messenger(t, nil, test)
}

// messenger is within with somebody who brings notices.
func messenger(t *testing.T, m rollout.Messenger, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, m)
		defer w.close()
		test(w)
	})
}

func newWorld(t *testing.T, m rollout.Messenger) *world {
	w := &world{t: t, store: fsm.NewStore(), term: 1, changed: make(chan struct{}), done: make(chan struct{})}
	w.turn()
	w.answer = func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{Value: []float64{0}}, nil }
	w.system(fsm.LeaderEstablished{Term: 1, ServerID: "a", ClusterID: "c", Epoch: "e", LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.pilot = &rollout.Pilot{Store: w.store, Cluster: w, Messenger: m, Sources: rollout.Sources{Prometheus: w, Web: w}}
	go func() { defer close(w.done); _ = w.pilot.Run(ctx) }()
	return w
}

func (w *world) close() { w.cancel(); <-w.done }

func (w *world) Query(ctx context.Context, q rollout.Query) (rollout.Answer, error) {
	if err := w.wait(ctx); err != nil {
		return rollout.Answer{}, err
	}
	w.mu.Lock()
	w.asked++
	answer := w.answer
	w.mu.Unlock()
	return answer(q)
}

// questions is how many were asked so far.
func (w *world) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// kill makes the leader die at the entry of that number, after it is in the log or before.
func (w *world) kill(at int, after bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killAt, w.killPost = at, after
}

func (w *world) Leading() (uint64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.term, !time.Now().Before(w.leadsAt)
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock()
}

// clock is the leader's time, as of a real node: a base taken at the election, never before what the state has seen, and
// what has passed since then by a clock that may drift.
func (w *world) clock() time.Time {
	passed := time.Since(w.turned)
	return w.base.Add(passed + time.Duration(float64(passed)*w.drift))
}

// turn begins a term's clock. The caller holds mu.
func (w *world) turn() {
	w.turned, w.base = time.Now(), time.Now().Add(w.wall)
	if seen := time.UnixMilli(w.store.State().Now()); w.base.Before(seen) {
		w.base = seen
	}
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *world) raise() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Propose is the log. What the pilot sends may meet the death of the leader.
func (w *world) Propose(_ context.Context, p *fsm.Proposal) (fsm.Receipt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	if w.made == w.killAt && !w.killPost {
		w.elect()
		return fsm.Receipt{}, &fsm.Error{Kind: fsm.KindUnknownOutcome, Detail: "the leader died"}
	}
	out := w.apply(p)
	if w.made == w.killAt {
		w.elect()
		return fsm.Receipt{}, &fsm.Error{Kind: fsm.KindUnknownOutcome, Detail: "the leader died"}
	}
	return out.Receipt, out.Err
}

func (w *world) apply(p *fsm.Proposal) fsm.Outcome {
	p.At = w.clock().UnixMilli()
	e := fsm.Entry{Index: w.store.State().Index() + 1, Term: w.term, Data: p.Encode()}
	w.log = append(w.log, e)
	return w.store.Apply([]fsm.Entry{e})[0]
}

// elect: nobody leads for 700 ms, then somebody in the next term.
func (w *world) elect() {
	w.term++
	w.turn()
	w.leadsAt = time.Now().Add(700 * time.Millisecond)
	w.raise()
	time.AfterFunc(700*time.Millisecond, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.raise()
	})
}

func (w *world) system(c fsm.Command) {
	command, err := fsm.EncodeCommand(c)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NoError(w.t, w.apply(&fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: command}).Err)
}

func (w *world) try(c fsm.Command) (fsm.Receipt, error) {
	command, err := fsm.EncodeCommand(c)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	out := w.apply(&fsm.Proposal{RequestID: fmt.Sprintf("r-%d", w.ids), Actor: fsm.Actor{Kind: "user", ID: "ann"}, Command: command})
	return out.Receipt, out.Err
}

func (w *world) do(c fsm.Command) fsm.Receipt {
	w.t.Helper()
	receipt, err := w.try(c)
	require.NoError(w.t, err)
	return receipt
}

func (w *world) flag(key string) {
	f, err := evaluator.DecodeFlag(fmt.Appendf(nil, `{"key":%q,"type":"boolean","enabled":true,"variants":[{"key":"on","value":true},
		{"key":"off","value":false}],"off":"off","default":{"variant":"off"}}`, key))
	require.NoError(w.t, err)
	w.do(fsm.PutFlag{Scope: dev, Flag: f})
}

func (w *world) start(yaml string) string {
	w.t.Helper()
	p, err := rollout.ParsePlan([]byte(yaml))
	require.NoError(w.t, err)
	return fsm.RolloutID(p.Name, w.do(fsm.StartRollout{Scope: dev, Plan: p}).Revision)
}

func (w *world) move(id string, m fsm.Move) {
	w.do(fsm.MoveRollout{Scope: dev, ID: id, Move: m, Reason: "told to"})
}

func (w *world) get(id string) *fsm.Rollout {
	env, _ := w.store.State().Environment(dev.Tenant, dev.Environment)
	r, ok := env.Rollout(id)
	require.True(w.t, ok)
	return r
}

// after lets virtual time pass and everything settle.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) provide(f func(q rollout.Query) (rollout.Answer, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func values(v ...float64) func(rollout.Query) (rollout.Answer, error) {
	return func(rollout.Query) (rollout.Answer, error) { return rollout.Answer{Value: v}, nil }
}

func events(r *fsm.Rollout) (out []string) {
	for _, e := range r.History() {
		out = append(out, e.Kind)
	}
	return out
}
