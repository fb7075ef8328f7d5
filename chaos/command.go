package chaos

import (
	"fmt"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// Register is the flag that holds a value: a string, served to everybody.
func Register(key, value string) *evaluator.Flag {
	f, err := evaluator.DecodeFlag(fmt.Appendf(nil, `{"key":%q,"type":"string","enabled":true,"variants":[{"key":"on","value":%q},{"key":"off","value":"off"}],"off":"off","default":{"variant":"on"}}`, key, value))
	if err != nil {
		panic("chaos: the register does not decode: " + err.Error()) // keys and values are this package's own
	}
	return f
}

// Target is a flag that rollouts and schedules drive.
func Target(key string) *evaluator.Flag {
	f, err := evaluator.DecodeFlag(fmt.Appendf(nil, `{"key":%q,"type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"off"}}`, key))
	if err != nil {
		panic("chaos: the target does not decode: " + err.Error())
	}
	return f
}

// Command is the write that an input asks for.
func Command(in Input) (fsm.Command, error) {
	scope := fsm.Scope{Tenant: fsm.DefaultTenant, Environment: in.Environment}
	switch in.Kind {
	case Put, CAS:
		if in.Value == "" {
			return fsm.PutFlag{Scope: scope, Flag: Target(in.Key)}, nil
		}
		return fsm.PutFlag{Scope: scope, Flag: Register(in.Key, in.Value)}, nil
	case Delete:
		return fsm.DeleteFlag{Scope: scope, Key: in.Key}, nil
	case Enable, Disable:
		return fsm.SetEnabled{Scope: scope, Key: in.Key, Enabled: in.Kind == Enable}, nil
	case Kill:
		return fsm.Kill{Scope: scope, Key: in.Key, Reason: "chaos"}, nil
	case Unkill:
		return fsm.Unkill{Scope: scope, Key: in.Key}, nil
	case Batch:
		b := fsm.Batch{Scope: scope}
		for _, part := range in.Parts {
			c, err := Command(part)
			if err != nil {
				return nil, err
			}
			b.Commands = append(b.Commands, c)
		}
		return b, nil
	}
	return control(in, scope)
}

// Encoded is Command in the form of the log.
func Encoded(in Input) ([]byte, error) {
	c, err := Command(in)
	if err != nil {
		return nil, err
	}
	return fsm.EncodeCommand(c)
}

// promotion is the part about promotions.
func promotion(in Input, scope fsm.Scope) (fsm.Command, error) {
	switch in.Kind {
	case Promote:
		return fsm.OpenPromotion{Scope: scope, Source: Rollouts, Type: fsm.PromotionFull}, nil
	case Step:
		move := fsm.MoveChange{Scope: scope, ID: in.Key, Move: fsm.ChangeMove(in.Value)}
		if in.Plan != "" {
			at, err := time.Parse(time.RFC3339Nano, in.Plan)
			if err != nil {
				return nil, err
			}
			move.At = at.UnixMilli()
		}
		return move, nil
	}
	return nil, fmt.Errorf("%q writes nothing", in.Kind)
}

// control is the part about rollouts, freezes and schedules.
func control(in Input, scope fsm.Scope) (fsm.Command, error) {
	switch in.Kind {
	case Start:
		plan, err := rollout.ParsePlan([]byte(in.Plan))
		if err != nil {
			return nil, err
		}
		return fsm.StartRollout{Scope: scope, Plan: plan, Supersede: in.Value == "supersede"}, nil
	case Move:
		return fsm.MoveRollout{Scope: scope, ID: in.Key, Move: fsm.Move(in.Value), Reason: "chaos"}, nil
	case Freeze:
		return fsm.Freeze{Scope: scope, Reason: "chaos"}, nil
	case Unfreeze:
		return fsm.Unfreeze{Scope: scope}, nil
	case Schedule:
		s, err := fsm.DecodeSchedule([]byte(in.Plan))
		if err != nil {
			return nil, err
		}
		return fsm.PutSchedule{Scope: scope, Schedule: s}, nil
	}
	return promotion(in, scope)
}
