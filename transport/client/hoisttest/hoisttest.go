// Package hoisttest gives tests flags without a server: Flags is a real client.Client over flags that the test sets, so
// the code under test runs through the same evaluator as in production.
//
// Invariant: what Set has returned from is what every getter answers from then on; two Flags never share anything.
//
//	flags := hoisttest.New(t).Set("new-checkout", true)
//	shop := NewShop(flags.Client)
//	…
//	flags.Set("new-checkout", false) // seen by the next evaluation
package hoisttest

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client"
)

// Flags are the flags of one test. They are safe for concurrent use.
type Flags struct {
	*client.Client
	t    testing.TB
	live *evaluator.Live

	mu    sync.Mutex
	shown []client.Exposure
}

// New returns Flags without any flag.
func New(t testing.TB) *Flags {
	t.Helper()
	f := &Flags{t: t, live: evaluator.NewLive(evaluator.EmptySnapshot("test"))}
	f.Client = client.Serving(f.live, func(e client.Exposure) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.shown = append(f.shown, e)
	})
	return f
}

// Set makes the flag serve value to everybody: a bool, a string, a number, or anything that encoding/json makes an
// object of. The variant is called "set".
func (f *Flags) Set(key string, value any) *Flags {
	f.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		f.t.Fatalf("hoisttest: %s: %v", key, err)
	}
	var v evaluator.Value
	if err := json.Unmarshal(text, &v); err != nil {
		f.t.Fatalf("hoisttest: %s: %v", key, err)
	}
	types := map[evaluator.ValueKind]evaluator.Type{
		evaluator.KindBool: evaluator.TypeBoolean, evaluator.KindString: evaluator.TypeString,
		evaluator.KindNumber: evaluator.TypeNumber, evaluator.KindObject: evaluator.TypeObject,
	}
	if types[v.Kind()] == "" {
		f.t.Fatalf("hoisttest: %s: no flag serves %s; use a bool, a string, a number or an object", key, text)
	}
	variants := []evaluator.Variant{{Key: "set", Value: &v}}
	if v.Kind() == evaluator.KindBool { // a boolean flag has both
		opposite := evaluator.Bool(!v.AsBool())
		variants = append(variants, evaluator.Variant{Key: "opposite", Value: &opposite})
	}
	return f.put(&evaluator.Flag{
		Key: key, Type: types[v.Kind()], Enabled: true, Variants: variants, Default: &evaluator.Serve{Variant: "set"},
	})
}

// Define sets a flag of any shape, given as the JSON of its definition.
func (f *Flags) Define(definition string) *Flags {
	f.t.Helper()
	flag, err := evaluator.DecodeFlag([]byte(definition))
	if err != nil {
		f.t.Fatalf("hoisttest: %v", err)
	}
	return f.put(flag)
}

// Remove removes a flag.
func (f *Flags) Remove(key string) *Flags {
	return f.change(evaluator.Changes{RemovedFlags: []string{key}})
}

// Exposures lists what the getters answered so far, the oldest first.
func (f *Flags) Exposures() []client.Exposure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]client.Exposure{}, f.shown...)
}

func (f *Flags) put(flag *evaluator.Flag) *Flags {
	f.t.Helper()
	compiled, err := evaluator.Compile(flag)
	if err != nil {
		f.t.Fatalf("hoisttest: %s: %v", flag.Key, err)
	}
	return f.change(evaluator.Changes{Flags: []*evaluator.Compiled{compiled}})
}

func (f *Flags) change(c evaluator.Changes) *Flags {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.live.Snapshot()
	c.Revision, c.At = now.Revision()+1, time.Now().UnixMilli()
	f.live.Publish(now.With(c))
	return f
}
