package client

import (
	"fmt"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

// Details are an answer and how it came about.
type Details[T any] struct {
	Key       string
	Value     T // the caller's default when Err is not nil, and when the flag serves no value
	Variant   string
	Reason    evaluator.Reason
	RuleID    string // the rule that decided; empty for the default
	Label     string // such as that of a rollout, or "kill"
	ErrorCode evaluator.ErrorCode
	Detail    string // of the error, for people
	Revision  uint64 // of the snapshot that answered
	Age       time.Duration
	Stale     bool                  // older than Config.StaleAfter
	Metadata  []evaluator.Attribute // the flag's own, sorted by name; shared, not to be changed
}

// Err is the error of the answer; nil when there is none.
func (d Details[T]) Err() error {
	if d.ErrorCode == "" {
		return nil
	}
	return fmt.Errorf("flag %q: %s: %s", d.Key, d.ErrorCode, d.Detail)
}

// Exposure is one evaluation by a getter: who was shown what.
type Exposure struct {
	Key       string
	Context   *evaluator.Context
	Value     evaluator.Value // null when the caller's default was served
	Variant   string
	Reason    evaluator.Reason
	RuleID    string
	Label     string
	ErrorCode evaluator.ErrorCode
	Revision  uint64
}

// Bool returns the value of a boolean flag, or otherwise when there is none. about says who asks; nil is nobody.
func (c *Client) Bool(key string, otherwise bool, about *evaluator.Context) bool {
	return get(c, key, otherwise, about, asBool).Value
}

// String returns the value of a string flag, or otherwise when there is none.
func (c *Client) String(key, otherwise string, about *evaluator.Context) string {
	return get(c, key, otherwise, about, asString).Value
}

// Int returns the value of a number flag, or otherwise when there is none or it is not a whole number.
func (c *Client) Int(key string, otherwise int64, about *evaluator.Context) int64 {
	return get(c, key, otherwise, about, asInt).Value
}

// Float returns the value of a number flag, or otherwise when there is none.
func (c *Client) Float(key string, otherwise float64, about *evaluator.Context) float64 {
	return get(c, key, otherwise, about, asFloat).Value
}

// Object returns the value of an object flag, or otherwise when there is none.
func (c *Client) Object(key string, otherwise evaluator.Value, about *evaluator.Context) evaluator.Value {
	return get(c, key, otherwise, about, asObject).Value
}

// BoolDetails is Bool with how the answer came about.
func (c *Client) BoolDetails(key string, otherwise bool, about *evaluator.Context) Details[bool] {
	return aged(c, get(c, key, otherwise, about, asBool))
}

// StringDetails is String with how the answer came about.
func (c *Client) StringDetails(key, otherwise string, about *evaluator.Context) Details[string] {
	return aged(c, get(c, key, otherwise, about, asString))
}

// IntDetails is Int with how the answer came about.
func (c *Client) IntDetails(key string, otherwise int64, about *evaluator.Context) Details[int64] {
	return aged(c, get(c, key, otherwise, about, asInt))
}

// FloatDetails is Float with how the answer came about.
func (c *Client) FloatDetails(key string, otherwise float64, about *evaluator.Context) Details[float64] {
	return aged(c, get(c, key, otherwise, about, asFloat))
}

// ObjectDetails is Object with how the answer came about.
func (c *Client) ObjectDetails(key string, otherwise evaluator.Value, about *evaluator.Context) Details[evaluator.Value] {
	return aged(c, get(c, key, otherwise, about, asObject))
}

// Sentences of errors, constant so that an answer with one costs no more than another.
const (
	detailNotReady = "no flags have arrived yet"
	detailNotFound = "there is no such flag"
	detailKey      = "a split decides this flag and the context has no targeting key"
	detailContext  = "a split decides this flag and the context lacks the attribute it goes by"
	detailType     = "the flag serves a value of another type"
	detailStale    = "what is known is older than Config.StaleAfter"
)

// get answers one question. read takes the value as T, and fails for a value of another type.
func get[T any](c *Client, key string, otherwise T, about *evaluator.Context, read func(evaluator.Value) (T, bool)) Details[T] {
	if about == nil {
		about = &c.nobody
	}
	r, metadata, detail := c.answer(key, about)
	d := Details[T]{
		Key: key, Value: otherwise, Variant: r.Variant, Reason: r.Reason, RuleID: r.RuleID, Label: r.Label,
		ErrorCode: r.ErrorCode, Detail: detail, Revision: r.Revision, Metadata: metadata,
	}
	if r.HasValue {
		if value, ok := read(r.Value); ok {
			d.Value = value
		} else {
			d.Variant, d.Reason, d.ErrorCode, d.Detail = "", evaluator.ReasonError, evaluator.ErrorTypeMismatch, detailType
			r.Value = evaluator.Value{}
		}
	}
	for _, hook := range c.hooks {
		hook(Exposure{
			Key: key, Context: about, Value: r.Value, Variant: d.Variant, Reason: d.Reason, RuleID: d.RuleID, Label: d.Label,
			ErrorCode: d.ErrorCode, Revision: d.Revision,
		})
	}
	return d
}

// answer evaluates, and gives an error code its sentence.
func (c *Client) answer(key string, about *evaluator.Context) (r evaluator.Result, metadata []evaluator.Attribute, detail string) {
	s := c.live.Snapshot()
	r = evaluator.Result{Reason: evaluator.ReasonError, Revision: s.Revision()}
	if s.Epoch() == "" {
		r.ErrorCode = evaluator.ErrorProviderNotReady
		return r, nil, detailNotReady
	}
	if c.whenStale != ServeStale && c.stale(c.Status()) {
		if c.whenStale == ServeDefault {
			r.Reason = evaluator.ReasonDefault
			return r, nil, ""
		}
		r.ErrorCode = evaluator.ErrorGeneral
		return r, nil, detailStale
	}
	flag, _, ok := s.Flag(key)
	if !ok {
		r.ErrorCode = evaluator.ErrorFlagNotFound
		return r, nil, detailNotFound
	}
	c.use.Named(flag)
	r = s.EvaluateCompiled(flag, about)
	switch r.ErrorCode {
	case "":
		return r, flag.Metadata(), ""
	case evaluator.ErrorFlagNotFound: // archived
		return r, nil, detailNotFound
	case evaluator.ErrorTargetingKeyMissing:
		return r, flag.Metadata(), detailKey
	default:
		return r, flag.Metadata(), detailContext
	}
}

// aged adds how old the answer is.
func aged[T any](c *Client, d Details[T]) Details[T] {
	status := c.Status()
	d.Age, d.Stale = status.Age(), c.stale(status)
	return d
}

func asBool(v evaluator.Value) (bool, bool) { return v.AsBool(), v.Kind() == evaluator.KindBool }
func asString(v evaluator.Value) (string, bool) {
	return v.AsString(), v.Kind() == evaluator.KindString
}
func asFloat(v evaluator.Value) (float64, bool) {
	return v.AsNumber(), v.Kind() == evaluator.KindNumber
}

func asObject(v evaluator.Value) (evaluator.Value, bool) { return v, v.Kind() == evaluator.KindObject }

// asInt takes whole numbers up to 2^53: flags hold no others.
func asInt(v evaluator.Value) (int64, bool) {
	n := v.AsNumber()
	return int64(n), v.Kind() == evaluator.KindNumber && n == float64(int64(n))
}
