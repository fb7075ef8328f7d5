package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) benchApplyCommand() *cobra.Command {
	var rounds, flags int
	var src source
	c := &cobra.Command{
		Use: "apply", Short: "Apply thousands of flags to a 3-node cluster while it evaluates",
		Long: `Start three server processes on loopback, evaluate a flag every two milliseconds on each of them, and apply many flags in one step, each
round into a fresh environment; then ask for the difference. Reported are the medians of the rounds: how long apply and diff take, and how
the evaluations of the same nodes fare in quiet and during the apply.`,
		Example: "  hoist bench apply\n  hoist bench apply -f examples/cloudbees --format cloudbees", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rounds < 1 || flags < 1 {
				return usage(cmd, "--rounds and --flags must be at least 1")
			}
			content := manyFlags(flags)
			if src.path != "" {
				l, err := a.load(&src)
				if err != nil {
					return err
				}
				content = l.content
			}
			return a.benchApply(cmd.Context(), rounds, content)
		},
	}
	src.flags(c)
	c.Flags().IntVar(&rounds, "rounds", 5, "rounds; medians are reported")
	c.Flags().IntVar(&flags, "flags", 2002, "how many flags to make up when no --file is given")
	return a.printing(c, "table", "json", "yaml")
}

// manyFlags makes up flags with two rules each.
func manyFlags(count int) fsm.Content {
	yes, no := evaluator.Bool(true), evaluator.Bool(false)
	in := func(attribute string, values ...string) []evaluator.Clause {
		c := evaluator.Clause{Attribute: attribute, Operator: evaluator.OpIn}
		for _, v := range values {
			c.Values = append(c.Values, evaluator.String(v))
		}
		return []evaluator.Clause{c}
	}
	var content fsm.Content
	for i := range count {
		content.Flags = append(content.Flags, &evaluator.Flag{Key: fmt.Sprintf("service-%d.feature-%04d", i%40, i), Type: evaluator.TypeBoolean, Enabled: true,
			Variants: []evaluator.Variant{{Key: "on", Value: &yes}, {Key: "off", Value: &no}}, Off: "off", Default: &evaluator.Serve{Variant: "off"},
			Rules: []evaluator.Rule{
				{ID: "plan", If: in("plan", "pro", "team", "enterprise"), Then: evaluator.Serve{Variant: "on"}},
				{ID: "country", If: in("country", "DE", "FR", "ES", "IT"), Then: evaluator.Serve{Variant: "on"}}}})
	}
	return content
}

// appliedRound is one round's figures in milliseconds.
type appliedRound struct {
	Apply       float64 `json:"applyMs"`
	Diff        float64 `json:"diffMs"`
	Quiet       float64 `json:"quietP99Ms"`
	During      float64 `json:"duringP99Ms"`
	Slowest     float64 `json:"duringSlowestMs"`
	Evaluations int     `json:"evaluationsDuring"`
}

