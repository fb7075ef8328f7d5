package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// benchmark is what the bench commands share.
type benchmark struct {
	compare  bool
	rounds   int
	duration time.Duration
}

func (b *benchmark) flags(c *cobra.Command, against string) {
	f := c.Flags()
	f.BoolVar(&b.compare, "compare-baseline", false, "measure "+against+" too, in turns, and print the ratio")
	f.IntVar(&b.rounds, "rounds", 5, "rounds; medians are reported")
	f.DurationVar(&b.duration, "round", 2*time.Second, "length of one round")
}

func (b *benchmark) check(cmd *cobra.Command) error {
	if b.rounds < 1 || b.duration < 10*time.Millisecond {
		return usage(cmd, "--rounds must be at least 1 and --round at least 10ms")
	}
	return nil
}

func (a *app) benchCommand() *cobra.Command {
	return noun("bench", "Measure this machine and this binary", "  hoist bench ofrep --compare-baseline", nil,
		a.benchOFREPCommand(), a.benchFanoutCommand(), a.benchWritesCommand(), a.benchApplyCommand(), a.bareNodeCommand())
}

// measured is one line of a benchmark's report.
type measured struct {
	Name      string  `json:"name"`
	Clients   int     `json:"clients"`
	PerSecond float64 `json:"perSecond"` // median of the rounds
	P50       float64 `json:"p50Ms"`     // medians of the rounds' quantiles
	P99       float64 `json:"p99Ms"`
	Ratio     float64 `json:"ratioToBaseline,omitempty"`
}

func (a *app) showMeasured(all []measured) error {
	if a.output != "table" {
		return a.showJSON(map[string]any{"results": all})
	}
	v := view{header: []string{"WHAT", "CLIENTS", "PER SECOND", "P50 MS", "P99 MS", "OF BASELINE"}}
	for _, m := range all {
		ratio := ""
		if m.Ratio > 0 {
			ratio = fmt.Sprintf("%.1f %%", 100*m.Ratio)
		}
		v.rows = append(v.rows, []string{m.Name, fmt.Sprint(m.Clients), fmt.Sprintf("%.0f", m.PerSecond),
			fmt.Sprintf("%.3f", m.P50), fmt.Sprintf("%.3f", m.P99), ratio})
	}
	return a.show(v)
}

// contest pumps requests at one or more targets in turns, so that whatever the machine does meanwhile hits all alike.
// The last target is the baseline when there is more than one.
func (b *benchmark) contest(ctx context.Context, say func(string, ...any), clients int, targets []target) ([]measured, error) {
	rounds := make([][]burst, len(targets))
	for round := range b.rounds {
		say("%d client(s), round %d of %d …", clients, round+1, b.rounds)
		for i, t := range targets {
			result, err := t.pump(ctx, clients, b.duration)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.name, err)
			}
			rounds[i] = append(rounds[i], result)
		}
	}
	var all []measured
	for i, t := range targets {
		all = append(all, measured{Name: t.name, Clients: clients,
			PerSecond: median(rounds[i], func(b burst) float64 { return b.perSecond }),
			P50:       median(rounds[i], func(b burst) float64 { return b.latency.P50 }),
			P99:       median(rounds[i], func(b burst) float64 { return b.latency.P99 })})
	}
	if base := all[len(all)-1].PerSecond; len(all) > 1 && base > 0 {
		for i := range all[:len(all)-1] {
			all[i].Ratio = all[i].PerSecond / base
		}
	}
	return all, nil
}

func median(all []burst, of func(burst) float64) float64 {
	sorted := slices.SortedFunc(slices.Values(all), func(x, y burst) int { return cmp.Compare(of(x), of(y)) })
	return of(sorted[len(sorted)/2])
}

func (a *app) benchOFREPCommand() *cobra.Command {
	b := &benchmark{}
	var connections int
	c := &cobra.Command{
		Use: "ofrep", Short: "Evaluate one flag over keep-alive connections, as fast as it goes",
		Long: `Evaluate the flag new-checkout of examples/shop through OFREP on an in-memory node of this process. The baseline is a bare net/http server
in the same process whose handler reads the body and writes a constant of the same size. Both get the same requests over the same number
of keep-alive connections from the same client, which writes and reads bytes and does nothing else, so that the server is what is measured.`,
		Example: "  hoist bench ofrep --compare-baseline\n  hoist bench ofrep --compare-baseline --rounds 9 -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.check(cmd); err != nil {
				return err
			}
			if connections < 1 {
				return usage(cmd, "--connections must be at least 1")
			}
			return a.benchOFREP(cmd.Context(), b, connections)
		},
	}
	b.flags(c, "a bare net/http handler")
	c.Flags().IntVar(&connections, "connections", 64, "keep-alive connections")
	return a.printing(c, "table", "json", "yaml")
}

func (a *app) benchOFREP(ctx context.Context, b *benchmark, connections int) (err error) {
	running, err := open(ctx, "127.0.0.1:0", cluster.Config{
		NodeName: "bench", BootstrapExpect: 1, Version: version, Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, running.close()) }()
	if err := a.loadShop(ctx, running.address()); err != nil {
		return err
	}
	const path, body = "/ofrep/v1/evaluate/flags/new-checkout", `{"context":{"targetingKey":"user-1","plan":"pro","country":"DE"}}`
	request := rawPost(path, "application/json", []byte(body))
	ofrep := target{name: "ofrep", addr: running.address(), requests: func(int) [][]byte { return [][]byte{request} }}
	targets := []target{ofrep}
	if b.compare {
		answer, err := ofrep.once(ctx)
		if err != nil {
			return err
		}
		bare, stop, err := bareHandler(ctx, answer)
		if err != nil {
			return err
		}
		defer stop()
		targets = append(targets, target{name: "baseline: bare net/http", addr: bare, requests: ofrep.requests})
	}
	all, err := b.contest(ctx, a.talk, connections, targets)
	if err != nil {
		return err
	}
	return a.showMeasured(all)
}

// loadShop loads examples/shop into a fresh node.
func (a *app) loadShop(ctx context.Context, addr string) error {
	n, err := dial(where{addr: addr, tenant: defaultTenant, environment: defaultEnvironment})
	if err != nil {
		return err
	}
	if err := awaitLeader(ctx, n); err != nil {
		return err
	}
	shop, err := a.shopManifest()
	if err != nil {
		return err
	}
	a.timeout = 20 * time.Second
	_, err = send(ctx, a, &writing{}, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
		return n.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: defaultEnvironment, Manifest: shop, Write: o})
	})
	return err
}

// bareHandler serves answer to everything: the least that a net/http server can do with a request that has a body.
func bareHandler(ctx context.Context, answer []byte) (addr string, stop func(), err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("opening the baseline: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a client that has gone needs no answer
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with ErrServerClosed
	}()
	return listener.Addr().String(), func() { _ = server.Close(); <-done }, nil
}
