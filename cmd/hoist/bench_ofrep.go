package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// asking is what the commands share that evaluate through a door.
type asking struct {
	benchmark
	url, token, environment string
	keys                    []string
	context                 string
	connections, users      int
	flags                   int
}

func (q *asking) register(c *cobra.Command, size int) {
	q.benchmark.flags(c, "two bare net/http handlers")
	f := c.Flags()
	f.StringVar(&q.url, "url", "", "ask this server instead of an in-memory node of this process")
	f.StringVar(&q.token, "token", "", "credential for --url, sent as a bearer token (HOIST_TOKEN)")
	f.StringVarP(&q.environment, "env", "e", "", "environment to ask --url about, sent in X-Hoist-Environment")
	f.StringVar(&q.context, "context-json", `{"plan":"pro","country":"NL"}`, "attributes of the contexts; every user adds a targetingKey")
	f.IntVar(&q.users, "users", 1000, "how many different users ask")
	f.IntVar(&q.connections, "connections", 64, "keep-alive connections")
	f.IntVar(&q.flags, "flags", size, "flags of the in-memory node")
	f.IntVar(&q.rate, "rate", 0, "requests per second at fixed moments; 0: as fast as it goes")
}

func (q *asking) check(cmd *cobra.Command) error {
	if q.connections < 1 || q.users < 1 || q.flags < len(workloads()) || q.rate < 0 {
		return usage(cmd, "--connections and --users must be at least 1, --flags at least %d and --rate not negative", len(workloads()))
	}
	var attributes map[string]any
	if err := json.Unmarshal([]byte(q.context), &attributes); err != nil {
		return usage(cmd, "--context-json must be a JSON object: %v", err)
	}
	return q.benchmark.check(cmd)
}

// bodies are what the users send; user-9999, the first of them, is on the list of the workload that has one.
func (q *asking) bodies() [][]byte {
	var all [][]byte
	var attributes map[string]any
	_ = json.Unmarshal([]byte(q.context), &attributes) // check has read it
	if attributes == nil {
		attributes = map[string]any{}
	}
	for user := range q.users {
		attributes["targetingKey"] = fmt.Sprint("user-", (9999+user)%10_000)
		body, _ := json.Marshal(map[string]any{"context": attributes}) // came from JSON
		all = append(all, body)
	}
	return all
}

// aim is where requests go.
type aim struct{ addr, tls, prefix, header string }

// open starts an in-memory node with the workloads, or takes the server of --url.
func (q *asking) open(ctx context.Context, a *app) (aim, func() error, error) {
	if q.url != "" {
		p, err := q.remote()
		return p, func() error { return nil }, err
	}
	running, err := open(ctx, "127.0.0.1:0", cluster.Config{
		NodeName: "bench", BootstrapExpect: 1, Version: version, Logger: slog.New(slog.DiscardHandler)}, equipment{})
	if err != nil {
		return aim{}, nil, err
	}
	content := manyFlags(q.flags - len(workloads()))
	content.Flags = append(workloads(), content.Flags...)
	w := where{addr: running.address(), tenant: defaultTenant, environment: defaultEnvironment}
	made, err := enroll(ctx, w) // as any client does, every request brings a token
	var n *node
	if err == nil {
		w.token = made.Admin
		n, err = dial(w)
	}
	if err == nil {
		err = a.loadContent(ctx, n, content)
	}
	if err != nil {
		return aim{}, nil, errors.Join(err, running.close())
	}
	return aim{addr: running.address(), header: bearerLine(made.Server)}, running.close, nil
}

func bearerLine(token string) string { return "Authorization: Bearer " + token + "\r\n" }

func (q *asking) remote() (aim, error) {
	base, err := baseURL(q.url)
	if err != nil {
		return aim{}, failed("--url http://127.0.0.1:7700", "url: %v", err)
	}
	u, err := url.Parse(base)
	if err != nil {
		return aim{}, failed("--url http://127.0.0.1:7700", "url: %v", err)
	}
	p := aim{addr: u.Host, prefix: strings.TrimSuffix(u.EscapedPath(), "/")}
	port := "80"
	if u.Scheme == "https" {
		p.tls, port = u.Hostname(), "443"
	}
	if u.Port() == "" {
		p.addr = net.JoinHostPort(u.Hostname(), port)
	}
	if token := cmp.Or(q.token, os.Getenv("HOIST_TOKEN")); token != "" {
		p.header += bearerLine(token)
	}
	if q.environment != "" {
		p.header += "X-Hoist-Environment: " + q.environment + "\r\n"
	}
	return p, nil
}

// target asks path with every body in turn; client i begins somewhere else than its neighbours.
func (p aim) target(name, path, contentType, header string, bodies [][]byte) target {
	requests := make([][]byte, len(bodies))
	for i, body := range bodies {
		requests[i] = rawPostWith(p.header+header, p.prefix+path, contentType, body)
	}
	return target{name: name, addr: p.addr, tls: p.tls, requests: func(client int) [][]byte {
		at := client * 37 % len(requests)
		return append(requests[at:len(requests):len(requests)], requests[:at]...)
	}}
}

