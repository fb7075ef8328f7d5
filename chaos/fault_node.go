package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

func processNemeses() []Nemesis {
	return grouped("process", []Nemesis{
		{Name: "kill-leader", Run: once(func(w World, chance *rand.Rand) error { return w.Crash(leaderOr(w, chance)) })},
		{Name: "kill-one", Run: once(func(w World, chance *rand.Rand) error { return w.Crash(pick(chance, up(w))) })},
		{Name: "kill-majority", Run: once(func(w World, chance *rand.Rand) error {
			return crash(w, some(chance, up(w), len(w.Nodes())/2+1))
		})},
		{Name: "power-failure", Run: once(func(w World, _ *rand.Rand) error { return crash(w, up(w)) })},
		{Name: "restart-storm", Run: restartStorm},
		{Name: "restart-alone", Run: restartAlone},
		{Name: "pause-leader", Run: paused(func(w World, chance *rand.Rand) []string { return []string{leaderOr(w, chance)} })},
		{Name: "pause-follower", Run: paused(func(w World, chance *rand.Rand) []string { return []string{follower(w, chance)} })},
		{Name: "pause-majority", Run: paused(func(w World, chance *rand.Rand) []string {
			return some(chance, up(w), len(w.Nodes())/2+1)
		})},
	})
}

func some(chance *rand.Rand, nodes []string, count int) []string {
	chance.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	return nodes[:min(count, len(nodes))]
}

func crash(w World, nodes []string) error {
	var errs []error
	for _, n := range nodes {
		errs = append(errs, w.Crash(n))
	}
	return errors.Join(errs...)
}

// restartStorm crashes and starts nodes all the time, the leader by preference.
func restartStorm(ctx context.Context, w World, chance *rand.Rand) error {
	for ctx.Err() == nil {
		node := leaderOr(w, chance)
		if chance.IntN(3) == 0 {
			node = pick(chance, up(w))
		}
		if err := w.Crash(node); err != nil {
			return err
		}
		pause(ctx, time.Duration(chance.IntN(700))*time.Millisecond)
		if ctx.Err() != nil {
			return nil
		}
		if err := w.Restart(node); err != nil {
			return err
		}
		pause(ctx, time.Duration(chance.IntN(1500))*time.Millisecond)
	}
	return nil
}

// restartAlone crashes everybody and starts one: it serves what it knew, without a quorum.
func restartAlone(ctx context.Context, w World, chance *rand.Rand) error {
	nodes := up(w)
	if err := crash(w, nodes); err != nil {
		return err
	}
	if !pause(ctx, 500*time.Millisecond) {
		return nil
	}
	return w.Restart(pick(chance, nodes))
}

// paused lets nodes stand still, some for the whole time and some for a moment.
func paused(who func(w World, chance *rand.Rand) []string) func(context.Context, World, *rand.Rand) error {
	return func(ctx context.Context, w World, chance *rand.Rand) error {
		for ctx.Err() == nil {
			nodes := who(w, chance)
			for _, n := range nodes {
				if err := w.Pause(n); err != nil {
					return err
				}
			}
			pause(ctx, time.Duration(200+chance.IntN(3000))*time.Millisecond)
			for _, n := range nodes {
				if err := w.Resume(n); err != nil {
					return err
				}
			}
			pause(ctx, time.Duration(chance.IntN(1500))*time.Millisecond)
		}
		return nil
	}
}

func diskNemeses() []Nemesis {
	on := func(d Disk, who func(World, *rand.Rand) string) func(context.Context, World, *rand.Rand) error {
		return once(func(w World, chance *rand.Rand) error { return w.Disk(who(w, chance), d) })
	}
	return grouped("disk", []Nemesis{
		{Name: "disk-hang-leader", Run: on(Disk{Hang: true}, leaderOr)},
		{Name: "disk-hang-follower", Run: on(Disk{Hang: true}, follower)},
		{Name: "disk-error-leader", Run: on(Disk{Err: syscall.EIO}, leaderOr)},
		{Name: "disk-error-follower", Run: on(Disk{Err: syscall.EIO}, follower)},
		{Name: "disk-torn", Run: on(Disk{Err: syscall.EIO, Torn: true}, leaderOr)},
		{Name: "disk-slow", Run: on(Disk{Sync: 500 * time.Millisecond}, leaderOr)},
		{Name: "lost-tail", Run: func(ctx context.Context, w World, chance *rand.Rand) error {
			// Slow syncs, so that much is under way, then the power goes.
			for _, n := range up(w) {
				if err := w.Disk(n, Disk{Sync: 50 * time.Millisecond}); err != nil {
					return err
				}
			}
			pause(ctx, time.Duration(1+chance.IntN(3))*time.Second)
			return crash(w, some(chance, up(w), 1+chance.IntN(len(w.Nodes()))))
		}},
	})
}

func clockNemeses() []Nemesis {
	return grouped("clock", []Nemesis{
		{Name: "clock-jump", Run: once(func(w World, chance *rand.Rand) error {
			return w.Clock(pick(chance, up(w)), sign(chance)*time.Hour, 0)
		})},
		{Name: "clock-drift", Run: once(func(w World, chance *rand.Rand) error {
			return w.Clock(pick(chance, up(w)), 0, float64(sign(chance))*0.05)
		})},
		{Name: "clock-jump-leader", Run: func(ctx context.Context, w World, chance *rand.Rand) error {
			// Inside its term, then at an election.
			if err := w.Clock(leaderOr(w, chance), sign(chance)*time.Hour, 0); err != nil {
				return err
			}
			pause(ctx, 2*time.Second)
			return isolate(w, leaderOr(w, chance))
		}},
	})
}

func sign(chance *rand.Rand) time.Duration { return time.Duration(1 - 2*chance.IntN(2)) }

func memberNemeses() []Nemesis {
	return grouped("membership", []Nemesis{
		{Name: "join", Run: join},
		{Name: "remove", Run: remove(follower)},
		{Name: "remove-leader", Run: remove(leaderOr)},
		{Name: "replace", Run: func(ctx context.Context, w World, chance *rand.Rand) error {
			return errors.Join(join(ctx, w, chance), remove(follower)(ctx, w, chance))
		}},
		{Name: "join-in-partition", Run: func(ctx context.Context, w World, chance *rand.Rand) error {
			if err := isolate(w, follower(w, chance)); err != nil {
				return err
			}
			return join(ctx, w, chance)
		}},
	})
}

// The sizes between which members come and go.
const (
	fewest = 3
	most   = 6
)

func join(ctx context.Context, w World, _ *rand.Rand) error {
	if len(w.Nodes()) >= most {
		return nil
	}
	_, err := w.Join(ctx)
	return err
}

func remove(who func(World, *rand.Rand) string) func(context.Context, World, *rand.Rand) error {
	return func(ctx context.Context, w World, chance *rand.Rand) error {
		node := who(w, chance)
		if len(w.Nodes()) <= fewest || node == "" {
			return nil
		}
		return w.Remove(ctx, node)
	}
}

func controlNemeses() []Nemesis {
	says := func(m Metric) func(context.Context, World, *rand.Rand) error {
		return once(func(w World, _ *rand.Rand) error { return w.Metrics(m) })
	}
	return grouped("control", []Nemesis{
		{Name: "metrics-slow", Run: says(Metric{Delay: 4 * time.Second})},
		{Name: "metrics-poisoned", Run: says(Metric{Value: 0.5})},
		{Name: "metrics-nan", Run: says(Metric{NaN: true})},
		{Name: "metrics-empty", Run: says(Metric{Empty: true})},
		{Name: "metrics-down", Run: says(Metric{Down: true})},
	})
}
