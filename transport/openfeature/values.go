package openfeature

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/hoistflags/hoist/evaluator"
)

// contextOf maps a context of the SDK. Times become RFC 3339 text, numbers of any kind numbers; anything else is what
// encoding/json makes of it. A nil is an attribute that is absent.
func contextOf(about openfeature.FlattenedContext) (*evaluator.Context, error) {
	attributes := make([]evaluator.Attribute, 0, len(about))
	key := ""
	for name, v := range about {
		if text, ok := v.(string); ok && name == openfeature.TargetingKey {
			key = text
			if text != "" {
				continue
			}
		}
		value, err := valueOf(v)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		attributes = append(attributes, evaluator.Attribute{Name: name, Value: value})
	}
	return evaluator.NewContext(key, attributes...), nil
}

func valueOf(v any) (evaluator.Value, error) {
	switch v := v.(type) {
	case nil:
		return evaluator.Value{}, nil
	case bool:
		return evaluator.Bool(v), nil
	case string:
		return evaluator.String(v), nil
	case int:
		return evaluator.Number(float64(v)), nil
	case int64:
		return evaluator.Number(float64(v)), nil
	case float64:
		return evaluator.Number(v), nil
	case time.Time:
		return evaluator.String(v.Format(time.RFC3339Nano)), nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return evaluator.Value{}, err
	}
	var out evaluator.Value
	err = json.Unmarshal(text, &out)
	return out, err
}

// plain is a value in the types of encoding/json.
func plain(v evaluator.Value) any {
	switch v.Kind() {
	case evaluator.KindBool:
		return v.AsBool()
	case evaluator.KindString:
		return v.AsString()
	case evaluator.KindNumber:
		return v.AsNumber()
	case evaluator.KindObject:
		out := make(map[string]any, len(v.Members()))
		for _, m := range v.Members() {
			out[m.Name] = plain(m.Value)
		}
		return out
	case evaluator.KindList:
		out := make([]any, 0, len(v.Elems()))
		for _, e := range v.Elems() {
			out = append(out, plain(e))
		}
		return out
	default:
		return nil
	}
}

// metadata is what OFREP carries: the flag's own, then where the answer comes from.
func metadata(own []evaluator.Attribute, rule, label string, revision uint64) openfeature.FlagMetadata {
	out := make(openfeature.FlagMetadata, len(own)+3)
	for _, m := range own {
		out[m.Name] = plain(m.Value)
	}
	out["hoist.revision"] = float64(revision)
	if rule != "" {
		out["hoist.rule"] = rule
	}
	if label != "" {
		out["hoist.label"] = label
	}
	return out
}
