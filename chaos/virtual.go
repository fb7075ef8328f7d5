package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/cluster/clustertest"
)

// Virtual is the world in the time of a testing/synctest bubble: real nodes, pilots, doors and followers over simulated
// network, disks and clocks.
type Virtual struct {
	t       testing.TB
	cluster *clustertest.Cluster
	tape    *clustertest.Tape
	history *History
	source  *provider
	gate    chan struct{}  // held while processes come and go; a mutex would stop the bubble's time
	running sync.WaitGroup // requests at doors

	mu       sync.Mutex
	lives    map[string]*life
	gone     map[string]bool // removed for ever
	unlawful []Violation     // what processes said about themselves
	closing  bool
}

var _ World = (*Virtual)(nil)

// NewVirtual starts a world inside the calling bubble. Close ends it before the bubble's function returns.
func NewVirtual(t testing.TB, h *History, o clustertest.Options) *Virtual {
	v := &Virtual{t: t, history: h, tape: clustertest.NewTape(), source: &provider{}, gate: make(chan struct{}, 1),
		lives: map[string]*life{}, gone: map[string]bool{}}
	o.Tape = v.tape
	v.cluster = clustertest.Start(t, o)
	for _, m := range v.cluster.Members() {
		v.begin(m)
	}
	return v
}

// Cluster is the cluster below, for what only scenarios in virtual time do.
func (v *Virtual) Cluster() *clustertest.Cluster { return v.cluster }

// Close ends every process of the world.
func (v *Virtual) Close() {
	v.Heal()
	v.mu.Lock()
	v.closing = true
	v.mu.Unlock()
	defer v.hold()()
	for _, m := range v.cluster.Members() {
		v.end(m.Name)
	}
	v.running.Wait()
}

// hold keeps processes from coming and going until the returned function is called.
func (v *Virtual) hold() func() {
	v.gate <- struct{}{}
	return func() { <-v.gate }
}

func (v *Virtual) member(node string) *clustertest.Member {
	for _, m := range v.cluster.Members() {
		if m.Name == node {
			return m
		}
	}
	return nil
}

// Nodes implements World.
func (v *Virtual) Nodes() (names []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.cluster.Members() {
		if !v.gone[m.Name] {
			names = append(names, m.Name)
		}
	}
	return names
}

// Up implements World.
func (v *Virtual) Up(node string) bool {
	m := v.member(node)
	return m != nil && m.Node() != nil
}

// Leader implements World.
func (v *Virtual) Leader() string {
	if l := v.cluster.Leader(); l != nil {
		return l.Name
	}
	return ""
}

// Line implements World.
func (v *Virtual) Line(from, to string, l Line) error {
	v.cluster.Network.Set(from, to, l)
	return nil
}

// Crash implements World.
func (v *Virtual) Crash(node string) error {
	defer v.hold()()
	return v.crash(node)
}

func (v *Virtual) crash(node string) error {
	m := v.member(node)
	if m == nil || m.Node() == nil {
		return nil
	}
	v.cluster.Crash(m)
	v.history.Mark(MarkCrash, node, "")
	v.end(node)
	return nil
}

// Restart implements World.
func (v *Virtual) Restart(node string) error {
	defer v.hold()()
	return v.restart(node)
}

func (v *Virtual) restart(node string) error {
	m := v.member(node)
	if m == nil || m.Node() != nil || v.isGone(node) {
		return nil
	}
	return v.start(m, v.cluster.Seeds())
}

func (v *Virtual) start(m *clustertest.Member, seeds []string) error {
	err := v.cluster.TryStart(m, 0, seeds)
	if exit := (*cluster.ExitError)(nil); errors.As(err, &exit) {
		v.exited(m.Name, exit)
		return nil
	}
	if err != nil {
		return err
	}
	v.history.Mark(MarkStart, m.Name, "")
	v.begin(m)
	return nil
}

// Stop ends a process gracefully, as a rolling restart does.
func (v *Virtual) Stop(node string) error {
	defer v.hold()()
	m := v.member(node)
	if m == nil || m.Node() == nil {
		return nil
	}
	v.cluster.Stop(m)
	v.end(node)
	return nil
}

func (v *Virtual) isGone(node string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone[node]
}

// exited notes why a process ended itself; what it may never say is a violation.
func (v *Virtual) exited(node string, why error) {
	v.history.Mark(MarkExit, node, why.Error())
	v.mu.Lock()
	defer v.mu.Unlock()
	var exit *cluster.ExitError
	if !errors.As(why, &exit) {
		v.unlawful = append(v.unlawful, found(Alive, v.history.Now(), "%s ended: %v", node, why))
		return
	}
	switch exit.Code {
	case cluster.ExitRemoved:
		v.gone[node] = true
	case cluster.ExitDivergence, cluster.ExitUnknownLaw:
		v.unlawful = append(v.unlawful, found(Hashes, v.history.Now(), "%s ended with code %d: %v", node, exit.Code, exit))
	}
}

