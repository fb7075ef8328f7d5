package main

import (
	"context"
	"sync"
	"time"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// killer ends the leader with SIGKILL again and again, measures how long writes stand still, and starts the dead node
// again. It waits until all nodes are current before the next kill: a cluster of three can lose one, not two.
type killer struct {
	children []*child
	ledger   *ledger
	every    time.Duration
	say      func(format string, args ...any)

	mu        sync.Mutex
	kills     int
	failovers []time.Duration
}

// run kills until ctx ends. The last victim is running again when it returns.
func (k *killer) run(ctx context.Context) error {
	for sleepUntil(ctx, time.Now().Add(k.every)) {
		victim := k.leader(ctx)
		if victim == nil {
			continue
		}
		if err := k.strike(ctx, victim); err != nil {
			return err
		}
		if err := awaitCurrent(ctx, k.children); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func (k *killer) strike(ctx context.Context, victim *child) error {
	at := time.Now()
	if err := victim.kill(); err != nil {
		return err
	}
	k.say("%s led and was killed", victim.name)
	acknowledged := k.ledger.write(ctx, indexOf(k.children, victim)+1, 15*time.Second)
	took := time.Since(at)
	k.mu.Lock()
	k.kills++
	if acknowledged {
		k.failovers = append(k.failovers, took)
	}
	k.mu.Unlock()
	k.say("the next write was acknowledged after %d ms", took.Milliseconds())
	sleepUntil(ctx, at.Add(time.Second)) // let the others be two for a moment
	if err := victim.start(gossipOf(k.children)); err != nil {
		return err
	}
	k.say("%s starts again", victim.name)
	return nil
}

// leader asks the nodes who leads; nil when none says so.
func (k *killer) leader(ctx context.Context) *child {
	for _, c := range k.children {
		if s, err := c.status(ctx); err == nil && s.GetRole() == "leader" {
			return c
		}
	}
	return nil
}

func indexOf(children []*child, wanted *child) int {
	for i, c := range children {
		if c == wanted {
			return i
		}
	}
	return 0
}

func gossipOf(children []*child) []string {
	var all []string
	for _, c := range children {
		all = append(all, c.gossip)
	}
	return all
}

// awaitCurrent waits until one node leads and all have applied what it had committed when it was asked.
func awaitCurrent(ctx context.Context, children []*child) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if current(ctx, children) {
			return nil
		}
		for _, c := range children {
			if err := c.alive(); err != nil && c.serves.Load() {
				return err
			}
		}
		if !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return failed("the logs in the data folder", "the nodes have not caught up within 30 s")
		}
	}
}

func current(ctx context.Context, children []*child) bool {
	var states []*hoistv1.ClusterStatusResponse
	var commit uint64
	for _, c := range children {
		s, err := c.status(ctx)
		if err != nil {
			return false
		}
		if s.GetRole() == "leader" {
			commit = s.GetCommit()
		}
		states = append(states, s)
	}
	for _, s := range states {
		if commit == 0 || s.GetApplied() < commit {
			return false
		}
	}
	return true
}
