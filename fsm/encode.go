package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/evaluator"
)

// The encoding of a command: version byte, uvarint type, flags byte, JSON body. The numbers are law: one that was
// released never changes its meaning.
const (
	commandVersion = 1
	// flagIgnorable on a command that a binary does not know means: skip it, nothing is lost.
	flagIgnorable = 128
)

const (
	typeLeaderEstablished = iota + 1
	typeRaiseVersion
	typeChecksum
	typeCreateTenant
	typeCreateEnvironment
	typePutFlag
	typeDeleteFlag
	typeSetEnabled
	typeSetArchived
	typeKill
	typeUnkill
	typePutSegment
	typeDeleteSegment
	typeRestore
	typeBatch
	typeStage
	typeCommit
	typeStartRollout
	typeMoveRollout
	typeMeasured
	typeKillRollouts
	typeFreeze
	typeUnfreeze
	typePutSchedule
	typeDropSchedule
	typeMoveSchedule
	typeBootstrapToken
	typeCreateToken
	typeRevokeToken
	typeSettleNotices
	typePutBudget
	typeBudgetMeasured
	typeSwitchSchedule
	typeNoteUse
)

// errIgnorable is DecodeCommand's answer to an unknown command that may be skipped.
var errIgnorable = errors.New("unknown command, marked as ignorable")

// EncodeCommand gives the canonical bytes of a command.
func EncodeCommand(c Command) ([]byte, error) {
	number, body, err := encodeBody(c)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(body)+4)
	b = append(b, commandVersion)
	b = binary.AppendUvarint(b, number)
	b = append(b, 0)
	return append(b, body...), nil
}

// DecodeCommand reads what EncodeCommand wrote, strictly: unknown types, fields and versions are refused. The error is
// an *Error of kind MALFORMED.
func DecodeCommand(data []byte) (Command, error) {
	if len(data) == 0 || data[0] != commandVersion {
		return nil, malformed("", errors.New("unknown command version; a newer release is needed"))
	}
	number, n := binary.Uvarint(data[1:])
	if n <= 0 || len(data) < 2+n {
		return nil, malformed("", errors.New("the command is cut off"))
	}
	c, err := decodeBody(number, data[2+n:])
	var unknown unknownType
	if errors.As(err, &unknown) && data[1+n]&flagIgnorable != 0 {
		return nil, malformed("", errIgnorable)
	}
	if err != nil {
		return nil, malformed("", err)
	}
	return c, nil
}

func malformed(op string, err error) *Error {
	e := &Error{Kind: KindMalformed, Op: op, Detail: err.Error(), Err: err}
	if problems := (evaluator.Problems)(nil); errors.As(err, &problems) {
		e.Detail, e.Problems = "the definition does not decode", problems
	}
	return e
}

type unknownType uint64

func (u unknownType) Error() string {
	return fmt.Sprintf("command type %d is not known to this binary; a newer release is needed", uint64(u))
}

// nested is a command inside a Batch or Stage.
type nested struct {
	Type uint64         `json:"type"`
	Body jsontext.Value `json:"body"`
}

type batchBody struct {
	Batch
	Commands []nested `json:"commands"`
}

type stageBody struct {
	Stage
	Commands []nested `json:"commands,omitempty"`
}

func encodeBody(c Command) (uint64, []byte, error) {
	number, value := numberOf(c), any(c)
	if number == 0 {
		return 0, nil, fmt.Errorf("%T is no command; commands are passed by value", c)
	}
	if body, ok := encodePlain(c); ok {
		return number, body, nil
	}
	var err error
	options := encodeOptions
	switch c := c.(type) {
	case SetEnabled, SetArchived, Kill, Unkill, DeleteFlag, DeleteSegment:
		options = plainOptions
	case PutFlag:
		if c.Flag == nil {
			return 0, nil, errors.New("flag.put without a flag")
		}
		if body, ok := encodePutFlag(c); ok {
			return number, body, nil
		}
	case PutSegment:
		if c.Segment == nil {
			return 0, nil, errors.New("segment.put without a segment")
		}
	case Batch:
		if body, ok, err := encodeBatch(c); ok {
			return number, body, err
		}
		body := batchBody{Batch: c}
		body.Commands, err = encodeNested(c.Scope, c.Commands)
		value = body
	case Stage:
		if body, ok, err := encodeStage(c); ok {
			return number, body, err
		}
		body := stageBody{Stage: c}
		body.Commands, err = encodeNested(c.Scope, c.Commands)
		value = body
	case OpenChange, EditChange:
		value, err = changeBody(c)
	}
	if err != nil {
		return 0, nil, err
	}
	body, err := json.Marshal(value, options())
	return number, body, err
}

