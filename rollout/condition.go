package rollout

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// compile reads a condition: an expression over result, and stable where the stable cohort is measured too.
func compile(text string) (*vm.Program, error) {
	return expr.Compile(text, expr.Env(environment(nil, nil)), expr.Timezone("UTC"))
}

// scope is what a condition may name. Its fields have a type even where a value is missing, so conditions compile
// before anything was measured.
type scope struct {
	Result  any                        `expr:"result"`
	Stable  any                        `expr:"stable"`
	IsNaN   func(any) bool             `expr:"isNaN"`
	IsInf   func(any) bool             `expr:"isInf"`
	IsNil   func(any) bool             `expr:"isNil"`
	Default func(v, fallback any) any  `expr:"default"`
	AsInt   func(any) (int64, error)   `expr:"asInt"`
	AsFloat func(any) (float64, error) `expr:"asFloat"`
}

func environment(result, stable any) scope {
	return scope{
		Result: result, Stable: stable, AsInt: asInt, AsFloat: asFloat,
		IsNaN: func(v any) bool { f, ok := number(v); return ok && math.IsNaN(f) },
		IsInf: func(v any) bool { f, ok := number(v); return ok && math.IsInf(f, 0) },
		IsNil: func(v any) bool { return v == nil },
		Default: func(v, fallback any) any {
			if v == nil {
				return fallback
			}
			return v
		},
	}
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	}
	return 0, false
}

func asFloat(v any) (float64, error) {
	if f, ok := number(v); ok {
		return f, nil
	}
	if text, ok := v.(string); ok {
		return strconv.ParseFloat(text, 64)
	}
	return 0, fmt.Errorf("%v is no number", v)
}

func asInt(v any) (int64, error) {
	f, err := asFloat(v)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%v is no whole number", v)
	}
	return int64(f), nil
}

var errNotBoolean = errors.New("the condition does not say true or false")

// holds evaluates a condition.
func holds(text string, result, stable any) (bool, error) {
	program, err := compile(text)
	if err != nil {
		return false, fmt.Errorf("%s: %w", text, err)
	}
	value, err := expr.Run(program, environment(result, stable))
	if err != nil {
		return false, fmt.Errorf("%s: %w", text, err)
	}
	yes, ok := value.(bool)
	if !ok {
		return false, fmt.Errorf("%s: %w", text, errNotBoolean)
	}
	return yes, nil
}
