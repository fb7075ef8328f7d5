package chaos

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/rollout"
	"github.com/hoistflags/hoist/transport"
)

// life is what runs beside a node in one process: the pilot, the public door, and the supervisor that starts the process
// again when it ended itself.
type life struct {
	ctx    context.Context // over when the process is
	cancel context.CancelFunc
	pilot  chan struct{} // closed when the pilot has ended
	server *transport.Server
}

// begin completes a process whose node has just been started.
func (v *Virtual) begin(m *clustertest.Member) {
	node, store := m.Running()
	server, err := transport.NewCore(transport.Config{Store: store, Node: node, NoAuth: true})
	if err != nil {
		v.t.Errorf("the door of %s: %v", m.Name, err)
		return
	}
	l := &life{pilot: make(chan struct{}), server: server}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	pilot := &rollout.Pilot{Store: store, Cluster: node, Sources: rollout.Sources{Prometheus: v.source}}
	go func() {
		defer close(l.pilot)
		_ = pilot.Run(l.ctx) // says only that its fields are set
	}()
	go func() {
		select {
		case err := <-node.Fatal():
			v.supervise(m.Name, l, err)
		case <-l.ctx.Done():
		}
	}()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lives[m.Name] = l
}

// restartPause is how long a supervisor waits.
const restartPause = time.Second

// supervise ends a process that cannot go on, and starts it again.
func (v *Virtual) supervise(node string, l *life, why error) {
	release := v.hold()
	v.mu.Lock()
	current := v.lives[node] == l && !v.closing
	v.mu.Unlock()
	if !current {
		release()
		return
	}
	v.exited(node, why)
	err := v.crash(node)
	release()
	time.Sleep(restartPause)
	defer v.hold()()
	v.mu.Lock()
	closing := v.closing
	v.mu.Unlock()
	if closing {
		return
	}
	if err = errors.Join(err, v.restart(node)); err != nil {
		v.t.Errorf("restart %s: %v", node, err)
	}
}

// end takes away what ran beside a node.
func (v *Virtual) end(node string) {
	v.mu.Lock()
	l := v.lives[node]
	delete(v.lives, node)
	v.mu.Unlock()
	if l == nil {
		return
	}
	l.cancel()
	<-l.pilot
	if err := l.server.Close(); err != nil {
		v.t.Errorf("the door of %s: %v", node, err)
	}
}

func (v *Virtual) life(node string) *life {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.lives[node]
}

// provider answers the queries of rollouts.
type provider struct {
	mu  sync.Mutex
	now Metric
}

func (p *provider) behave(m Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = m
}

var errProvider = errors.New("chaos: the provider is down")

// Query implements rollout.Source.
func (p *provider) Query(ctx context.Context, _ rollout.Query) (rollout.Answer, error) {
	p.mu.Lock()
	m := p.now
	p.mu.Unlock()
	if m.Delay > 0 && !pause(ctx, m.Delay) {
		return rollout.Answer{}, ctx.Err()
	}
	switch {
	case m.Down:
		return rollout.Answer{}, errProvider
	case m.Empty:
		return rollout.Answer{Value: []float64{}}, nil
	case m.NaN:
		return rollout.Answer{Value: []float64{math.NaN()}}, nil
	}
	return rollout.Answer{Value: []float64{m.Value}}, nil
}
