package evaluator

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// DecodeFlag reads one flag strictly: unknown, duplicate and mis-cased members are refused with their path.
// A body that cannot be read gives Problems whose code starts with "decode.". Whether the flag makes sense is Check's.
func DecodeFlag(data []byte) (*Flag, error) {
	if f, rest, ok := readFlag(data, true); ok && len(rest) == 0 {
		return f, nil
	}
	return decodeFlag(data)
}

func decodeFlag(data []byte) (*Flag, error) {
	f := new(Flag)
	if err := decode(data, f); err != nil {
		return nil, err
	}
	return f, nil
}

// DecodeSegment reads one segment as DecodeFlag reads flags.
func DecodeSegment(data []byte) (*Segment, error) {
	if s, rest, ok := readSegment(data, true); ok && len(rest) == 0 {
		return s, nil
	}
	return decodeSegment(data)
}

func decodeSegment(data []byte) (*Segment, error) {
	s := new(Segment)
	if err := decode(data, s); err != nil {
		return nil, err
	}
	return s, nil
}

// FlagOf is DecodeFlag of a record that is kept and never changes: the flag's texts are its bytes, so that they are not
// in memory twice. SegmentOf likewise.
func FlagOf(record []byte) (*Flag, error) {
	if f, rest, ok := readFlag(record, false); ok && len(rest) == 0 {
		return f, nil
	}
	return decodeFlag(record)
}

// SegmentOf is DecodeSegment of a record that is kept and never changes.
func SegmentOf(record []byte) (*Segment, error) {
	if s, rest, ok := readSegment(record, false); ok && len(rest) == 0 {
		return s, nil
	}
	return decodeSegment(record)
}

// CutFlag takes a flag in canonical form off the beginning of data; false means that none stands there, and says nothing
// about why.
func CutFlag(data []byte) (f *Flag, rest []byte, ok bool) { return readFlag(data, true) }

func decode(data []byte, into any) error {
	err := json.Unmarshal(data, into, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	problem := Problem{Code: "decode.syntax", Message: err.Error()}
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	var inner *syntaxError
	switch {
	case errors.As(err, &inner): // inside a Value; the position is within that value
		problem.Message = "not valid JSON: " + inner.Error() + " of the value"
	case errors.Is(err, json.ErrUnknownName):
		problem.Code = "decode.unknown"
		problem.Message = "unknown member; remove it or correct its spelling (names are case-sensitive)"
	case errors.Is(err, jsontext.ErrDuplicateName):
		problem.Code = "decode.duplicate"
		problem.Message = "member given twice; keep one"
	}
	if errors.As(err, &syntactic) {
		problem.Field = string(syntactic.JSONPointer)
		if problem.Code == "decode.syntax" && inner == nil {
			problem.Message = fmt.Sprintf("not valid JSON: %v at byte %d", syntactic.Err, syntactic.ByteOffset)
		}
	} else if errors.As(err, &semantic) {
		problem.Field = string(semantic.JSONPointer)
		if problem.Code == "decode.syntax" && inner == nil {
			problem.Code = "decode.type"
			problem.Message = fmt.Sprintf("a JSON %v cannot stand here", semantic.JSONKind)
		}
	}
	return Problems{problem}
}
