package evaluator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	stricter "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

func parse(text string) (*evaluator.Context, error) {
	c := new(evaluator.Context)
	err := evaluator.ParseContext([]byte(text), c)
	return c, err
}

func TestContextIsSortedAndTyped(t *testing.T) {
	c, err := parse(` {"z":[1,"a",null,[true]],"targetingKey":"u\u00e9","b":{"y":1,"x":"\"\n"},"a":-1.50e1,"n":null,"t":true,"big":9007199254740993} `)
	require.NoError(t, err)
	require.Equal(t, "ué", c.TargetingKey)
	var names []string
	for _, a := range c.Attributes {
		names = append(names, a.Name)
	}
	require.Equal(t, []string{"a", "b", "big", "n", "t", "z"}, names)
	require.Equal(t, evaluator.KindUnusable, c.Attributes[2].Value.Kind())
	require.Equal(t, `{"a":-15,"b":{"x":"\"\n","y":1},"big":9007199254740993,"n":null,"t":true,"targetingKey":"ué","z":[1,"a",null,[true]]}`,
		string(c.AppendCanonical(nil)))
}

func TestContextKeepsNothingOfTheOneBefore(t *testing.T) {
	c := new(evaluator.Context)
	require.NoError(t, evaluator.ParseContext([]byte(`{"targetingKey":"u","a":1,"b":2}`), c))
	require.NoError(t, evaluator.ParseContext([]byte(`{"c":3}`), c))
	require.Equal(t, `{"c":3}`, string(c.AppendCanonical(nil)))
}

func TestAbsentAndEmptyTargetingKeysDiffer(t *testing.T) {
	for text, canonical := range map[string]string{`{}`: `{}`, `{"targetingKey":null}`: `{}`, `{"targetingKey":""}`: `{"targetingKey":""}`} {
		c, err := parse(text)
		require.NoError(t, err)
		require.Empty(t, c.TargetingKey)
		require.Equal(t, canonical, string(c.AppendCanonical(nil)))
	}
}

func TestNewContextIsTheParsedOne(t *testing.T) {
	c := evaluator.NewContext("u", evaluator.Attribute{Name: "b", Value: evaluator.Number(1)},
		evaluator.Attribute{Name: "targetingKey", Value: evaluator.String("other")}, evaluator.Attribute{Name: "a", Value: evaluator.Bool(true)})
	parsed, err := parse(`{"targetingKey":"u","b":1,"a":true}`)
	require.NoError(t, err)
	require.Equal(t, parsed, c)
}

func TestContextErrorsNameWhatIsWrong(t *testing.T) {
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprintf(`"a%d":1`, i)
	}
	chunk := `"` + strings.Repeat("x", 4000) + `"`
	var large []string
	for i := range 17 {
		large = append(large, fmt.Sprintf(`"a%d":%s`, i, chunk))
	}
	for _, c := range []struct{ name, text, code, detail string }{
		{"empty", ``, "PARSE_ERROR", "expected a JSON value"},
		{"cut", `{"a":1`, "PARSE_ERROR", "expected , or }"},
		{"trailing data", `{} x`, "PARSE_ERROR", "after the value"},
		{"trailing comma", `{"a":1,}`, "PARSE_ERROR", "member name"},
		{"duplicate", `{"a":1,"b":2,"a":1}`, "PARSE_ERROR", `duplicate member "a"`},
		{"duplicate by escape", `{"a":1,"\u0061":1}`, "PARSE_ERROR", `duplicate member "a"`},
		{"duplicate inside", `{"o":{"a":1,"a":1}}`, "PARSE_ERROR", `duplicate member "a"`},
		{"duplicate targeting key", `{"targetingKey":"a","targetingKey":"a"}`, "PARSE_ERROR", "duplicate"},
		{"bad UTF-8", "{\"a\":\"\xff\"}", "PARSE_ERROR", "UTF-8"},
		{"lone surrogate", `{"a":"\ud800"}`, "PARSE_ERROR", "surrogate"},
		{"control character", "{\"a\":\"\n\"}", "PARSE_ERROR", "control character"},
		{"leading zero", `{"a":01}`, "PARSE_ERROR", ""},
		{"33 levels", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), "PARSE_ERROR", "deep"},
		{"null", `null`, "INVALID_CONTEXT", "object"},
		{"list", `[1]`, "INVALID_CONTEXT", "object"},
		{"text", `"x"`, "INVALID_CONTEXT", "object"},
		{"targeting key is a number", `{"targetingKey":7}`, "INVALID_CONTEXT", "targetingKey must be a string"},
		{"targeting key too long", `{"targetingKey":"` + strings.Repeat("k", 513) + `"}`, "INVALID_CONTEXT", "512"},
		{"201 attributes", "{" + strings.Join(many, ",") + "}", "INVALID_CONTEXT", `"a200"`},
		{"long name", `{"` + strings.Repeat("n", 129) + `":1}`, "INVALID_CONTEXT", "128"},
		{"long text", `{"bio":"` + strings.Repeat("n", 4097) + `"}`, "INVALID_CONTEXT", `"bio"`},
		{"long list", `{"l":[` + strings.Repeat("1,", 2100) + `1]}`, "INVALID_CONTEXT", `"l"`},
		{"too long together", "{" + strings.Join(large, ",") + "}", "INVALID_CONTEXT", "65536"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.text)
			var wrong *evaluator.ContextError
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, c.code, string(wrong.Code))
			require.Contains(t, wrong.Detail, c.detail)
		})
	}
	_, err := parse(strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32))
	require.NoError(t, err, "32 levels")
	_, err = parse("{" + strings.Join(many[:200], ",") + "}")
	require.NoError(t, err, "200 attributes")
}

