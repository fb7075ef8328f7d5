package chaos

import (
	"context"
	"errors"
	"syscall"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	messages "github.com/hoistflags/hoist/transport/wire"
)

// processClient calls a node through its public door.
type processClient struct {
	world *Processes
	node  string
}

// Do implements Client.
func (c processClient) Do(ctx context.Context, op *Op) {
	op.Node = c.node
	door := hoistv1connect.NewFlagServiceClient(c.world.http, c.world.Address(c.node))
	if op.Input.Kind.Reads() {
		c.read(ctx, door, op)
		return
	}
	c.write(ctx, door, op)
}

// codeUnsupported is the code of an operation that this world does not send: certainly nothing happened.
const codeUnsupported = "UNSUPPORTED"

func (c processClient) write(ctx context.Context, door hoistv1connect.FlagServiceClient, op *Op) {
	in := op.Input
	options := &hoistv1.WriteOptions{RequestId: op.Request, ExpectedRevision: in.Expected}
	var receipt *hoistv1.FlagReceipt
	var err error
	switch in.Kind {
	case Put, CAS:
		receipt, err = door.Put(ctx, &hoistv1.PutFlagRequest{Environment: in.Environment, Flag: messages.EncodeFlag(Register(in.Key, in.Value)), Write: options})
	case Delete:
		receipt, err = door.Delete(ctx, &hoistv1.DeleteFlagRequest{Environment: in.Environment, Key: in.Key, Write: options})
	case Enable, Disable:
		receipt, err = door.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Environment: in.Environment, Key: in.Key, Enabled: in.Kind == Enable, Write: options})
	case Kill:
		receipt, err = door.Kill(ctx, &hoistv1.KillRequest{Environment: in.Environment, Key: in.Key, Reason: "chaos", Write: options})
	case Unkill:
		receipt, err = door.Unkill(ctx, &hoistv1.UnkillRequest{Environment: in.Environment, Key: in.Key, Write: options})
	default:
		op.Outcome, op.Result.Code = Fail, codeUnsupported
		return
	}
	if err != nil {
		c.refused(op, err)
		return
	}
	r := receipt.GetReceipt()
	op.Outcome, op.Epoch, op.Revision = OK, r.GetEpoch(), r.GetRevision()
	op.Result.Object, op.Result.Changed, op.Result.Replayed = r.GetObjectRevision(), r.GetChanged(), r.GetReplayed()
}

// refused tells from an error whether the write can be in the log.
func (c processClient) refused(op *Op, err error) {
	op.Outcome, op.Result.Detail = Unknown, err.Error()
	if errors.Is(err, syscall.ECONNREFUSED) {
		op.Outcome, op.Result.Code = Fail, codeDown
		return
	}
	info := infoOf(err)
	if info == nil {
		return
	}
	switch fsm.Kind(info.GetCode()) {
	case "", fsm.KindUnknownOutcome, fsm.KindInternal, fsm.KindBehind:
	default:
		op.Outcome, op.Result.Code, op.Result.Current = Fail, info.GetCode(), info.GetRevision()
	}
}

func infoOf(err error) *hoistv1.ErrorInfo {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return nil
	}
	for _, detail := range remote.Details() {
		if value, err := detail.Value(); err == nil {
			if info, ok := value.(*hoistv1.ErrorInfo); ok {
				return info
			}
		}
	}
	return nil
}

// read asks for a flag as it stands. What is served to nobody follows from that: these flags have one variant for
// everybody.
func (c processClient) read(ctx context.Context, door hoistv1connect.FlagServiceClient, op *Op) {
	in := op.Input
	options := &hoistv1.ReadOptions{}
	switch in.Kind {
	case Read:
		options.Consistency = hoistv1.Consistency_CONSISTENCY_LINEARIZABLE
	case Bounded:
		options.MinRevision, options.Epoch = in.Min, in.Epoch
	}
	before := c.world.strikes(c.node)
	// A list of one tells the revision also when there is nothing.
	answer, err := door.List(ctx, &hoistv1.ListFlagsRequest{Environment: in.Environment, KeyPattern: in.Key, Read: options})
	if err != nil {
		op.Outcome, op.Result.Code, op.Result.Detail = Fail, infoOf(err).GetCode(), err.Error()
		if errors.Is(err, syscall.ECONNREFUSED) || before < 0 || before != c.world.strikes(c.node) {
			op.Result.Code = codeDown // it was struck meanwhile, or has not opened its door yet
		}
		return
	}
	op.Outcome, op.Epoch, op.Revision = OK, answer.GetPosition().GetEpoch(), answer.GetPosition().GetRevision()
	for _, s := range answer.GetFlags() {
		op.Result.Found, op.Result.Object = true, s.GetRevision()
		op.Result.Killed = s.GetKilled() && s.GetFlag().GetEnabled()
		op.Result.Value = "off"
		if s.GetFlag().GetEnabled() && !s.GetKilled() {
			op.Result.Value = s.GetFlag().GetVariants()[0].GetValue().GetStringValue()
		}
	}
}