// Unlawful is what processes said about themselves that none may say.
func (v *Virtual) Unlawful() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.unlawful)
}

// Pause implements World.
func (v *Virtual) Pause(node string) error {
	v.cluster.Network.Pause(node)
	return nil
}

// Resume implements World.
func (v *Virtual) Resume(node string) error {
	v.cluster.Network.Resume(node)
	return nil
}

// Disk implements World.
func (v *Virtual) Disk(node string, d Disk) error {
	m := v.member(node)
	if m == nil {
		return nil
	}
	switch {
	case d.Torn:
		m.Disk.Tear(d.Err)
	default:
		m.Disk.Fail(d.Err)
	}
	m.Disk.Slow(max(d.Sync, healthySync))
	if d.Hang {
		m.Disk.Hang()
	} else {
		m.Disk.Release()
	}
	return nil
}

const healthySync = 100 * time.Microsecond

// Clock implements World.
func (v *Virtual) Clock(node string, offset time.Duration, drift float64) error {
	if m := v.member(node); m != nil {
		m.Skew(offset, drift)
	}
	return nil
}

// Metrics implements World.
func (v *Virtual) Metrics(m Metric) error {
	v.source.behave(m)
	return nil
}

// Join implements World.
func (v *Virtual) Join(context.Context) (string, error) {
	defer v.hold()()
	m := v.cluster.Add()
	return m.Name, v.start(m, v.cluster.Seeds())
}

// Remove implements World.
func (v *Virtual) Remove(ctx context.Context, node string) error {
	for _, other := range v.cluster.Up() {
		if other.Name == node || v.isGone(other.Name) {
			continue
		}
		n := other.Node()
		if n == nil {
			continue
		}
		if voters(n) <= fewest {
			return nil
		}
		if err := n.Remove(ctx, node, false); err != nil {
			return fmt.Errorf("remove %s: %w", node, err)
		}
		v.mu.Lock()
		v.gone[node] = true
		v.mu.Unlock()
		return nil
	}
	return errors.New("nobody is there to ask")
}

// voters counts those whom a node knows.
func voters(n *cluster.Node) (count int) {
	for _, m := range n.Status().Members {
		if m.Role == "leader" || m.Role == "voter" {
			count++
		}
	}
	return count
}

// Heal implements World.
func (v *Virtual) Heal() {
	v.cluster.Network.Heal()
	v.source.behave(Metric{})
	for _, m := range v.cluster.Members() {
		_ = v.Disk(m.Name, Disk{}) // cannot fail
		m.Skew(0, 0)
	}
	defer v.hold()()
	for _, node := range v.Nodes() {
		if err := v.restart(node); err != nil {
			v.t.Errorf("restart %s: %v", node, err)
		}
	}
}

// Client implements World.
func (v *Virtual) Client(node string) Client { return virtualClient{v, node} }

// Address implements World.
func (v *Virtual) Address(node string) string { return "http://" + node }

// HTTP implements World.
func (v *Virtual) HTTP(int) connect.HTTPClient { return wire{v} }

// Dump implements World.
func (v *Virtual) Dump() Dump {
	d := Dump{Clashes: v.tape.Clashes()}
	for _, a := range v.tape.Entries() {
		e := Entry{Entry: a.Entry, Applied: int64(a.At.Sub(v.history.began)), Config: a.Data == nil}
		for _, s := range a.Servers {
			e.Members = append(e.Members, string(s.ID))
			if s.Suffrage == 0 {
				e.Voters = append(e.Voters, string(s.ID))
			}
		}
		d.Entries = append(d.Entries, e)
	}
	for _, s := range v.tape.Sightings() {
		d.Sightings = append(d.Sightings, Sighting{Node: s.Member, Epoch: s.Epoch, Index: s.Index, Domain: s.Domain, Full: s.Full})
	}
	for _, m := range v.cluster.Up() {
		node, store := m.Running()
		if node == nil || v.isGone(m.Name) {
			continue
		}
		s := store.State()
		seq, head := s.AuditHead()
		d.Nodes = append(d.Nodes, Standing{Node: m.Name, ServerID: node.Status().NodeID, Epoch: s.Epoch(), Index: s.Index(),
			Domain: s.DomainHash(), Full: s.FullHash(), AuditSeq: seq, AuditHead: head})
	}
	return d
}

// Installs are the times at which a node was given a snapshot.
func (v *Virtual) Installs(node string) []time.Time { return v.tape.Installs(node) }
