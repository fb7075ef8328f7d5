package client_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client"
	"github.com/hoistflags/hoist/transport/client/hoisttest"
)

// A program opens one client when it starts and asks it wherever a decision is made. With a cache file it starts even
// while no server can be reached.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	flags, err := client.Open(ctx, client.Config{
		Addr: "http://127.0.0.1:7700,http://127.0.0.1:7710", Environment: "production", CacheFile: "/var/lib/shop/flags",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer flags.Close()

	visitor := evaluator.NewContext("user-1", evaluator.Attribute{Name: "plan", Value: evaluator.String("pro")})
	if flags.Bool("new-checkout", false, visitor) {
		fmt.Println("the new checkout")
	}
}

// Details say how an answer came about.
func ExampleClient_BoolDetails() {
	flags := hoisttest.New(new(testing.T)).Set("new-checkout", true)

	d := flags.BoolDetails("new-checkout", false, nil)
	fmt.Println(d.Value, d.Variant, d.Reason, d.Revision)
	d = flags.BoolDetails("new-chekout", false, nil)
	fmt.Println(d.Value, d.Err())
	// Output:
	// true set STATIC 1
	// false flag "new-chekout": FLAG_NOT_FOUND: there is no such flag
}

// Numbers that are not whole have no Int, and a value of another type is never converted.
func ExampleClient_Int() {
	flags := hoisttest.New(new(testing.T)).Set("retries", 3).Set("ratio", 0.5)

	fmt.Println(flags.Int("retries", 1, nil), flags.Int("ratio", 1, nil), flags.String("retries", "none", nil))
	// Output: 3 1 none
}

// Events tell when answers may have changed, and for which flags.
func ExampleClient_Events() {
	flags := hoisttest.New(new(testing.T)).Set("new-checkout", false)
	for event := range flags.Events(context.Background()) {
		fmt.Println(event.Kind, event.Flags)
		if event.Kind == client.EventChanged {
			break
		}
		flags.Set("new-checkout", true)
	}
	// Output:
	// READY []
	// CHANGED [new-checkout]
}

// Hooks hear of every evaluation; they are where exposures are counted.
func ExampleServing() {
	doubles := hoisttest.New(new(testing.T)).Set("new-checkout", true)
	doubles.Bool("new-checkout", false, evaluator.NewContext("user-1"))
	for _, e := range doubles.Exposures() {
		fmt.Println(e.Key, e.Context.TargetingKey, e.Variant)
	}
	// Output: new-checkout user-1 set
}
