package wire

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/evaluator"
)

// Place is a Position.
type Place struct {
	Epoch    string
	Revision uint64
	AgeMs    int64
}

// AppendEvaluateJSON appends the EvaluateResponse of EncodeResult's evaluation in protobuf's JSON, without reflection. The
// result has no error.
func AppendEvaluateJSON(dst []byte, flag *evaluator.Compiled, r *evaluator.Result, at Place) []byte {
	dst = append(dst, `{"evaluation":`...)
	dst = appendEvaluationJSON(dst, flag, r)
	dst = append(dst, `,"position":{`...)
	start := len(dst)
	dst = appendMember(dst, start, "epoch", at.Epoch)
	if at.Revision != 0 {
		dst = append(appendName(dst, start, "revision"), '"')
		dst = append(strconv.AppendUint(dst, at.Revision, 10), '"') // 64 bits are text
	}
	if at.AgeMs != 0 {
		dst = append(appendName(dst, start, "ageMs"), '"')
		dst = append(strconv.AppendInt(dst, at.AgeMs, 10), '"')
	}
	return append(dst, "}}"...)
}

func appendEvaluationJSON(dst []byte, flag *evaluator.Compiled, r *evaluator.Result) []byte {
	dst = append(dst, '{')
	start := len(dst)
	dst = appendMember(dst, start, "key", flag.Key())
	if r.HasValue {
		dst = r.Value.AppendJSON(appendName(dst, start, "value"))
	}
	dst = appendMember(dst, start, "variant", r.Variant)
	dst = appendMember(dst, start, "reason", string(r.Reason))
	dst = appendMember(dst, start, "ruleId", r.RuleID)
	dst = appendMember(dst, start, "label", r.Label)
	if members := flag.Metadata(); len(members) > 0 {
		dst = append(appendName(dst, start, "metadata"), '{')
		inner := len(dst)
		for _, m := range members {
			dst = m.Value.AppendJSON(appendName(dst, inner, m.Name))
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendMember appends a string member; one that is empty is left out.
func appendMember(dst []byte, start int, name, text string) []byte {
	if text == "" {
		return dst
	}
	return evaluator.String(text).AppendJSON(appendName(dst, start, name))
}

// appendName begins a member of the object whose members begin at start.
func appendName(dst []byte, start int, name string) []byte {
	if len(dst) > start {
		dst = append(dst, ',')
	}
	return append(evaluator.String(name).AppendJSON(dst), ':')
}

// AppendEvaluateProto is AppendEvaluateJSON for protobuf.
func AppendEvaluateProto(dst []byte, flag *evaluator.Compiled, r *evaluator.Result, at Place) []byte {
	dst, evaluation := open(dst, 1)
	dst = shut(appendEvaluationProto(dst, flag, r), evaluation)
	dst, position := open(dst, 15)
	dst = appendTextField(dst, 1, at.Epoch)
	dst = appendNumberField(dst, 2, at.Revision)
	return shut(appendNumberField(dst, 3, uint64(at.AgeMs)), position)
}

func appendEvaluationProto(dst []byte, flag *evaluator.Compiled, r *evaluator.Result) []byte {
	dst = appendTextField(dst, 1, flag.Key())
	if r.HasValue {
		dst = appendValueField(dst, 2, r.Value)
	}
	dst = appendTextField(dst, 3, r.Variant)
	dst = appendTextField(dst, 4, string(r.Reason))
	dst = appendTextField(dst, 5, r.RuleID)
	dst = appendTextField(dst, 6, r.Label)
	for _, m := range flag.Metadata() {
		var entry int
		dst, entry = open(dst, 9)
		dst = protowire.AppendString(protowire.AppendTag(dst, 1, protowire.BytesType), m.Name)
		dst = shut(appendValueField(dst, 2, m.Value), entry)
	}
	return dst
}

// lengthRoom is what is kept free for the length of a message whose end is not known yet. A length may be longer than it
// needs to be, which no decoder minds, but equal answers should be equal bytes: shut closes the gap.
const lengthRoom = binary.MaxVarintLen32

// open begins a message in a field; shut ends it.
func open(dst []byte, number protowire.Number) (out []byte, start int) {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return append(dst, make([]byte, lengthRoom)...), len(dst) + lengthRoom
}

func shut(dst []byte, start int) []byte {
	size := len(dst) - start
	n := binary.PutUvarint(dst[start-lengthRoom:start], uint64(size))
	copy(dst[start-lengthRoom+n:], dst[start:])
	return dst[:start-lengthRoom+n+size]
}

func appendTextField(dst []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), text)
}

func appendNumberField(dst []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), v)
}

// appendValueField appends a google.protobuf.Value. Lists and objects are rare, and left to the library.
func appendValueField(dst []byte, number protowire.Number, v evaluator.Value) []byte {
	dst, start := open(dst, number)
	switch v.Kind() {
	case evaluator.KindBool:
		dst = protowire.AppendTag(dst, valueBool, protowire.VarintType)
		dst = protowire.AppendVarint(dst, protowire.EncodeBool(v.AsBool()))
	case evaluator.KindNumber:
		dst = protowire.AppendTag(dst, valueNumber, protowire.Fixed64Type)
		dst = protowire.AppendFixed64(dst, math.Float64bits(v.AsNumber()))
	case evaluator.KindString:
		dst = protowire.AppendTag(dst, valueString, protowire.BytesType)
		dst = protowire.AppendString(dst, v.AsString())
	default:
		// EncodeValue makes messages that can be encoded: its strings are those of a flag that was stored.
		dst, _ = proto.MarshalOptions{}.MarshalAppend(dst, EncodeValue(v))
	}
	return shut(dst, start)
}
