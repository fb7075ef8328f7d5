package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// failoverBench is what the flags of the command say.
type failoverBench struct {
	*app
	kills, rolls int
	flags        []int
}

// failoverResult is the report, in milliseconds.
type failoverResult struct {
	Kills    int       `json:"kills"`
	Failover quantiles `json:"nextWriteAfterKillMs"`
	Restarts int       `json:"gracefulRestarts"`
	Gap      quantiles `json:"longestWriteGapMs"`
	Writes   int       `json:"writesDuringRestarts"`
	Failed   int       `json:"failedWrites"` // not acknowledged in 10 s under one request id
	Serve    []served  `json:"restarts"`
}

// served is how soon a killed server answers evaluations again.
type served struct {
	Flags int     `json:"flags"`
	Ms    float64 `json:"servesAfterMs"` // median of three
}

func (a *app) benchFailoverCommand() *cobra.Command {
	b := &failoverBench{app: a}
	c := &cobra.Command{
		Use: "failover", Short: "Kill leaders, restart nodes in turn and time how long writes stand still",
		Long: `Start three server processes on loopback. Kill the leader with SIGKILL again and again, and time the next acknowledged write, which is tried
on the others every 5 ms under one request id. Then stop and start every node gracefully in turn while four clients write, and take the
longest time without any acknowledged write around each restart. At last kill one server that holds many flags, and time its start until it
answers an evaluation.`,
		Example: "  hoist bench failover\n  hoist bench failover --kills 100 -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.kills < 1 || b.rolls < 0 {
				return usage(cmd, "--kills must be at least 1 and --rolls at least 0")
			}
			return b.run(cmd.Context())
		},
	}
	c.Flags().IntVar(&b.kills, "kills", 100, "how often the leader is killed")
	c.Flags().IntVar(&b.rolls, "rolls", 10, "how often all three nodes are restarted in turn")
	c.Flags().IntSliceVar(&b.flags, "flags", []int{10_000, 100_000}, "numbers of flags that a restarted server holds")
	return a.printing(c, "table", "json", "yaml")
}

func (b *failoverBench) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "hoist-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	children, err := newChildren(dir, demoNodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopAll(children)) }()
	for _, c := range children {
		if err := c.start(gossipOf(children)); err != nil {
			return err
		}
	}
	if err := awaitCurrent(ctx, children); err != nil {
		return err
	}
	result := failoverResult{}
	if err := b.failovers(ctx, children, &result); err != nil {
		return err
	}
	if err := b.rollings(ctx, children, &result); err != nil {
		return err
	}
	if err := stopAll(children); err != nil {
		return err
	}
	for _, count := range b.flags {
		s, err := b.serve(ctx, count)
		if err != nil {
			return err
		}
		result.Serve = append(result.Serve, s)
	}
	return b.show(result)
}

// scribe writes one config after the other; a write goes from node to node under one request id until it is settled.
type scribe struct {
	children []*child

	mu      sync.Mutex
	last    time.Time     // of an acknowledgement
	longest time.Duration // without one, since the last reset
	done    int
	failed  int
}

// write returns when the write is acknowledged, or after ten seconds.
func (s *scribe) write(ctx context.Context, key string, first int) {
	request := &hoistv1.PutFlagRequest{Environment: defaultEnvironment,
		Flag:  &hoistv1.Flag{Key: key, Kind: "config", Type: "number", Value: structpb.NewNumberValue(float64(time.Now().UnixNano() % 1e9))},
		Write: &hoistv1.WriteOptions{RequestId: fsm.NewRequestID(time.Now().UnixMilli(), uuid.New())}}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for turn := first; limited.Err() == nil; turn++ {
		c := s.children[turn%len(s.children)]
		if !c.serves.Load() {
			continue
		}
		one, done := context.WithTimeout(limited, 3*time.Second)
		_, err := c.node.flags.Put(one, request)
		done()
		if err == nil {
			s.acknowledged()
			return
		}
		sleepUntil(limited, time.Now().Add(5*time.Millisecond))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
}

func (s *scribe) acknowledged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.last.IsZero() {
		s.longest = max(s.longest, now.Sub(s.last))
	}
	s.last = now
	s.done++
}

// reset begins a new measurement and gives the longest gap of the former.
func (s *scribe) reset() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	longest := s.longest
	s.longest = 0
	return longest
}

