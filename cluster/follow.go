package cluster

import (
	"sync"
	"time"
)

// leaderWatch lets calls to a leader end when it no longer leads: a frozen leader answers nobody, and the time of its
// callers is better spent on the next one.
type leaderWatch struct {
	mu   sync.Mutex
	id   string
	gone chan struct{}
}

func (w *leaderWatch) set(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id == w.id && w.gone != nil {
		return
	}
	if w.gone != nil {
		close(w.gone)
	}
	w.id, w.gone = id, make(chan struct{})
}

// leaderGone closes when the given server stops leading, as far as this node knows.
func (n *Node) leaderGone(id string) <-chan struct{} {
	w := &n.leader
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.id == id && w.gone != nil {
		return w.gone
	}
	return nil // the watch has not caught up; the caller's deadline bounds the call
}

// watchRaft follows who leads: it ends calls to a former leader and wakes writes that wait for a new one.
func (n *Node) watchRaft() {
	first := !n.cfg.lone()
	look := func() {
		_, id := n.raft().LeaderWithID()
		if first && id != "" {
			first = false
			n.steady()
		}
		n.leader.set(string(id))
		n.changed.raise()
	}
	look()
	tick := time.NewTicker(progressEvery) // an observation may be dropped when they come in a burst
	defer tick.Stop()
	for {
		select {
		case <-n.seen:
			look()
		case <-tick.C:
			if _, id := n.raft().LeaderWithID(); !n.leader.is(string(id)) {
				look()
			}
		case <-n.ctx.Done():
			return
		}
	}
}

func (w *leaderWatch) is(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.id == id
}