func numberOf(c Command) uint64 {
	switch c.(type) {
	case LeaderEstablished:
		return typeLeaderEstablished
	case RaiseVersion:
		return typeRaiseVersion
	case Checksum:
		return typeChecksum
	case CreateTenant:
		return typeCreateTenant
	case CreateEnvironment:
		return typeCreateEnvironment
	case PutFlag:
		return typePutFlag
	case DeleteFlag:
		return typeDeleteFlag
	case SetEnabled:
		return typeSetEnabled
	case SetArchived:
		return typeSetArchived
	case Kill:
		return typeKill
	case Unkill:
		return typeUnkill
	case PutSegment:
		return typePutSegment
	case DeleteSegment:
		return typeDeleteSegment
	case Restore:
		return typeRestore
	case Batch:
		return typeBatch
	case Stage:
		return typeStage
	case Commit:
		return typeCommit
	case StartRollout:
		return typeStartRollout
	case MoveRollout:
		return typeMoveRollout
	case Measured:
		return typeMeasured
	case KillRollouts:
		return typeKillRollouts
	case Freeze:
		return typeFreeze
	case Unfreeze:
		return typeUnfreeze
	case PutSchedule:
		return typePutSchedule
	case DropSchedule:
		return typeDropSchedule
	case MoveSchedule:
		return typeMoveSchedule
	case BootstrapToken:
		return typeBootstrapToken
	case CreateToken:
		return typeCreateToken
	case RevokeToken:
		return typeRevokeToken
	case SettleNotices:
		return typeSettleNotices
	case PutBudget:
		return typePutBudget
	case BudgetMeasured:
		return typeBudgetMeasured
	case SwitchSchedule:
		return typeSwitchSchedule
	case NoteUse:
		return typeNoteUse
	}
	return numberOfChange(c)
}

func decodeBody(number uint64, body []byte) (Command, error) {
	if c, ok := decodePlain(number, body); ok {
		return c, nil
	}
	return decodeLong(number, body)
}

func decodeLong(number uint64, body []byte) (Command, error) {
	switch number {
	case typeLeaderEstablished:
		return decode[LeaderEstablished](body)
	case typeRaiseVersion:
		return decode[RaiseVersion](body)
	case typeChecksum:
		return decode[Checksum](body)
	case typeCreateTenant:
		return decode[CreateTenant](body)
	case typeCreateEnvironment:
		return decode[CreateEnvironment](body)
	case typePutFlag:
		return decodePutFlag(body)
	case typeDeleteFlag:
		return decode[DeleteFlag](body)
	case typeSetEnabled:
		return decode[SetEnabled](body)
	case typeSetArchived:
		return decode[SetArchived](body)
	case typeKill:
		return decode[Kill](body)
	case typeUnkill:
		return decode[Unkill](body)
	case typePutSegment:
		return decodePutSegment(body)
	case typeDeleteSegment:
		return decode[DeleteSegment](body)
	case typeRestore:
		return decode[Restore](body)
	case typeBatch:
		return decodeBatch(body)
	case typeStage:
		return decodeStage(body)
	case typeCommit:
		return decode[Commit](body)
	case typeStartRollout:
		return decode[StartRollout](body)
	case typeMoveRollout:
		return decode[MoveRollout](body)
	case typeMeasured:
		return decode[Measured](body)
	case typeKillRollouts:
		return decode[KillRollouts](body)
	case typeFreeze:
		return decode[Freeze](body)
	case typePutSchedule:
		return decode[PutSchedule](body)
	case typeDropSchedule:
		return decode[DropSchedule](body)
	case typeMoveSchedule:
		return decode[MoveSchedule](body)
	case typeBootstrapToken:
		return decode[BootstrapToken](body)
	case typeCreateToken:
		return decode[CreateToken](body)
	case typeRevokeToken:
		return decode[RevokeToken](body)
	case typeSettleNotices:
		return decode[SettleNotices](body)
	case typePutBudget:
		return decode[PutBudget](body)
	case typeBudgetMeasured:
		return decode[BudgetMeasured](body)
	case typeNoteUse:
		return decode[NoteUse](body)
	case typeSwitchSchedule:
		return decode[SwitchSchedule](body)
	case typeUnfreeze:
		return decode[Unfreeze](body)
	}
	return decodeChange(number, body)
}

