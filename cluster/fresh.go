package cluster

import (
	"sync"
	"time"
)

// freshness keeps the last moment at which the local state is known to have been current: the moment a leader named a
// commit index that is applied here by now.
type freshness struct {
	mu      sync.Mutex
	current time.Time // known to be current then
	commit  uint64    // named by the leader at heard, not yet applied here when last looked
	heard   time.Time
}

// hear takes note of a leader's commit index. Under load the newest one is always a little ahead of the state, so an
// older one is kept until it is reached.
func (f *freshness) hear(commit, applied uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(applied)
	if f.commit == 0 {
		f.commit, f.heard = commit, now
		f.look(applied)
	}
}

func (f *freshness) look(applied uint64) {
	if f.commit > 0 && applied >= f.commit {
		f.current, f.commit = f.heard, 0
	}
}

// age is the time since the state was known to be current.
func (f *freshness) age(applied uint64, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(applied)
	return max(now.Sub(f.current), 0)
}

// Age is how long ago this node last knew that it was current: 0 on an established leader, the time since the leader's
// last word on a follower, and counted on over a restart.
func (n *Node) Age() time.Duration {
	if n.lead.Load() != nil {
		return 0
	}
	return n.fresh.age(n.cfg.Store.State().Index(), time.Now())
}