func TestContextInsideABody(t *testing.T) {
	c := new(evaluator.Context)
	found, err := evaluator.ParseContextIn([]byte(`{"x":[1],"context":{"targetingKey":"u"},"y":null}`), "context", c)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "u", c.TargetingKey)

	found, err = evaluator.ParseContextIn([]byte(`{"other":1}`), "context", c)
	require.NoError(t, err)
	require.False(t, found)
	require.Empty(t, c.TargetingKey)

	for text, code := range map[string]string{`{`: "PARSE_ERROR", `{"context":{}} 1`: "PARSE_ERROR", `{"context":1}`: "INVALID_CONTEXT", `[]`: "INVALID_CONTEXT",
		`{"context":{},"context":{}}`: "PARSE_ERROR", `{"x":1,"x":2}`: "PARSE_ERROR", `{"context":{"targetingKey":7}}`: "INVALID_CONTEXT", `{"context":null}`: "INVALID_CONTEXT"} {
		_, err := evaluator.ParseContextIn([]byte(text), "context", c)
		var wrong *evaluator.ContextError
		require.ErrorAs(t, err, &wrong, text)
		require.Equal(t, code, string(wrong.Code), text)
	}
}

// The scanner is held to the strict decoder: it takes the same texts and reads the same values.
func FuzzParseContext(f *testing.F) {
	for _, seed := range []string{`{}`, `{"targetingKey":"u","a":[1,2.5e3,-0,{"b":null}],"c":"\ud83d\ude00\u00e9"}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `[1]`, `{"a":1e999}`,
		`{"a":123456789012345678}`, "{\"a\":\"\xc3\x28\"}", ` {"a" : true , "b":false}`, `{"targetingKey":""}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":-}`, `{"a":1.}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c evaluator.Context
		err := evaluator.ParseContext(data, &c)
		var reference map[string]any
		strict := stricter.Unmarshal(data, &reference, stricter.WithUnmarshalers(stricter.UnmarshalFromFunc(rawNumbers)))
		valid := jsontext.Value(data).IsValid()
		var wrong *evaluator.ContextError
		errors.As(err, &wrong)
		switch {
		case !valid:
			// A limit may be passed before the text turns out to be broken; either answer refuses it.
			require.NotNil(t, wrong)
			return
		case err != nil:
			require.NotNil(t, wrong)
			if wrong.Code == evaluator.ErrorParse {
				require.Contains(t, wrong.Detail, "deep", "only the depth limit refuses what is JSON")
			}
			return
		}
		require.NoError(t, strict)
		if key, ok := reference["targetingKey"]; ok && key == nil {
			delete(reference, "targetingKey")
		}
		var back map[string]any
		canonical := c.AppendCanonical(nil)
		require.NoError(t, stricter.Unmarshal(canonical, &back, stricter.WithUnmarshalers(stricter.UnmarshalFromFunc(rawNumbers))), string(canonical))
		require.Equal(t, reference, back)
		var again evaluator.Context
		require.NoError(t, evaluator.ParseContext(canonical, &again))
		require.Equal(t, string(canonical), string(again.AppendCanonical(nil)), "canonical is a fixed point")
	})
}

// rawNumbers reads numbers as float64, and as text when float64 cannot hold them.
func rawNumbers(dec *jsontext.Decoder, v *any) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	token, err := dec.ReadValue()
	if err != nil {
		return err
	}
	var f float64
	literal := string(token)
	if err := json.Unmarshal(token, &f); err != nil || (f > 1<<53-1 || f < -(1<<53-1)) && !strings.ContainsAny(literal, ".eE") {
		*v = literal
		return nil
	}
	*v = f
	if f == 0 {
		*v = float64(0)
	}
	return nil
}

// A float beyond 2^53 stays the number it was when a context is written and read again; an integer never becomes one.
func TestLargeNumbersSurviveTheCanonicalForm(t *testing.T) {
	c, err := parse(`{"float":1e20,"integer":100000000000000000000}`)
	require.NoError(t, err)
	again, err := parse(string(c.AppendCanonical(nil)))
	require.NoError(t, err)
	for _, context := range []*evaluator.Context{c, again} {
		require.True(t, context.Attributes[0].Value.Equal(evaluator.Number(1e20)))
		require.Equal(t, evaluator.KindUnusable, context.Attributes[1].Value.Kind())
	}
}
