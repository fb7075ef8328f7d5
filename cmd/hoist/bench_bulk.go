package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"
)

const bulkPath = "/ofrep/v1/evaluate/flags"

func (a *app) benchBulkCommand() *cobra.Command {
	q := &asking{}
	c := &cobra.Command{
		Use: "bulk", Short: "Evaluate all flags of an environment at once, and ask again with the ETag",
		Long: `Evaluate every flag of an environment through OFREP's bulk route, then the same with If-None-Match and the ETag of that answer, which a
server that knows that nothing has changed answers with 304 and no body. The server is an in-memory node of this process, or any server that
speaks OFREP, with --url. One that sends no ETag is only asked for whole answers.

The base of --compare-baseline is that of "hoist bench ofrep": one small answer per request, whatever the number of flags is here.`,
		Example: `  hoist bench bulk --compare-baseline
  hoist bench bulk --flags 1000
  hoist bench bulk --url http://127.0.0.1:8080`, Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(cmd); err != nil {
				return err
			}
			return a.benchBulk(cmd.Context(), q)
		},
	}
	q.register(c, 100)
	return a.printing(c, "table", "json", "yaml")
}

// smallAnswer is what one evaluation answers, for the base: bulk is compared with single evaluations.
const smallAnswer = `{"key":"static","value":true,"reason":"STATIC","variant":"on","metadata":{"hoist.revision":123}}`

func (a *app) benchBulk(ctx context.Context, q *asking) (err error) {
	at, stop, err := q.open(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	bodies := q.bodies()
	whole := at.target("bulk", bulkPath, "application/json", "", bodies)
	first, err := whole.once(ctx)
	if err != nil {
		return err
	}
	a.talk("an answer has %d bytes", len(first.body))
	targets := []target{whole}
	if first.etag != "" {
		// The tag depends on the context, so all of these ask about the one user it was given to.
		same := at.target("bulk, not modified", bulkPath, "application/json", "If-None-Match: "+first.etag+"\r\n", bodies[:1])
		same.status = http.StatusNotModified
		targets = append(targets, same)
	} else {
		a.talk("this server sends no ETag")
	}
	if q.compare {
		base, stop, err := bases(ctx, []byte(smallAnswer), whole.requests)
		if err != nil {
			return err
		}
		defer stop()
		targets = append(targets, base...)
	}
	all, err := q.contest(ctx, a.talk, q.connections, targets)
	if err != nil {
		return err
	}
	return a.showMeasured(all)
}