func (b *failoverBench) failovers(ctx context.Context, children []*child, result *failoverResult) error {
	k := &killer{children: children}
	var times []time.Duration
	for len(times) < b.kills {
		victim := k.leader(ctx)
		if victim == nil {
			if !sleepUntil(ctx, time.Now().Add(50*time.Millisecond)) {
				return ctx.Err()
			}
			continue
		}
		at := time.Now()
		if err := victim.kill(); err != nil {
			return err
		}
		s := &scribe{children: children}
		s.write(ctx, fmt.Sprint("after-kill-", len(times)%50), indexOf(children, victim)+1)
		if s.failed > 0 {
			return failed("the logs in the data folder", "no write was acknowledged within 10 s of a kill")
		}
		times = append(times, s.last.Sub(at))
		if len(times)%10 == 0 {
			b.talk("%d kills …", len(times))
		}
		if err := errors.Join(victim.start(gossipOf(children)), awaitCurrent(ctx, children)); err != nil {
			return err
		}
	}
	result.Kills, result.Failover = len(times), quantilesOf(times)
	return nil
}

// rollings restarts every node in turn under load, followers first and the leader last.
func (b *failoverBench) rollings(ctx context.Context, children []*child, result *failoverResult) error {
	s := &scribe{children: children}
	load, stop := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for i := client; sleepUntil(load, time.Now().Add(2*time.Millisecond)); i++ {
				s.write(load, fmt.Sprintf("load-%d-%d", client, i%20), i)
			}
		})
	}
	var gaps []time.Duration
	err := func() error {
		for round := range b.rolls {
			b.talk("rolling restart %d of %d …", round+1, b.rolls)
			order := slices.Clone(children)
			if leader := (&killer{children: children}).leader(ctx); leader != nil {
				order = append(slices.DeleteFunc(order, func(c *child) bool { return c == leader }), leader)
			}
			for _, c := range order {
				s.reset()
				if err := errors.Join(c.stop(), c.start(gossipOf(children)), awaitCurrent(ctx, children)); err != nil {
					return err
				}
				gaps = append(gaps, s.reset())
			}
		}
		return nil
	}()
	stop()
	clients.Wait()
	result.Restarts, result.Gap, result.Writes, result.Failed = len(gaps), quantilesOf(gaps), s.done, s.failed
	return err
}

// serve fills one server with flags, kills it and times its next start.
func (b *failoverBench) serve(ctx context.Context, count int) (s served, err error) {
	dir, err := os.MkdirTemp("", "hoist-bench-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	all, err := newChildren(dir, 1)
	if err != nil {
		return s, err
	}
	c := all[0]
	if err := c.start(gossipOf(all)); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := awaitCurrent(ctx, all); err != nil {
		return s, err
	}
	b.talk("%d flags …", count)
	content := manyFlags(count)
	const part = 5000
	for rest := content.Flags; len(rest) > 0; rest = rest[min(part, len(rest)):] {
		_, err := c.node.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: defaultEnvironment,
			Manifest: manifestOf(fsm.Content{Flags: rest[:min(part, len(rest))]}), Write: &hoistv1.WriteOptions{}})
		if err != nil {
			return s, err
		}
	}
	var times []time.Duration
	for range 3 {
		if err := c.kill(); err != nil {
			return s, err
		}
		from := time.Now()
		if err := c.start(gossipOf(all)); err != nil {
			return s, err
		}
		if err := c.answers(ctx, content.Flags[count-1].Key); err != nil {
			return s, err
		}
		times = append(times, time.Since(from))
	}
	slices.Sort(times)
	return served{Flags: count, Ms: float64(times[1].Microseconds()) / 1000}, nil
}

// answers waits until the node evaluates a flag.
func (c *child) answers(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := c.node.eval.Evaluate(ctx, &hoistv1.EvaluateRequest{Environment: defaultEnvironment, Key: key})
		if err == nil {
			return nil
		}
		if !sleepUntil(ctx, time.Now().Add(2*time.Millisecond)) {
			return fmt.Errorf("%s does not evaluate: %w", c.name, err)
		}
	}
}

func (b *failoverBench) show(r failoverResult) error {
	if b.output != "table" {
		return b.showJSON(r)
	}
	v := view{header: []string{"WHAT", "P50 MS", "P99 MS", "GOAL MS", "COUNT"}}
	row := func(what string, q quantiles, goal string, count int) {
		v.rows = append(v.rows, []string{what, fmt.Sprintf("%.0f", q.P50), fmt.Sprintf("%.0f", q.P99), goal, fmt.Sprint(count)})
	}
	row("next write after SIGKILL of the leader", r.Failover, "700 / 1200", r.Kills)
	row("longest write gap of a graceful restart", r.Gap, "- / 100", r.Restarts)
	for _, s := range r.Serve {
		goal := "2000"
		if s.Flags <= 10_000 {
			goal = "300"
		}
		row(fmt.Sprintf("a killed server evaluates again, %d flags", s.Flags), quantiles{s.Ms, s.Ms}, goal, 3)
	}
	if err := b.app.show(v); err != nil {
		return err
	}
	fmt.Fprintf(b.stdout, "%d writes during the restarts, %d failed\n", r.Writes, r.Failed)
	return nil
}
