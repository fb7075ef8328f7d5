package clustertest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

const seeds = 10

// The property every other promise stands on: whatever breaks, what was acknowledged stays, what was refused never
// happened, each request has one effect, and after healing everybody agrees and goes on.
func TestAcknowledgedWritesSurviveRandomFaults(t *testing.T) {
	count := uint64(seeds)
	if testing.Short() {
		count = 2
	}
	for seed := range count {
		t.Run(fmt.Sprint("seed ", seed+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runSeed(t, seed+1) })
		})
	}
}

func runSeed(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	o := clustertest.Options{Nodes: 3 + 2*int(seed%2), Seed: seed, Logger: talk(),
		SnapshotThreshold: []uint64{50, 100, 1000}[random.IntN(3)], TrailingLogs: []uint64{10, 1000}[random.IntN(2)]}
	c := clustertest.Start(t, o)
	c.WaitLeader()
	history := &history{acknowledged: map[string]uint64{}, refused: map[string]bool{}}
	load, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for client := range 3 {
		clients.Go(func() { history.write(load, t, c, client, rand.New(rand.NewPCG(seed, uint64(100+client)))) })
	}
	for range 8 {
		breakSomething(c, random)
		time.Sleep(5 * time.Second)
		healAll(c)
		time.Sleep(5 * time.Second)
	}
	stop()
	clients.Wait()
	requireLive(t, c)
	c.WaitQuiet()
	history.check(t, c)
}

// breakSomething starts one fault.
func breakSomething(c *clustertest.Cluster, random *rand.Rand) {
	up := c.Up()
	pick := up[random.IntN(len(up))]
	switch random.IntN(8) {
	case 0:
		if l := c.Leader(); l != nil {
			pick = l
		}
		c.Isolate(pick)
	case 1:
		c.Isolate(pick)
	case 2: // halves
		names := c.Names()
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		cut := 1 + random.IntN(len(names)-1)
		c.Network.Partition(c.Names(), names[:cut], names[cut:])
	case 3: // one way
		for _, name := range c.Names() {
			c.Network.Set(pick.Name, name, clustertest.Fault{Cut: true})
		}
	case 4: // bad lines everywhere
		for _, a := range c.Names() {
			for _, b := range c.Names() {
				c.Network.Set(a, b, clustertest.Fault{Drop: 0.2, Jitter: 30 * time.Millisecond, Duplicate: 0.1})
			}
		}
	case 5:
		c.Crash(pick)
	case 6: // power failure
		for _, m := range up {
			c.Crash(m)
		}
	case 7:
		pick.Disk.Slow(500 * time.Millisecond)
	}
}

func healAll(c *clustertest.Cluster) {
	c.Network.Heal()
	for _, m := range c.Members() {
		m.Disk.Slow(100 * time.Microsecond)
		if m.Node() == nil {
			c.Restart(m)
		}
	}
}

// requireLive writes through every node within ten seconds of the healing.
func requireLive(t *testing.T, c *clustertest.Cluster) {
	for _, m := range c.Members() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		p := put(t, "alive-"+m.Name)
		_, err := m.Node().Propose(ctx, p)
		for err != nil && ctx.Err() == nil { // no time passes once ctx has ended
			_, err = m.Node().Propose(ctx, p)
		}
		cancel()
		require.NoError(t, err, "%s does not write after healing", m.Name)
	}
}

// history is what the clients were told.
type history struct {
	mu           sync.Mutex
	acknowledged map[string]uint64 // key: revision
	refused      map[string]bool
	unknown      int
}

func (h *history) write(ctx context.Context, t *testing.T, c *clustertest.Cluster, client int, random *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("c%d-%d", client, i)
		m := c.Member(random.IntN(len(c.Members())))
		node := m.Node()
		if node == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		receipt, err := node.Propose(call, put(t, key))
		cancel()
		crashed := m.Node() != node // whatever a dead process says, nobody hears it
		h.note(key, receipt, err, crashed)
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	}
}

func (h *history) note(key string, r fsm.Receipt, err error, crashed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var e *fsm.Error
	switch {
	case crashed:
		h.unknown++
	case err == nil, errors.As(err, &e) && e.Kind == fsm.KindBehind:
		h.acknowledged[key] = r.Revision
	case e != nil && e.Kind == fsm.KindUnknownOutcome:
		h.unknown++
	default:
		h.refused[key] = true
	}
}

func (h *history) check(t *testing.T, c *clustertest.Cluster) {
	require.Greater(t, len(h.acknowledged), 100, "too little load: the run proves nothing")
	first := c.Member(0).State()
	env, _ := first.Environment(dev.Tenant, dev.Environment)
	for key, revision := range h.acknowledged {
		f, ok := env.Flag(key)
		require.True(t, ok, "acknowledged write %s at %d is lost", key, revision)
		require.Equal(t, revision, f.Revision)
	}
	for key := range h.refused {
		require.False(t, has(first, key), "refused write %s happened", key)
	}
	for _, m := range c.Members() {
		require.Equal(t, first.Index(), m.State().Index())
		require.Equal(t, first.DomainHash(), m.State().DomainHash(), m.Name)
		require.Equal(t, first.FullHash(), m.State().FullHash(), m.Name)
	}
	t.Logf("%d acknowledged, %d refused, %d unknown", len(h.acknowledged), len(h.refused), h.unknown)
}