func decode[C Command](body []byte) (Command, error) {
	var c C
	if err := json.Unmarshal(body, &c, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Verb(), err)
	}
	return c, nil
}

func decodePutFlag(body []byte) (Command, error) {
	if c, ok := peelPutFlag(body); ok {
		return c, nil
	}
	raw := struct {
		Scope
		Flag jsontext.Value `json:"flag"`
	}{}
	if err := json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", verbPutFlag, err)
	}
	f, err := evaluator.DecodeFlag(raw.Flag)
	if err != nil {
		return nil, err
	}
	return PutFlag{Scope: raw.Scope, Flag: f}, nil
}

func decodePutSegment(body []byte) (Command, error) {
	raw := struct {
		Scope
		Segment jsontext.Value `json:"segment"`
	}{}
	if err := json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", verbPutSegment, err)
	}
	s, err := evaluator.DecodeSegment(raw.Segment)
	if err != nil {
		return nil, err
	}
	return PutSegment{Scope: raw.Scope, Segment: s}, nil
}

func decodeBatch(body []byte) (Command, error) {
	if c, ok := peelBatch(body); ok {
		return c, nil
	}
	return decodeLongBatch(body)
}

func decodeLongBatch(body []byte) (Command, error) {
	var raw batchBody
	if err := json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", verbBatch, err)
	}
	b, err := raw.Batch, error(nil)
	b.Commands, err = decodeNested(b.Scope, raw.Commands)
	return b, err
}

func decodeStage(body []byte) (Command, error) {
	if c, ok := peelStage(body); ok {
		return c, nil
	}
	return decodeLongStage(body)
}

func decodeLongStage(body []byte) (Command, error) {
	var raw stageBody
	if err := json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", verbStage, err)
	}
	s, err := raw.Stage, error(nil)
	s.Commands, err = decodeNested(s.Scope, raw.Commands)
	return s, err
}

// encodeNested leaves the scope out of commands that act in the outer one, so that a batch names it once.
func encodeNested(outer Scope, commands []Command) ([]nested, error) {
	out := make([]nested, 0, len(commands))
	for i, c := range commands {
		if scopeOf(c) == outer {
			c = withScope(c, Scope{})
		}
		number, body, err := encodeBody(c)
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", i, err)
		}
		out = append(out, nested{Type: number, Body: body})
	}
	return out, nil
}

func decodeNested(outer Scope, raw []nested) ([]Command, error) {
	var out []Command
	for i, n := range raw {
		c, err := decodeBody(n.Type, n.Body)
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", i, err)
		}
		if scopeOf(c) == (Scope{}) {
			c = withScope(c, outer)
		}
		out = append(out, c)
	}
	return out, nil
}

// scopeOf returns the scope of the commands that can stand in a batch.
func scopeOf(c Command) Scope {
	t := c.target()
	return Scope{Tenant: t.Tenant, Environment: t.Environment}
}

func withScope(c Command, s Scope) Command {
	switch c := c.(type) {
	case PutFlag:
		c.Scope = s
		return c
	case DeleteFlag:
		c.Scope = s
		return c
	case SetEnabled:
		c.Scope = s
		return c
	case SetArchived:
		c.Scope = s
		return c
	case Kill:
		c.Scope = s
		return c
	case Unkill:
		c.Scope = s
		return c
	case PutSegment:
		c.Scope = s
		return c
	case DeleteSegment:
		c.Scope = s
		return c
	case Restore:
		c.Scope = s
		return c
	case PutSchedule:
		c.Scope = s
		return c
	case DropSchedule:
		c.Scope = s
		return c
	}
	return c
}

// plainOptions are enough for commands without a definition.
func plainOptions() json.Options { return json.Deterministic(true) }

// encodeOptions writes definitions in their one canonical form.
func encodeOptions() json.Options {
	return json.JoinOptions(json.WithMarshalers(json.JoinMarshalers(
		json.MarshalToFunc(func(e *jsontext.Encoder, f *evaluator.Flag) error { return e.WriteValue(f.Canonical()) }),
		json.MarshalToFunc(func(e *jsontext.Encoder, s *evaluator.Segment) error { return e.WriteValue(s.Canonical()) }),
	)), json.Deterministic(true))
}
