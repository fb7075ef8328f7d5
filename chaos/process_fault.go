package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// Rolling restarts every node of a process world gracefully, followers first and the leader last, and waits for each.
func Rolling() Nemesis {
	return Nemesis{Name: "rolling-restart", Group: "process", Run: func(ctx context.Context, w World, _ *rand.Rand) error {
		p, ok := w.(*Processes)
		if !ok {
			return errors.ErrUnsupported
		}
		return p.RollingRestart(ctx, 5*time.Second)
	}}
}

// RollingRestart stops and starts one node after the other, and waits at most patience for each to be current again.
func (w *Processes) RollingRestart(ctx context.Context, patience time.Duration) error {
	leader := w.Leader()
	order := slices.DeleteFunc(w.Nodes(), func(n string) bool { return n == leader })
	if leader != "" {
		order = append(order, leader)
	}
	for _, node := range order {
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(w.Stop(node), w.Restart(node)); err != nil {
			return err
		}
		for end := time.Now().Add(patience); time.Now().Before(end) && !w.current(node); {
			if !pause(ctx, 20*time.Millisecond) {
				return nil
			}
		}
	}
	return nil
}

// current tells whether a node knows a leader and has what that one had committed.
func (w *Processes) current(node string) bool {
	s := w.status(node)
	if s == nil || s.GetLeader() == "" || s.GetPosition().GetAgeMs() > 1000 {
		return false
	}
	return s.GetApplied() >= s.GetCommit()
}

// Pid is the process of a running node.
func (w *Processes) Pid(node string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.machine(node).process.Process.Pid
}

// MoveAll gives every machine new addresses; all of them must be down.
func (w *Processes) MoveAll() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, m := range w.nodes {
		if m.wanted {
			return errors.New("a machine moves while it is down")
		}
		for _, p := range m.proxies {
			errs = append(errs, p.Close())
		}
		m.proxies, m.via = nil, nil
		addresses, err := freeAddresses(3)
		if err != nil {
			return err
		}
		m.http, m.peer, m.gossip = addresses[0], addresses[1], addresses[2]
	}
	return errors.Join(append(errs, w.connectAll())...)
}
