package wire

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/evaluator"
)

// maxDepth is how deep a value may be nested; the same bound as for JSON at the other doors.
const maxDepth = 32

// DecodeValue turns a message into a value. The error is evaluator.Problems with field as the place: a number that is not
// finite, an unset kind, or nesting deeper than 32.
func DecodeValue(m *structpb.Value, field string) (evaluator.Value, error) {
	return decodeValue(m, field, 1)
}

func decodeValue(m *structpb.Value, field string, depth int) (evaluator.Value, error) {
	if depth > maxDepth {
		return evaluator.Value{}, problem(field, "value.depth", fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	switch kind := m.GetKind().(type) {
	case *structpb.Value_NullValue:
		return evaluator.Value{}, nil
	case *structpb.Value_BoolValue:
		return evaluator.Bool(kind.BoolValue), nil
	case *structpb.Value_StringValue:
		return evaluator.String(kind.StringValue), nil
	case *structpb.Value_NumberValue:
		if math.IsNaN(kind.NumberValue) || math.IsInf(kind.NumberValue, 0) {
			return evaluator.Value{}, problem(field, "value.number", "must be a finite number")
		}
		return evaluator.Number(kind.NumberValue), nil
	case *structpb.Value_StructValue:
		return decodeStruct(kind.StructValue, field, depth)
	case *structpb.Value_ListValue:
		elems := make([]evaluator.Value, len(kind.ListValue.GetValues()))
		for i, elem := range kind.ListValue.GetValues() {
			v, err := decodeValue(elem, fmt.Sprintf("%s/%d", field, i), depth+1)
			if err != nil {
				return evaluator.Value{}, err
			}
			elems[i] = v
		}
		return evaluator.List(elems), nil
	}
	return evaluator.Value{}, problem(field, "value.unset", "has no value; leave it out or send null")
}

func decodeStruct(m *structpb.Struct, field string, depth int) (evaluator.Value, error) {
	members := make([]evaluator.Attribute, 0, len(m.GetFields()))
	for name, member := range m.GetFields() {
		v, err := decodeValue(member, field+"/"+escapePointer(name), depth+1)
		if err != nil {
			return evaluator.Value{}, err
		}
		members = append(members, evaluator.Attribute{Name: name, Value: v})
	}
	return evaluator.Object(members), nil
}

// EncodeValue turns a value into a message; null, and what cannot be used, becomes NullValue.
func EncodeValue(v evaluator.Value) *structpb.Value {
	switch v.Kind() {
	case evaluator.KindBool:
		return structpb.NewBoolValue(v.AsBool())
	case evaluator.KindNumber:
		return structpb.NewNumberValue(v.AsNumber())
	case evaluator.KindString:
		return structpb.NewStringValue(v.AsString())
	case evaluator.KindObject:
		fields := make(map[string]*structpb.Value, len(v.Members()))
		for _, member := range v.Members() {
			fields[member.Name] = EncodeValue(member.Value)
		}
		return structpb.NewStructValue(&structpb.Struct{Fields: fields})
	case evaluator.KindList:
		elems := make([]*structpb.Value, len(v.Elems()))
		for i, elem := range v.Elems() {
			elems[i] = EncodeValue(elem)
		}
		return structpb.NewListValue(&structpb.ListValue{Values: elems})
	}
	return structpb.NewNullValue()
}

// DecodeContext reads an evaluation context. It goes through evaluator.ParseContext, so that its limits and its errors
// (*evaluator.ContextError) are those of every door.
func DecodeContext(m *structpb.Struct, c *evaluator.Context) error {
	if m == nil {
		*c = evaluator.Context{}
		return nil
	}
	v, err := decodeStruct(m, "", 1)
	if err != nil {
		return &evaluator.ContextError{Code: evaluator.ErrorInvalidContext, Detail: "context " + err.Error()}
	}
	return evaluator.ParseContext(v.AppendJSON(nil), c)
}

func problem(field, code, message string) error {
	return evaluator.Problems{{Field: field, Code: code, Message: message}}
}

// escapePointer makes a member name usable in a JSON pointer (RFC 6901).
func escapePointer(name string) string {
	clean := true
	for i := range len(name) {
		clean = clean && name[i] != '~' && name[i] != '/'
	}
	if clean {
		return name
	}
	out := make([]byte, 0, len(name)+2)
	for i := range len(name) {
		switch name[i] {
		case '~':
			out = append(out, "~0"...)
		case '/':
			out = append(out, "~1"...)
		default:
			out = append(out, name[i])
		}
	}
	return string(out)
}
