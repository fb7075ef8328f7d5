// Command go-service greets with what the flag new-checkout says, evaluated in this process:
//
//	hoist dev examples/shop
//	HOIST_TOKEN=$(hoist token create --kind srv) go run .
//	curl localhost:8080
//	hoist flag kill new-checkout
//	curl localhost:8080
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/transport/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	start, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	flags, err := client.Open(start, client.Config{
		Addr:      cmp.Or(os.Getenv("HOIST_ADDR"), "127.0.0.1:7700"),
		Token:     os.Getenv("HOIST_TOKEN"),
		CacheFile: filepath.Join(os.TempDir(), "go-service.flags"), // it starts without a server next time
	})
	if err != nil {
		return err
	}
	defer flags.Close()

	go func() {
		for e := range flags.Events(ctx) {
			log.Println(e.Kind, e.Flags, e.Err)
		}
	}()
	web := &http.Server{Addr: cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:8080"), ReadHeaderTimeout: time.Second}
	web.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := cmp.Or(r.URL.Query().Get("user"), "ann")
		visitor := evaluator.NewContext(user, evaluator.Attribute{Name: "email", Value: evaluator.String(user + "@shop.example")})
		d := flags.BoolDetails("new-checkout", false, visitor)
		fmt.Fprintf(w, "%s: new checkout is %t (%s, revision %d, %s old)\n", visitor.TargetingKey, d.Value, d.Reason, d.Revision, d.Age.Round(time.Second))
	})
	go func() {
		<-ctx.Done()
		_ = web.Close()
	}()
	log.Println("listening on", web.Addr)
	if err := web.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
