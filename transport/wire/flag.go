package wire

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// DecodeFlag turns a message into a flag. Errors are evaluator.Problems; a nil message is one.
func DecodeFlag(m *hoistv1.Flag) (*evaluator.Flag, error) {
	if m == nil {
		return nil, problem("", "flag.missing", "the request has no flag")
	}
	f := &evaluator.Flag{
		Key: m.GetKey(), Kind: evaluator.Kind(m.GetKind()), Type: evaluator.Type(m.GetType()),
		Name: m.GetName(), Description: m.GetDescription(), Owner: m.GetOwner(),
		Tags: m.GetTags(), Annotations: m.GetAnnotations(),
		Temporary: m.GetTemporary(), Expires: m.GetExpires(),
		Archived: m.GetArchived(), ClientVisible: m.GetClientVisible(),
		Enabled: m.GetEnabled(), Off: m.GetOff(),
	}
	var err error
	if f.Value, err = decodeOptional(m.GetValue(), "/value"); err != nil {
		return nil, err
	}
	if f.Metadata, err = decodeMetadata(m.GetMetadata()); err != nil {
		return nil, err
	}
	for i, v := range m.GetVariants() {
		value, err := decodeOptional(v.GetValue(), fmt.Sprintf("/variants/%d/value", i))
		if err != nil {
			return nil, err
		}
		f.Variants = append(f.Variants, evaluator.Variant{Key: v.GetKey(), Value: value})
	}
	for _, p := range m.GetPrerequisites() {
		f.Prerequisites = append(f.Prerequisites, evaluator.Prerequisite{Flag: p.GetFlag(), Variants: p.GetVariants()})
	}
	for i, r := range m.GetRules() {
		clauses, err := decodeClauses(r.GetIf(), fmt.Sprintf("/rules/%d/if", i))
		if err != nil {
			return nil, err
		}
		f.Rules = append(f.Rules, evaluator.Rule{
			ID: r.GetId(), Description: r.GetDescription(), If: clauses, Then: decodeServe(r.GetThen()),
		})
	}
	if m.GetDefault() != nil {
		serve := decodeServe(m.GetDefault())
		f.Default = &serve
	}
	return f, nil
}

func decodeOptional(m *structpb.Value, field string) (*evaluator.Value, error) {
	if m == nil {
		return nil, nil
	}
	v, err := DecodeValue(m, field)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

func decodeMetadata(m map[string]*structpb.Value) (map[string]evaluator.Value, error) {
	if len(m) == 0 {
		return nil, nil
	}
	out := make(map[string]evaluator.Value, len(m))
	for name, member := range m {
		v, err := DecodeValue(member, "/metadata/"+escapePointer(name))
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

func decodeClauses(list []*hoistv1.Clause, field string) ([]evaluator.Clause, error) {
	var out []evaluator.Clause
	for i, c := range list {
		clause := evaluator.Clause{
			Attribute: c.GetAttribute(), Operator: c.GetOperator(), Negate: c.GetNegate(),
			IfMissing: c.GetIfMissing(), Coerce: c.GetCoerce(), IgnoreCase: c.GetIgnoreCase(),
		}
		for j, m := range c.GetValues() {
			v, err := DecodeValue(m, fmt.Sprintf("%s/%d/values/%d", field, i, j))
			if err != nil {
				return nil, err
			}
			clause.Values = append(clause.Values, v)
		}
		out = append(out, clause)
	}
	return out, nil
}

func decodeServe(m *hoistv1.Serve) evaluator.Serve {
	s := evaluator.Serve{Variant: m.GetVariant(), Label: m.GetLabel()}
	if split := m.GetSplit(); split != nil {
		s.Split = &evaluator.Split{By: split.GetBy(), Salt: split.GetSalt(), Hash: split.GetHash(), Missing: split.GetMissing()}
		for _, w := range split.GetWeights() {
			s.Split.Weights = append(s.Split.Weights, evaluator.Weight{Variant: w.GetVariant(), Weight: int(w.GetWeight())})
		}
		for _, r := range split.GetRanges() {
			s.Split.Ranges = append(s.Split.Ranges, evaluator.Range{Variant: r.GetVariant(), From: r.GetFrom(), To: r.GetTo(), Down: r.GetDown()})
		}
	}
	return s
}

// EncodeFlag turns a flag into a message.
func EncodeFlag(f *evaluator.Flag) *hoistv1.Flag {
	m := &hoistv1.Flag{
		Key: f.Key, Kind: string(f.Kind), Type: string(f.Type), Name: f.Name, Description: f.Description, Owner: f.Owner,
		Tags: f.Tags, Annotations: f.Annotations, Metadata: encodeMetadata(f.Metadata), Temporary: f.Temporary,
		Expires: f.Expires, Archived: f.Archived, ClientVisible: f.ClientVisible, Value: encodeOptional(f.Value),
		Enabled: f.Enabled, Off: f.Off,
	}
	for _, v := range f.Variants {
		m.Variants = append(m.Variants, &hoistv1.Variant{Key: v.Key, Value: encodeOptional(v.Value)})
	}
	for _, p := range f.Prerequisites {
		m.Prerequisites = append(m.Prerequisites, &hoistv1.Prerequisite{Flag: p.Flag, Variants: p.Variants})
	}
	for _, r := range f.Rules {
		m.Rules = append(m.Rules, &hoistv1.Rule{
			Id: r.ID, Description: r.Description, If: encodeClauses(r.If), Then: encodeServe(r.Then),
		})
	}
	if f.Default != nil {
		m.Default = encodeServe(*f.Default)
	}
	return m
}

func encodeOptional(v *evaluator.Value) *structpb.Value {
	if v == nil {
		return nil
	}
	return EncodeValue(*v)
}

func encodeMetadata(in map[string]evaluator.Value) map[string]*structpb.Value {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]*structpb.Value, len(in))
	for name, v := range in {
		out[name] = EncodeValue(v)
	}
	return out
}

func encodeClauses(list []evaluator.Clause) []*hoistv1.Clause {
	var out []*hoistv1.Clause
	for _, c := range list {
		m := &hoistv1.Clause{
			Attribute: c.Attribute, Operator: c.Operator, Negate: c.Negate,
			IfMissing: c.IfMissing, Coerce: c.Coerce, IgnoreCase: c.IgnoreCase,
		}
		for _, v := range c.Values {
			m.Values = append(m.Values, EncodeValue(v))
		}
		out = append(out, m)
	}
	return out
}

func encodeServe(s evaluator.Serve) *hoistv1.Serve {
	m := &hoistv1.Serve{Variant: s.Variant, Label: s.Label}
	if s.Split != nil {
		m.Split = &hoistv1.Split{By: s.Split.By, Salt: s.Split.Salt, Hash: s.Split.Hash, Missing: s.Split.Missing}
		for _, w := range s.Split.Weights {
			m.Split.Weights = append(m.Split.Weights, &hoistv1.Weight{Variant: w.Variant, Weight: int32(w.Weight)})
		}
		for _, r := range s.Split.Ranges {
			m.Split.Ranges = append(m.Split.Ranges, &hoistv1.Range{Variant: r.Variant, From: r.From, To: r.To, Down: r.Down})
		}
	}
	return m
}
