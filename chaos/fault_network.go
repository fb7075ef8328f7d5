package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hoistflags/hoist/cluster/clustertest"
)

var cut = Line{Cut: true}

func networkNemeses() []Nemesis {
	list := []Nemesis{
		{Name: "halves", Run: once(func(w World, chance *rand.Rand) error {
			nodes := slices.Clone(w.Nodes())
			chance.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
			at := 1 + chance.IntN(max(len(nodes)-1, 1))
			return part(w, nodes[:at], nodes[at:])
		})},
		{Name: "isolate-leader", Run: once(func(w World, chance *rand.Rand) error { return isolate(w, leaderOr(w, chance)) })},
		{Name: "isolate-follower", Run: once(func(w World, chance *rand.Rand) error { return isolate(w, follower(w, chance)) })},
		{Name: "ring", Run: once(ring)},
		{Name: "one-way-out", Run: once(func(w World, chance *rand.Rand) error { return oneWay(w, leaderOr(w, chance), true) })},
		{Name: "one-way-in", Run: once(func(w World, chance *rand.Rand) error { return oneWay(w, leaderOr(w, chance), false) })},
		{Name: "bridge", Run: once(bridge)},
		{Name: "flapping", Run: flapping},
		{Name: "slow-link", Run: once(func(w World, chance *rand.Rand) error {
			a, b := leaderOr(w, chance), follower(w, chance)
			return errors.Join(w.Line(a, b, Line{Delay: time.Second}), w.Line(b, a, Line{Delay: time.Second}))
		})},
		{Name: "loss", Run: once(func(w World, _ *rand.Rand) error { return everywhere(w, Line{Drop: 0.2}) })},
		{Name: "reorder", Run: once(func(w World, _ *rand.Rand) error {
			return everywhere(w, Line{Jitter: 100 * time.Millisecond, Duplicate: 0.3})
		})},
		{Name: "gossip-cut", Run: once(func(w World, _ *rand.Rand) error { return everywhere(w, Line{Cut: true, Only: clustertest.Gossip}) })},
		{Name: "raft-cut", Run: once(func(w World, chance *rand.Rand) error {
			return lines(w, leaderOr(w, chance), Line{Cut: true, Only: clustertest.Raft})
		})},
		{Name: "install-cut", Run: installCut},
	}
	return grouped("network", list)
}

func grouped(group string, list []Nemesis) []Nemesis {
	for i := range list {
		list[i].Group = group
	}
	return list
}

// once is a fault that only has to begin.
func once(begin func(w World, chance *rand.Rand) error) func(context.Context, World, *rand.Rand) error {
	return func(_ context.Context, w World, chance *rand.Rand) error { return begin(w, chance) }
}

// part cuts every line between the two sides.
func part(w World, a, b []string) error {
	var errs []error
	for _, x := range a {
		for _, y := range b {
			errs = append(errs, w.Line(x, y, cut), w.Line(y, x, cut))
		}
	}
	return errors.Join(errs...)
}

func isolate(w World, node string) error { return lines(w, node, cut) }

// lines puts one fault on everything from and to a node.
func lines(w World, node string, l Line) error {
	var errs []error
	for _, other := range w.Nodes() {
		if other != node {
			errs = append(errs, w.Line(node, other, l), w.Line(other, node, l))
		}
	}
	return errors.Join(errs...)
}

func everywhere(w World, l Line) error {
	var errs []error
	for _, a := range w.Nodes() {
		for _, b := range w.Nodes() {
			if a != b {
				errs = append(errs, w.Line(a, b, l))
			}
		}
	}
	return errors.Join(errs...)
}

// ring lets every node see its neighbours only, so that each sees another majority.
func ring(w World, chance *rand.Rand) error {
	nodes := slices.Clone(w.Nodes())
	chance.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	reach := len(nodes) / 4 // of five nodes each sees two neighbours; of three a line remains
	var errs []error
	for i := range nodes {
		for j := range nodes {
			distance := min((i-j+len(nodes))%len(nodes), (j-i+len(nodes))%len(nodes))
			if distance > max(reach, 1) || len(nodes) == 3 && i+j == 2 && i != j {
				errs = append(errs, w.Line(nodes[i], nodes[j], cut))
			}
		}
	}
	return errors.Join(errs...)
}

// oneWay lets a node speak and not hear, or hear and not speak.
func oneWay(w World, node string, mute bool) error {
	var errs []error
	for _, other := range w.Nodes() {
		switch {
		case other == node:
		case mute:
			errs = append(errs, w.Line(node, other, cut))
		default:
			errs = append(errs, w.Line(other, node, cut))
		}
	}
	return errors.Join(errs...)
}

// bridge leaves the leader one peer, while the others see each other.
func bridge(w World, chance *rand.Rand) error {
	leader := leaderOr(w, chance)
	kept := follower(w, chance)
	rest := slices.DeleteFunc(slices.Clone(w.Nodes()), func(n string) bool { return n == leader || n == kept })
	return part(w, []string{leader}, rest)
}

// flapping cuts one node off and lets it come back, again and again.
func flapping(ctx context.Context, w World, chance *rand.Rand) error {
	node := leaderOr(w, chance)
	for ctx.Err() == nil {
		if err := isolate(w, node); err != nil {
			return err
		}
		if !pause(ctx, time.Duration(100+chance.IntN(900))*time.Millisecond) {
			return nil
		}
		if err := lines(w, node, Line{}); err != nil {
			return err
		}
		pause(ctx, time.Duration(50+chance.IntN(500))*time.Millisecond)
	}
	return nil
}

// installCut leaves a follower so far behind that it needs a snapshot, and breaks the snapshot off on its way.
func installCut(ctx context.Context, w World, chance *rand.Rand) error {
	node := follower(w, chance)
	if err := isolate(w, node); err != nil {
		return err
	}
	pause(ctx, 3*time.Second)
	return lines(w, node, Line{CutAfter: int64(1 + chance.IntN(4096))})
}