func (a *app) benchApply(ctx context.Context, rounds int, content fsm.Content) (err error) {
	dir, err := os.MkdirTemp("", "hoist-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a.talk("starting 3 servers …")
	children, err := newChildren(dir, demoNodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(children)) }()
	target, err := writeTarget(ctx, children, cluster.LogBolt)
	if err != nil {
		return err
	}
	a.timeout = 30 * time.Second
	b := &applyBench{app: a, children: children, leader: target.addr, manifest: manifestOf(content)}
	var all []appliedRound
	for i := range rounds {
		a.talk("round %d of %d …", i+1, rounds)
		r, err := b.round(ctx, fmt.Sprintf("round-%d", i))
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return b.show(all)
}

type applyBench struct {
	*app
	children []*child
	leader   string
	manifest *hoistv1.Manifest
}

func (b *applyBench) round(ctx context.Context, environment string) (appliedRound, error) {
	n, err := dial(where{addr: b.leader, tenant: defaultTenant, environment: environment})
	if err != nil {
		return appliedRound{}, err
	}
	if _, err := n.envs.Create(ctx, &hoistv1.CreateEnvironmentRequest{Key: environment}); err != nil {
		return appliedRound{}, err
	}
	quiet, err := b.evaluate(ctx, func() error { time.Sleep(2 * time.Second); return nil })
	if err != nil {
		return appliedRound{}, err
	}
	var apply, diff time.Duration
	during, err := b.evaluate(ctx, func() error {
		from := time.Now()
		_, err := n.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: environment, Manifest: b.manifest, Write: &hoistv1.WriteOptions{}})
		apply = time.Since(from)
		return err
	})
	if err != nil {
		return appliedRound{}, err
	}
	from := time.Now()
	got, err := n.manifest.Diff(ctx, &hoistv1.DiffRequest{Environment: environment, Manifest: b.manifest, Prune: true})
	diff = time.Since(from)
	if err == nil && len(got.GetChanges()) > 0 {
		err = fmt.Errorf("after the apply %d differences are left", len(got.GetChanges()))
	}
	return appliedRound{Apply: milliseconds(apply), Diff: milliseconds(diff), Quiet: quantilesOf(quiet).P99, During: quantilesOf(during).P99,
		Slowest: milliseconds(slices.Max(during)), Evaluations: len(during)}, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// evaluate asks every node every two milliseconds while work runs.
func (b *applyBench) evaluate(ctx context.Context, work func() error) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request := rawPost("/ofrep/v1/evaluate/flags/"+benchKey(0), "application/json", []byte(`{"context":{"targetingKey":"user-1"}}`))
	times, errs := make([][]time.Duration, len(b.children)), make([]error, len(b.children))
	var all sync.WaitGroup
	for i, c := range b.children {
		all.Go(func() { times[i], errs[i] = target{addr: c.http}.paced(ctx, request) })
	}
	err := work()
	cancel()
	all.Wait()
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return slices.Concat(times...), nil
}

// paced asks every two milliseconds until ctx ends.
func (t target) paced(ctx context.Context, request []byte) ([]time.Duration, error) {
	connection, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }() // measured is measured
	reader := bufio.NewReaderSize(connection, 8<<10)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	var times []time.Duration
	for {
		from := time.Now()
		if _, err := connection.Write(request); err != nil {
			return nil, err
		}
		if _, err := t.readAnswer(reader, io.Discard); err != nil {
			return nil, err
		}
		times = append(times, time.Since(from))
		select {
		case <-ctx.Done():
			return times, nil
		case <-ticker.C:
		}
	}
}

func (b *applyBench) show(all []appliedRound) error {
	mid := func(of func(appliedRound) float64) float64 {
		sorted := slices.SortedFunc(slices.Values(all), func(x, y appliedRound) int { return cmp.Compare(of(x), of(y)) })
		return of(sorted[len(sorted)/2])
	}
	total := appliedRound{Apply: mid(func(r appliedRound) float64 { return r.Apply }), Diff: mid(func(r appliedRound) float64 { return r.Diff }),
		Quiet: mid(func(r appliedRound) float64 { return r.Quiet }), During: mid(func(r appliedRound) float64 { return r.During }),
		Slowest: mid(func(r appliedRound) float64 { return r.Slowest }), Evaluations: int(mid(func(r appliedRound) float64 { return float64(r.Evaluations) }))}
	if b.output != "table" {
		return b.showJSON(map[string]any{"flags": len(b.manifest.GetFlags()), "median": total, "rounds": all})
	}
	v := view{header: []string{"FLAGS", "APPLY MS", "DIFF MS", "EVALUATION P99 MS QUIET", "DURING", "SLOWEST"}}
	ms := func(f float64) string { return fmt.Sprintf("%.2f", f) }
	v.rows = append(v.rows, []string{fmt.Sprint(len(b.manifest.GetFlags())), ms(total.Apply), ms(total.Diff), ms(total.Quiet), ms(total.During), ms(total.Slowest)})
	return b.app.show(v)
}