// workloads are the four flags that every evaluator is asked about: see docs/benchmarks.md.
func workloads() []*evaluator.Flag {
	yes, no := evaluator.Bool(true), evaluator.Bool(false)
	flag := func(key string) *evaluator.Flag {
		return &evaluator.Flag{Key: key, Type: evaluator.TypeBoolean, Enabled: true, Off: "off", Default: &evaluator.Serve{Variant: "off"},
			Variants: []evaluator.Variant{{Key: "on", Value: &yes}, {Key: "off", Value: &no}}}
	}
	fixed, rules, half, list := flag("static"), flag("five-rules"), flag("split"), flag("list-of-10000")
	fixed.Default.Variant = "on"
	for i, country := range []string{"DE", "FR", "ES", "IT", "NL"} {
		rules.Rules = append(rules.Rules, evaluator.Rule{ID: fmt.Sprint("rule-", i+1), Then: evaluator.Serve{Variant: "on"}, If: []evaluator.Clause{
			{Attribute: "country", Operator: evaluator.OpIn, Values: []evaluator.Value{evaluator.String(country)}}}})
	}
	half.Default = &evaluator.Serve{Split: &evaluator.Split{Weights: []evaluator.Weight{{Variant: "on", Weight: 50_000}, {Variant: "off", Weight: 50_000}}}}
	listed := evaluator.Clause{Attribute: "targetingKey", Operator: evaluator.OpIn}
	for i := range 10_000 {
		listed.Values = append(listed.Values, evaluator.String(fmt.Sprint("user-", i)))
	}
	list.Rules = []evaluator.Rule{{ID: "listed", Then: evaluator.Serve{Variant: "on"}, If: []evaluator.Clause{listed}}}
	return []*evaluator.Flag{fixed, rules, half, list}
}

// loadContent fills the default environment of a fresh node.
func (a *app) loadContent(ctx context.Context, n *node, content fsm.Content) error {
	if err := awaitLeader(ctx, n); err != nil {
		return err
	}
	manifest := manifestOf(content)
	a.timeout = 5 * time.Minute
	_, err := send(ctx, a, &writing{}, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
		return n.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: defaultEnvironment, Manifest: manifest, Write: o})
	})
	return err
}

func (a *app) benchOFREPCommand() *cobra.Command {
	q := &asking{}
	c := &cobra.Command{
		Use: "ofrep", Short: "Evaluate one flag over keep-alive connections",
		Long: `Evaluate single flags through OFREP: on an in-memory node of this process a constant flag, one with five rules of which the last matches,
a 50/50 split and a list of 10,000 keys; or on any server that speaks OFREP, with --url and --flag. Every target gets the same bodies over the
same number of connections, in turns, from a client that writes and reads bytes and does nothing else, so that the server is what is measured.

With --compare-baseline two bare net/http servers in this process join: the base decodes the request with encoding/json and writes a constant of
the same size; the bound reads the body without looking at it and writes the same. Ratios are those to the base, the medians over the rounds.`,
		Example: `  hoist bench ofrep --compare-baseline
  hoist bench ofrep --compare-baseline --rate 2000 --rounds 9 -o json
  hoist bench ofrep --url http://127.0.0.1:8080 --flag my-flag --compare-baseline`, Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.check(cmd); err != nil {
				return err
			}
			if q.url != "" && len(q.keys) == 0 {
				return usage(cmd, "--url needs --flag: which flag to ask about")
			}
			return a.benchOFREP(cmd.Context(), q)
		},
	}
	q.register(c, 1000)
	c.Flags().StringSliceVar(&q.keys, "flag", nil, "flags to ask about, separated by commas (default: the four workloads)")
	return a.printing(c, "table", "json", "yaml")
}

func (a *app) benchOFREP(ctx context.Context, q *asking) (err error) {
	at, stop, err := q.open(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	keys := q.keys
	if len(keys) == 0 {
		for _, f := range workloads() {
			keys = append(keys, f.Key)
		}
	}
	var targets []target
	for _, key := range keys {
		targets = append(targets, at.target(key, "/ofrep/v1/evaluate/flags/"+url.PathEscape(key), "application/json", "", q.bodies()))
	}
	return a.compete(ctx, q, targets)
}

// compete runs the targets and, when asked, the two bare handlers, and shows the result. The answer of the first target is
// what the bare handlers write.
func (a *app) compete(ctx context.Context, q *asking, targets []target) error {
	if q.compare {
		first, err := targets[0].once(ctx)
		if err != nil {
			return err
		}
		base, stop, err := bases(ctx, first.body, targets[0].requests)
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
