package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// promoted are the flags that travel from Rollouts into Production, beside those that rollouts and schedules drive.
var promoted = []string{"u", "v", "w"}

// checker is the other person that every promotion needs.
const checker = "checker"

// promote writes flags into Rollouts and promotes everything there into Production, which takes nothing else.
func (c *caller) promote(ctx context.Context) {
	for ctx.Err() == nil {
		c.made++
		edit := Input{Kind: Batch, Environment: Rollouts}
		for i, key := range promoted {
			if c.chance.IntN(3) > 0 {
				edit.Parts = append(edit.Parts, Input{Kind: Put, Environment: Rollouts, Key: key, Value: fmt.Sprint("p", c.made, "-", i)})
			}
		}
		if len(edit.Parts) > 0 {
			c.one(ctx, edit, c.node())
		}
		if c.chance.IntN(8) == 0 {
			c.one(ctx, Input{Kind: Put, Environment: Production, Key: pick(c.chance, promoted), Value: "directly"}, c.node())
		}
		if op := c.one(ctx, Input{Kind: Promote, Environment: Production}, c.node()); op.Outcome == OK && op.Result.Made != "" {
			c.carry(ctx, op.Result.Made)
		}
		pause(ctx, time.Duration(c.chance.IntN(8000))*time.Millisecond)
	}
}

// carry takes one promotion through what people do to it. Much of it is refused: somebody else was faster, the source was
// edited meanwhile, there is no leader.
func (c *caller) carry(ctx context.Context, id string) {
	step := func(m fsm.ChangeMove, as string) Op {
		in := Input{Kind: Step, Environment: Production, Key: id, Value: string(m), As: as}
		if m == fsm.ChangeMoveSchedule {
			in.Plan = time.Now().Add(3 * time.Second).UTC().Format(time.RFC3339Nano)
		}
		return c.one(ctx, in, c.node())
	}
	step(fsm.ChangeMoveValidate, "")
	step(fsm.ChangeMoveApprove, checker)
	if c.chance.IntN(6) == 0 { // of somebody who did not ask first
		step(fsm.ChangeMoveApprove, "")
	}
	switch n := c.chance.IntN(10); {
	case n == 0:
		step(fsm.ChangeMoveCancel, "")
	case n < 3:
		step(fsm.ChangeMoveSchedule, "")
		pause(ctx, 4*time.Second)
	case n < 5: // two operators at once
		other := &caller{load: c.load, number: c.number + 1, chance: rand.New(rand.NewPCG(c.load.Seed, uint64(c.made))), made: c.made * 1000}
		done := make(chan struct{})
		go func() {
			defer close(done)
			other.one(ctx, Input{Kind: Step, Environment: Production, Key: id, Value: string(fsm.ChangeMoveApply), As: checker}, c.load.World.Nodes()[0])
		}()
		step(fsm.ChangeMoveApply, "")
		<-done
	default:
		step(fsm.ChangeMoveApply, "")
	}
	if c.chance.IntN(2) == 0 {
		step(fsm.ChangeMoveRollback, "")
		step(fsm.ChangeMoveRollback, checker)
	}
}
