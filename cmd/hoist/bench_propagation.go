package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// propagating is what `bench propagation` was asked for.
type propagating struct {
	sizes         []int
	nodes, rounds int
	pause         time.Duration
}

func (a *app) benchPropagationCommand() *cobra.Command {
	p := &propagating{}
	c := &cobra.Command{
		Use: "propagation", Short: "Change a flag and wait for one who follows",
		Long: `Start server processes on loopback, fill an environment, let one subscriber follow it on the last node, and change one flag through the
first node again and again, once for every number of flags. WRITE is the time from sending the write to its answer, HEARD the time from sending
it to the subscriber having read the frame, and AFTER the time from the answer to then; it is 0 when the subscriber was first.`,
		Example: "  hoist bench propagation\n  hoist bench propagation --nodes 3 --flags 100,10000", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, size := range p.sizes {
				if size < 1 {
					return usage(cmd, "--flags must be at least 1")
				}
			}
			if p.nodes < 1 || p.rounds < 1 || p.pause < 0 {
				return usage(cmd, "--nodes and --rounds must be at least 1 and --pause not negative")
			}
			return a.benchPropagation(cmd.Context(), p)
		},
	}
	f := c.Flags()
	f.IntSliceVar(&p.sizes, "flags", []int{100, 100_000}, "flags in the environment, separated by commas")
	f.IntVar(&p.nodes, "nodes", 1, "nodes of the cluster")
	f.IntVar(&p.rounds, "rounds", 300, "changes")
	f.DurationVar(&p.pause, "pause", 5*time.Millisecond, "between a change's arrival and the next change")
	return a.printing(c, "table", "json", "yaml")
}

// propagated is what one number of flags measured.
type propagated struct {
	Flags int       `json:"flags"`
	Nodes int       `json:"nodes"`
	Write quantiles `json:"writeMs"`
	Heard quantiles `json:"heardMs"`
	After quantiles `json:"afterMs"`
	Bars  []bar     `json:"histogram"` // of heard
}

func (a *app) benchPropagation(ctx context.Context, p *propagating) error {
	var all []propagated
	for _, size := range p.sizes {
		one, err := a.propagate(ctx, p, size)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	if a.output != "table" {
		return a.showJSON(map[string]any{"results": all})
	}
	v := view{header: []string{"FLAGS", "NODES", "WRITE P50 MS", "P99", "HEARD P50 MS", "P99", "AFTER P50 MS", "P99"}}
	for _, m := range all {
		row := []string{fmt.Sprint(m.Flags), fmt.Sprint(m.Nodes)}
		for _, q := range []quantiles{m.Write, m.Heard, m.After} {
			row = append(row, fmt.Sprintf("%.2f", q.P50), fmt.Sprintf("%.2f", q.P99))
		}
		v.rows = append(v.rows, row)
	}
	return a.show(v)
}

func (a *app) propagate(ctx context.Context, p *propagating, flags int) (_ propagated, err error) {
	children, stop, err := startBenchServers(p.nodes)
	if err != nil {
		return propagated{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	a.talk("%d flag(s) …", flags)
	first, last := children[0], children[len(children)-1]
	key, err := a.loadMany(ctx, first.node, flags)
	if err != nil {
		return propagated{}, err
	}
	if err := awaitCurrent(ctx, children); err != nil {
		return propagated{}, err
	}
	one := &crowd{addr: last.http, key: key, on: true}
	defer one.leave()
	if err := one.grow(ctx, 1); err != nil {
		return propagated{}, err
	}
	var write, heard, after []time.Duration
	for range p.rounds {
		answered, arrived, err := one.change(ctx, first)
		if err != nil {
			return propagated{}, err
		}
		write, heard, after = append(write, answered), append(heard, arrived[0]), append(after, max(0, arrived[0]-answered))
		sleepUntil(ctx, time.Now().Add(p.pause))
	}
	return propagated{Flags: flags, Nodes: p.nodes, Write: quantilesOf(write), Heard: quantilesOf(heard), After: quantilesOf(after),
		Bars: histogram(heard)}, nil
}

// startBenchServers starts a cluster of processes whose data goes when stop is called.
func startBenchServers(count int) (children []*child, stop func() error, err error) {
	dir, err := os.MkdirTemp("", "hoist-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	stop = func() error {
		var all []error
		for _, c := range children {
			all = append(all, c.stop())
		}
		return errors.Join(append(all, os.RemoveAll(dir))...)
	}
	if children, err = newChildren(dir, count); err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	for _, c := range children {
		if err := c.start(gossipOf(children)); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
	}
	return children, stop, nil
}

// change sets the flag the other way through server and waits until all subscribers have heard of it. answered is how long
// the write took, arrived how long after it was sent each heard.
func (c *crowd) change(ctx context.Context, server *child) (answered time.Duration, arrived []time.Duration, err error) {
	c.on = !c.on
	now := &spread{times: make([]time.Duration, len(c.all)), arrived: make(chan struct{})}
	now.pending.Store(int64(len(c.all)))
	now.sent = time.Now()
	c.now.Store(now)
	defer c.now.Store(nil)
	_, err = server.node.flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Environment: defaultEnvironment, Key: c.key, Enabled: c.on})
	if err != nil {
		return 0, nil, err
	}
	answered = time.Since(now.sent)
	select {
	case <-now.arrived:
	case <-time.After(30 * time.Second):
		return 0, nil, fmt.Errorf("%d of %d subscribers did not hear of a change within 30 s", now.pending.Load(), len(c.all))
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	return answered, now.times, nil
}
