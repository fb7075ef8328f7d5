package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/cucumber/godog"
	"github.com/open-feature/go-sdk/openfeature"
)

// world is what one scenario knows.
type world struct {
	client   *openfeature.Client
	kind     string // Boolean, String, Integer, Float, Object
	key      string
	fallback any
	about    map[string]any
	got      details
}

// details are the evaluation details of any type.
type details struct {
	value    any
	variant  string
	reason   string
	code     string
	flagKey  string
	metadata openfeature.FlagMetadata
}

// common registers the steps that both suites use.
func (w *world) common(s *godog.ScenarioContext) {
	s.Step(`^a stable provider$`, func() error { return nil }) // the provider is set before the suite starts
}

// evaluate asks through the OpenFeature client, with the method of the flag's type.
func (w *world) evaluate(ctx context.Context) error {
	about := openfeature.NewTargetlessEvaluationContext(w.about)
	var err error // the details carry it too; what the scenarios check is there
	var d openfeature.EvaluationDetails
	switch fallback := w.fallback.(type) {
	case bool:
		var r openfeature.BooleanEvaluationDetails
		r, err = w.client.BooleanValueDetails(ctx, w.key, fallback, about)
		w.got.value, d = r.Value, r.EvaluationDetails
	case string:
		var r openfeature.StringEvaluationDetails
		r, err = w.client.StringValueDetails(ctx, w.key, fallback, about)
		w.got.value, d = r.Value, r.EvaluationDetails
	case int64:
		var r openfeature.IntEvaluationDetails
		r, err = w.client.IntValueDetails(ctx, w.key, fallback, about)
		w.got.value, d = r.Value, r.EvaluationDetails
	case float64:
		var r openfeature.FloatEvaluationDetails
		r, err = w.client.FloatValueDetails(ctx, w.key, fallback, about)
		w.got.value, d = r.Value, r.EvaluationDetails
	default:
		var r openfeature.InterfaceEvaluationDetails
		r, err = w.client.ObjectValueDetails(ctx, w.key, fallback, about)
		w.got.value, d = r.Value, r.EvaluationDetails
	}
	w.got.variant, w.got.reason, w.got.code = d.Variant, string(d.Reason), string(d.ErrorCode)
	w.got.flagKey, w.got.metadata = d.FlagKey, d.FlagMetadata
	if (err != nil) != (w.got.code != "") {
		return fmt.Errorf("error %w, but error code %q", err, w.got.code)
	}
	return nil
}

// parse reads a cell as a value of the type; quotes are escaped in cells.
func parse(kind, text string) (any, error) {
	text = strings.ReplaceAll(text, `\"`, `"`)
	switch kind {
	case "Boolean":
		return strconv.ParseBool(text)
	case "String":
		return text, nil
	case "Integer":
		return strconv.ParseInt(text, 10, 64)
	case "Float":
		return strconv.ParseFloat(text, 64)
	case "Object":
		var value map[string]any
		err := json.Unmarshal([]byte(text), &value)
		return value, err
	}
	return nil, fmt.Errorf("unknown type %q", kind)
}

func equal[T any](what string, want, got T) error {
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s is %#v, want %#v", what, got, want)
	}
	return nil
}

// second registers the steps of evaluation_v2.feature.
func (w *world) second(s *godog.ScenarioContext) {
	w.common(s)
	s.Step(`^an? (\w+)-flag with key "([^"]*)" and a fallback value "(.*)"$`, func(kind, key, fallback string) (err error) {
		w.kind, w.key, w.about = kind, key, map[string]any{}
		w.fallback, err = parse(kind, fallback)
		return err
	})
	s.Step(`^a context containing a key "([^"]*)", with type "(\w+)" and with value "(.*)"$`, func(name, kind, text string) (err error) {
		w.about[name], err = parse(kind, text)
		return err
	})
	s.Step(`^a context containing a key "([^"]*)" with null value$`, func(name string) { w.about[name] = nil })
	s.Step(`^the flag was evaluated with details$`, w.evaluate)
	s.Step(`^the resolved details value should be "(.*)"$`, func(text string) error {
		want, err := parse(w.kind, text)
		if err != nil {
			return err
		}
		return equal("the value", want, w.got.value)
	})
	s.Step(`^the reason should be "(\w+)"$`, func(want string) error { return equal("the reason", want, w.got.reason) })
	s.Step(`^the error-code should be "(\w+)"$`, func(want string) error { return equal("the error code", want, w.got.code) })
	s.Step(`^the flag key should be "(.*)"$`, func(want string) error { return equal("the flag key", want, w.got.flagKey) })
	s.Step(`^the variant should be "(.*)"$`, func(want string) error { return equal("the variant", want, w.got.variant) })
	s.Step(`^the resolved metadata should contain$`, w.checkMetadata)
}

func (w *world) checkMetadata(table *godog.Table) error {
	for _, row := range table.Rows[1:] {
		name, kind, text := row.Cells[0].Value, row.Cells[1].Value, row.Cells[2].Value
		want, err := parse(kind, text)
		if err != nil {
			return err
		}
		var got any
		switch kind {
		case "Integer":
			// JSON has one kind of number, and the provider hands every one on as a float64.
			var number float64
			number, err = w.got.metadata.GetFloat(name)
			got = int64(number)
			if float64(int64(number)) != number {
				err = fmt.Errorf("metadata %s is %v, not a whole number", name, number)
			}
		case "Float":
			got, err = w.got.metadata.GetFloat(name)
		case "Boolean":
			got, err = w.got.metadata.GetBool(name)
		default:
			got, err = w.got.metadata.GetString(name)
		}
		if err != nil {
			return err
		}
		if err := equal("metadata "+name, want, got); err != nil {
			return err
		}
	}
	return nil
}
