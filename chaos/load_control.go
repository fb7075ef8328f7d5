package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// targets are the flags that rollouts drive, scheduled those that schedules do.
var (
	targets   = []string{"r", "s", "t"}
	scheduled = []string{"x", "y"}
)

const planText = `
name: p%d
flag: %s
target: {variant: "%s"}
steps: [{setWeight: 10}, {hold: %ds}, {setWeight: 40}, {hold: %ds}, {setWeight: 100}, {hold: %ds}]
analysis:
  background:
    startingStep: 1
    metrics:
      - {name: errors, interval: 2s, failureCondition: "result[0] > 0.05", failureLimit: %d, consecutiveErrorLimit: 3, prometheus: {address: "http://p", query: "{{args.cohort}}"}}
`

// steer starts rollouts and schedules, and does to them what people do.
func (c *caller) steer(ctx context.Context) {
	for _, key := range slices.Concat(targets, scheduled) {
		c.until(ctx, Input{Kind: Put, Environment: Rollouts, Key: key})
	}
	var started []string
	for ctx.Err() == nil {
		switch n := c.chance.IntN(20); {
		case n < 6:
			if id := c.start(ctx); id != "" {
				started = append(started, id)
			}
		case n < 11 && len(started) > 0:
			c.move(ctx, started[max(0, len(started)-3):])
		case n == 11:
			c.one(ctx, Input{Kind: Freeze, Environment: Rollouts}, c.node())
		case n < 15:
			c.one(ctx, Input{Kind: Unfreeze, Environment: Rollouts}, c.node())
		case n == 15:
			c.one(ctx, Input{Kind: Kill, Environment: Rollouts, Key: pick(c.chance, targets)}, c.node())
		case n == 16:
			for _, key := range targets {
				c.one(ctx, Input{Kind: Unkill, Environment: Rollouts, Key: key}, c.node())
			}
		default:
			c.schedule(ctx)
		}
		pause(ctx, time.Duration(c.chance.IntN(6000))*time.Millisecond)
	}
}

// until repeats a write until it is done.
func (c *caller) until(ctx context.Context, in Input) {
	for ctx.Err() == nil {
		if op := c.one(ctx, in, c.node()); op.Outcome == OK {
			return
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (c *caller) start(ctx context.Context) string {
	name := c.made
	hold := func() int { return 2 + c.chance.IntN(6) }
	plan := fmt.Sprintf(planText, name, pick(c.chance, targets), pick(c.chance, []string{"on", "off"}), hold(), hold(), hold(), c.chance.IntN(3))
	in := Input{Kind: Start, Environment: Rollouts, Plan: plan}
	if c.chance.IntN(4) == 0 {
		in.Value = "supersede"
	}
	op := c.one(ctx, in, c.node())
	if op.Outcome != OK || !op.Result.Changed {
		return ""
	}
	return fsm.RolloutID(fmt.Sprint("p", name), op.Revision)
}

func (c *caller) move(ctx context.Context, ids []string) {
	in := Input{Kind: Move, Environment: Rollouts, Key: pick(c.chance, ids)}
	in.Value = string([]fsm.Move{fsm.MoveAbort, fsm.MoveAbort, fsm.MovePause, fsm.MoveResume, fsm.MovePromote, fsm.MoveRetry, fsm.MoveSkip}[c.chance.IntN(7)])
	if in.Value == string(fsm.MoveAbort) && c.chance.IntN(2) == 0 { // two operators at once
		again := c.load.caller(51 + c.chance.IntN(3))
		again.made = c.made * 1000
		done := make(chan struct{})
		go func() {
			defer close(done)
			again.one(ctx, in, c.load.World.Nodes()[0])
		}()
		defer func() { <-done }()
	}
	c.one(ctx, in, c.node())
}

// schedule raises a flag in a few seconds, in two levels.
func (c *caller) schedule(ctx context.Context) {
	now := time.Now()
	at := func(d time.Duration) string { return now.Add(d).UTC().Format(fsm.InstantForm) }
	c.one(ctx, Input{Kind: Schedule, Environment: Rollouts, Plan: fmt.Sprintf(
		`{"flag":%q,"variant":"on","base":"off","salt":"chaos","levels":[{"at":%q,"weight":10000},{"at":%q,"weight":%d}]}`,
		pick(c.chance, scheduled), at(3*time.Second), at(9*time.Second), 20000+c.chance.IntN(80000))}, c.node())
}
