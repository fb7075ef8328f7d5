package rollout

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// ParsePlan reads a plan in YAML or JSON, strictly, and judges everything that can be judged without its flag. Errors are
// evaluator.Problems, each with the path of its field.
func ParsePlan(document []byte) (*fsm.Plan, error) {
	data, err := toJSON(document)
	if err != nil {
		return nil, err
	}
	if problems := later(data); len(problems) > 0 {
		return nil, problems
	}
	plan := &fsm.Plan{}
	if err := json.Unmarshal(data, plan, json.RejectUnknownMembers(true)); err != nil {
		return nil, decodeProblem(err)
	}
	if problems := Check(plan); len(problems) > 0 {
		return nil, problems
	}
	return plan, nil
}

// ParseBudget reads an error budget in YAML or JSON, strictly. Errors are evaluator.Problems.
func ParseBudget(document []byte) (*fsm.Budget, error) {
	data, err := toJSON(document)
	if err != nil {
		return nil, err
	}
	budget := &fsm.Budget{}
	if err := json.Unmarshal(data, budget, json.RejectUnknownMembers(true)); err != nil {
		return nil, decodeProblem(err)
	}
	if problems := budget.Check(); len(problems) > 0 {
		return nil, problems
	}
	return budget, nil
}

// toJSON gives the one form that is decoded. JSON is YAML, so nobody has to say which it is.
func toJSON(document []byte) ([]byte, error) {
	var value any
	if err := yaml.Load(document, &value); err != nil {
		return nil, evaluator.Problems{{Field: "/", Code: "decode.yaml", Message: err.Error()}}
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, evaluator.Problems{{Field: "/", Code: "decode.yaml", Message: "this is no mapping of fields; a plan begins with kind: " + fsm.PlanKind}}
	}
	data, err := stdjson.Marshal(value)
	if err != nil {
		return nil, evaluator.Problems{{Field: "/", Code: "decode.yaml", Message: err.Error()}}
	}
	return data, nil
}

func decodeProblem(err error) evaluator.Problems {
	p := evaluator.Problem{Field: "/", Code: "decode.plan", Message: err.Error()}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		p.Field = string(semantic.JSONPointer)
		p.Message = fmt.Sprintf("must be %s", kindName(semantic))
		if semantic.Err != nil {
			p.Message = semantic.Err.Error()
		}
		if errors.Is(err, json.ErrUnknownName) {
			p.Message = "no such field; the manual of plans lists them"
		}
	}
	var inner *json.SemanticError
	if semantic != nil && errors.As(semantic.Err, &inner) { // inside a field with a form of its own
		p.Field += string(inner.JSONPointer)
		p.Message = "no such field; the manual of plans lists them"
		if inner.Err != nil && !errors.Is(inner.Err, json.ErrUnknownName) {
			p.Message = inner.Err.Error()
		}
	}
	return evaluator.Problems{p}
}

func kindName(e *json.SemanticError) string {
	if e.GoType == nil {
		return "of another type"
	}
	return "of type " + strings.TrimPrefix(e.GoType.String(), "fsm.")
}

// later names what this release does not have, so that nobody takes it for a slip of the pen.
func later(data []byte) (problems evaluator.Problems) {
	decoder := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.ReadToken()
		if err != nil {
			return problems
		}
		if _, n := decoder.StackIndex(decoder.StackDepth()); token.Kind() != '"' || n%2 == 0 {
			continue
		}
		message := ""
		switch at := string(decoder.StackPointer()); {
		case strings.HasSuffix(at, "/outcomes") && strings.Contains(at, "/metrics/"):
			message = "the provider outcomes is not available in this release; measure with prometheus or web"
		}
		if message != "" {
			problems = append(problems, evaluator.Problem{Field: string(decoder.StackPointer()), Code: "plan.later", Message: message})
		}
	}
}
