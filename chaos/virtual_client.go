package chaos

import (
	"context"
	"errors"
	"time"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// virtualClient calls a node directly.
type virtualClient struct {
	world *Virtual
	node  string
}

// codeDown is the code of an operation on a node without a process: certainly nothing happened.
const codeDown = "DOWN"

// Do implements Client.
func (c virtualClient) Do(ctx context.Context, op *Op) {
	op.Node = c.node
	if gate := c.world.cluster.Network.Gate(c.node); gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			op.Outcome, op.Result.Code = Fail, codeDown // it never arrived
			return
		}
	}
	m := c.world.member(c.node)
	node, store := m.Running()
	if node == nil {
		op.Outcome, op.Result.Code = Fail, codeDown
		pause(ctx, 10*time.Millisecond)
		return
	}
	if op.Input.Kind.Reads() {
		c.read(ctx, node, store, op)
	} else {
		c.write(ctx, node, store, op)
	}
	if now, _ := m.Running(); now != node {
		op.Outcome = Unknown // whatever a dead process says, nobody hears it
	}
}

func (c virtualClient) write(ctx context.Context, node *cluster.Node, store *fsm.Store, op *Op) {
	command, err := Encoded(op.Input)
	if err != nil {
		c.world.t.Errorf("%s: %v", op.Input.Kind, err)
		op.Outcome = Fail
		return
	}
	receipt, err := node.Propose(ctx, &fsm.Proposal{RequestID: op.Request, Actor: op.Input.Person(),
		ExpectedRevision: op.Input.Expected, Command: command})
	var refused *fsm.Error
	switch {
	case err == nil, errors.As(err, &refused) && refused.Kind == fsm.KindBehind:
		op.Outcome, op.Epoch, op.Revision = OK, receipt.Epoch, receipt.Revision
		op.Result.Object, op.Result.Changed, op.Result.Replayed = receipt.Object, receipt.Changed, receipt.Replayed
		if op.Input.Kind == Promote {
			op.Result.Made = opened(store.State(), op.Input.Environment, receipt.Revision)
		}
	case refused != nil && refused.Kind != fsm.KindUnknownOutcome && refused.Kind != fsm.KindInternal:
		op.Outcome, op.Result.Code, op.Result.Current, op.Result.Detail = Fail, string(refused.Kind), refused.Revision, refused.Detail
	default:
		op.Outcome, op.Result.Detail = Unknown, err.Error()
	}
}

// opened is the promotion that began at a revision; empty when this node has not applied it yet.
func opened(s *fsm.State, environment string, revision uint64) string {
	env, ok := s.Environment(fsm.DefaultTenant, environment)
	if !ok {
		return ""
	}
	change, ok := env.Opened(revision)
	if !ok {
		return ""
	}
	return change.ID
}

func (c virtualClient) read(ctx context.Context, node *cluster.Node, store *fsm.Store, op *Op) {
	op.Outcome = OK
	var err error
	switch op.Input.Kind {
	case Read:
		_, err = node.ReadIndex(ctx)
	case Bounded:
		if store.State().Epoch() == op.Input.Epoch {
			err = store.Wait(ctx, op.Input.Min)
		}
	}
	if err != nil {
		op.Outcome, op.Result.Code, op.Result.Detail = Fail, codeOf(err), err.Error()
		return
	}
	Look(store.State(), op)
}

// Look fills a read operation in from a state.
func Look(s *fsm.State, op *Op) {
	op.Epoch, op.Revision = s.Epoch(), s.Index()
	env, ok := s.Environment(fsm.DefaultTenant, op.Input.Environment)
	if !ok || op.Input.Key == "" {
		return
	}
	record, ok := env.Flag(op.Input.Key)
	if !ok {
		return
	}
	served := env.Snapshot().Evaluate(op.Input.Key, &evaluator.Context{TargetingKey: "nobody"})
	op.Result.Found, op.Result.Object = true, record.Revision
	op.Result.Value, op.Result.Killed = served.Value.AsString(), served.Label == fsm.OwnerKill
	if served.ErrorCode != "" {
		op.Outcome, op.Result.Detail = Fail, string(served.ErrorCode)
	}
}
