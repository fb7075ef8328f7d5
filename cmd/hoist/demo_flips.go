package main

import (
	"context"
	"os"
	"os/exec"
	"time"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// flipper switches a flag of the shop on and off from a process of its own, the way a person would: with the hoist
// command. What it was told must be so on every node in the end.
type flipper struct {
	children []*child

	acknowledged, unknown int
	enabled               bool // what the last acknowledged flip asked for
	certain               bool // no flip since then has an unknown outcome
}

const flippedFlag = "gift-cards"

func (f *flipper) run(ctx context.Context, every time.Duration) {
	f.certain = true
	for turn := 0; sleepUntil(ctx, time.Now().Add(every)); turn++ {
		f.flip(context.WithoutCancel(ctx), turn, !f.enabled)
	}
}

// flip tries the nodes in turn, as a person would who reads "no node answers".
func (f *flipper) flip(ctx context.Context, turn int, enable bool) {
	verb := "disable"
	if enable {
		verb = "enable"
	}
	self, err := os.Executable()
	if err != nil {
		return // nothing was asked of anybody
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		c := f.children[(turn+attempt)%len(f.children)]
		command := exec.CommandContext(ctx, self, "flag", verb, flippedFlag, "--addr", c.http, "--comment", "flipped by the demo")
		command.Env = append(demoEnvironment(), "HOIST_TOKEN="+c.node.token)
		if command.Run() == nil {
			f.acknowledged++
			f.enabled, f.certain = enable, true
			return
		}
		f.certain = false // it may have been written all the same
		sleepUntil(ctx, time.Now().Add(20*time.Millisecond))
	}
	f.unknown++
}

// lost is 1 when a node does not show the last acknowledged flip.
func (f *flipper) lost(ctx context.Context) (int, error) {
	if f.acknowledged == 0 || !f.certain {
		return 0, nil
	}
	for _, c := range f.children {
		got, err := c.node.flags.Get(ctx, &hoistv1.GetFlagRequest{Environment: defaultEnvironment, Key: flippedFlag})
		if err != nil {
			return 0, err
		}
		if got.GetState().GetFlag().GetEnabled() != f.enabled {
			return 1, nil
		}
	}
	return 0, nil
}
