package conformance

import (
	"context"
	"fmt"
	"strconv"

	"github.com/cucumber/godog"
)

// first registers the steps of evaluation.feature, the older suite with a sentence per type.
func (w *world) first(s *godog.ScenarioContext) {
	w.common(s)
	ask := func(ctx context.Context, kind, key, fallback string) (err error) {
		w.key, w.about = key, map[string]any{}
		if w.fallback, err = parse(kind, fallback); err != nil {
			return err
		}
		return w.evaluate(ctx)
	}
	for word, kind := range map[string]string{"boolean": "Boolean", "string": "String", "integer": "Integer", "float": "Float"} {
		s.Step(`^an? `+word+` flag with key "([^"]*)" is evaluated with (?:details and )?default value "?([^"]*)"?$`,
			func(ctx context.Context, key, fallback string) error { return ask(ctx, kind, key, fallback) })
		s.Step(`^the resolved `+word+` value should be "?([^"]*)"?$`, func(text string) error { return w.checkValue(kind, text) })
		s.Step(`^the resolved `+word+` details value should be "?([^",]*)"?, the variant should be "([^"]*)", and the reason should be "([^"]*)"$`,
			func(text, variant, reason string) error {
				if err := w.checkValue(kind, text); err != nil {
					return err
				}
				return w.checkVariant(variant, reason)
			})
	}
	s.Step(`^an object flag with key "([^"]*)" is evaluated with (?:details and )?a null default value$`, func(ctx context.Context, key string) error {
		w.key, w.about, w.fallback = key, map[string]any{}, nil
		return w.evaluate(ctx)
	})
	s.Step(`^the resolved object (?:details )?value should be contain fields "([^"]*)", "([^"]*)", and "([^"]*)", with values "([^"]*)", "([^"]*)" and (\d+), respectively$`, w.checkFields)
	s.Step(`^the variant should be "([^"]*)", and the reason should be "([^"]*)"$`, w.checkVariant)
	w.firstContext(s)
	w.firstErrors(s, ask)
}

func (w *world) checkValue(kind, text string) error {
	want, err := parse(kind, text)
	if err != nil {
		return err
	}
	return equal("the value", want, w.got.value)
}

func (w *world) checkVariant(variant, reason string) error {
	if err := equal("the variant", variant, w.got.variant); err != nil {
		return err
	}
	return equal("the reason", reason, w.got.reason)
}

func (w *world) checkFields(a, b, c, first, second, third string) error {
	flag, err := strconv.ParseBool(first)
	if err != nil {
		return err
	}
	number, err := strconv.ParseFloat(third, 64)
	if err != nil {
		return err
	}
	return equal("the value", any(map[string]any{a: flag, b: second, c: number}), w.got.value)
}

func (w *world) firstContext(s *godog.ScenarioContext) {
	s.Step(`^context contains keys "([^"]*)", "([^"]*)", "([^"]*)", "([^"]*)" with values "([^"]*)", "([^"]*)", (\d+), "([^"]*)"$`,
		func(a, b, c, d, first, second, third, fourth string) error {
			number, err := strconv.ParseInt(third, 10, 64)
			w.about = map[string]any{a: first, b: second, c: number, d: fourth}
			return err
		})
	s.Step(`^a flag with key "([^"]*)" is evaluated with default value "([^"]*)"$`, func(ctx context.Context, key, fallback string) error {
		w.key, w.fallback = key, fallback
		return w.evaluate(ctx)
	})
	s.Step(`^the resolved string response should be "([^"]*)"$`, func(want string) error { return w.checkValue("String", want) })
	s.Step(`^the resolved flag value is "([^"]*)" when the context is empty$`, func(ctx context.Context, want string) error {
		w.about = map[string]any{}
		if err := w.evaluate(ctx); err != nil {
			return err
		}
		return w.checkValue("String", want)
	})
}

func (w *world) firstErrors(s *godog.ScenarioContext, ask func(ctx context.Context, kind, key, fallback string) error) {
	s.Step(`^a non-existent string flag with key "([^"]*)" is evaluated with details and a fallback value "([^"]*)"$`,
		func(ctx context.Context, key, fallback string) error { return ask(ctx, "String", key, fallback) })
	s.Step(`^a string flag with key "([^"]*)" is evaluated as an integer, with details and a fallback value (\d+)$`,
		func(ctx context.Context, key, fallback string) error { return ask(ctx, "Integer", key, fallback) })
	s.Step(`^the default (?:string|integer) value should be returned$`, func() error { return equal("the value", w.fallback, w.got.value) })
	s.Step(`^the reason should indicate an error and the error code should indicate .* with "(\w+)"$`, func(code string) error {
		if w.got.reason != "ERROR" {
			return fmt.Errorf("the reason is %s", w.got.reason)
		}
		return equal("the error code", code, w.got.code)
	})
}
