package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// reconnecting is what `bench reconnect` was asked for.
type reconnecting struct {
	subscribers, flags, rounds int
	kill                       bool
	patience                   time.Duration
}

func (a *app) benchReconnectCommand() *cobra.Command {
	r := &reconnecting{}
	c := &cobra.Command{
		Use: "reconnect", Short: "Restart a server and wait for all who followed it",
		Long: `Start a server in a process of its own, let subscribers follow an environment from a position they have, each over a connection of its own,
restart the server on its data, and change a flag as soon as it takes writes. Subscribers come back as the Go client does: at a random moment
that the server asks for when it stops, after random pauses that grow when it is gone or refuses them. DOWN is the time from the stop to the
answer of the write; P50, P99 and LAST count from that answer to the moment a subscriber holds the change. SNAPSHOTS are those that the
subscribers were sent meanwhile: all of them have a position, so each should be sent a difference. REFUSED are tries that the server turned
away. Memory is the server's: BEFORE the restart, the highest that was seen while the subscribers came back, and AFTER. Two file descriptors
are needed per subscriber on this machine, one in each process.`,
		Example: "  hoist bench reconnect\n  hoist bench reconnect --subscribers 1000 --flags 10000 --kill -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.subscribers < 1 || r.flags < 1 || r.rounds < 1 {
				return usage(cmd, "--subscribers, --flags and --rounds must be at least 1")
			}
			if r.patience < time.Second {
				return usage(cmd, "--patience must be at least 1s")
			}
			return a.benchReconnect(cmd.Context(), r)
		},
	}
	f := c.Flags()
	f.IntVar(&r.subscribers, "subscribers", 5000, "how many follow")
	f.IntVar(&r.flags, "flags", 1000, "flags in the environment")
	f.IntVar(&r.rounds, "rounds", 3, "restarts")
	f.BoolVar(&r.kill, "kill", false, "kill the server instead of stopping it, so that nobody is told when to come back")
	f.DurationVar(&r.patience, "patience", 2*time.Minute, "how long the subscribers may take")
	return a.printing(c, "table", "json", "yaml")
}

// reconnected is what one restart measured.
type reconnected struct {
	Subscribers int     `json:"subscribers"`
	Flags       int     `json:"flags"`
	Killed      bool    `json:"killed"`
	Down        float64 `json:"downMs"`
	P50         float64 `json:"currentP50Ms"`
	P99         float64 `json:"currentP99Ms"`
	Last        float64 `json:"currentLastMs"`
	Snapshots   int64   `json:"snapshots"`
	Refused     int64   `json:"refused"`
	Before      float64 `json:"memoryBeforeMiB"`
	Peak        float64 `json:"memoryPeakMiB"`
	After       float64 `json:"memoryAfterMiB"`
}

func (a *app) benchReconnect(ctx context.Context, r *reconnecting) (err error) {
	children, stop, err := startBenchServers(1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	server := children[0]
	key, err := a.loadMany(ctx, server.node, r.flags)
	if err != nil {
		return err
	}
	h := &herd{server: server, key: key, on: true}
	ctx, leave := context.WithCancelCause(ctx)
	defer func() { leave(nil); h.running.Wait() }()
	h.fail = leave
	a.talk("%d subscriber(s) …", r.subscribers)
	if err := h.gather(ctx, r); err != nil {
		return err
	}
	var all []reconnected
	for round := range r.rounds {
		a.talk("restart %d of %d …", round+1, r.rounds)
		one, err := h.restart(ctx, r)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	return a.showReconnected(all)
}

func (a *app) showReconnected(all []reconnected) error {
	if a.output != "table" {
		return a.showJSON(map[string]any{"results": all})
	}
	v := view{header: []string{"SUBSCRIBERS", "FLAGS", "HOW", "DOWN MS", "P50 MS", "P99 MS", "LAST MS", "SNAPSHOTS", "REFUSED", "MIB BEFORE", "PEAK", "AFTER"}}
	for _, m := range all {
		how := "stopped"
		if m.Killed {
			how = "killed"
		}
		row := []string{fmt.Sprint(m.Subscribers), fmt.Sprint(m.Flags), how}
		for _, ms := range []float64{m.Down, m.P50, m.P99, m.Last} {
			row = append(row, fmt.Sprintf("%.0f", ms))
		}
		row = append(row, fmt.Sprint(m.Snapshots), fmt.Sprint(m.Refused))
		for _, size := range []float64{m.Before, m.Peak, m.After} {
			row = append(row, fmt.Sprintf("%.0f", size))
		}
		v.rows = append(v.rows, row)
	}
	return a.show(v)
}

// gather lets the subscribers begin, in a pace that the server takes, from a position that the first one is sent. All are
// current when it returns.
func (h *herd) gather(ctx context.Context, r *reconnecting) error {
	first := &returning{herd: h}
	if err := first.position(ctx); err != nil {
		return err
	}
	pace := time.NewTicker(time.Second / subscribePace)
	defer pace.Stop()
	for range r.subscribers {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s := &returning{herd: h, epoch: first.epoch, revision: first.revision}
		h.all = append(h.all, s)
		h.running.Go(func() { s.run(ctx) })
	}
	_, _, err := h.change(ctx, r.patience)
	return err
}

// restart measures one restart.
func (h *herd) restart(ctx context.Context, r *reconnecting) (reconnected, error) {
	one := reconnected{Subscribers: r.subscribers, Flags: r.flags, Killed: r.kill}
	before, err := h.server.usage(ctx)
	if err != nil {
		return one, err
	}
	h.snapshots.Store(0)
	h.refused.Store(0)
	began := time.Now()
	if r.kill {
		err = h.server.kill()
	} else {
		err = h.server.stop()
	}
	if err == nil {
		err = h.server.start([]string{h.server.gossip})
	}
	if err == nil {
		err = awaitLeader(ctx, h.server.node)
	}
	if err != nil {
		return one, err
	}
	peak, done := h.watchMemory(ctx)
	answered, times, err := h.change(ctx, r.patience)
	done()
	if err != nil {
		return one, err
	}
	after, err := h.server.usage(ctx)
	if err != nil {
		return one, err
	}
	each := quantilesOf(times)
	one.Down, one.P50, one.P99, one.Last = milliseconds(answered.Sub(began)), each.P50, each.P99, milliseconds(slices.Max(times))
	one.Snapshots, one.Refused = h.snapshots.Load(), h.refused.Load()
	const mib = 1 << 20
	one.Before, one.Peak, one.After = before.memory/mib, max(float64(peak.Load()), after.memory)/mib, after.memory/mib
	return one, nil
}

// watchMemory notes the highest memory of the server until done is called.
func (h *herd) watchMemory(ctx context.Context) (peak *atomic.Int64, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	peak = new(atomic.Int64)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			if now, err := h.server.usage(ctx); err == nil { // a server that is too busy to say is asked again
				peak.Store(max(peak.Load(), int64(now.memory)))
			}
		}
	}()
	return peak, func() { cancel(); <-ended }
}

// change sets the flag the other way and waits until every subscriber holds that. times are from the answer to then, 0 for
// those who were first.
func (h *herd) change(ctx context.Context, patience time.Duration) (answered time.Time, times []time.Duration, err error) {
	h.on = !h.on
	written, err := h.server.node.flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Environment: defaultEnvironment, Key: h.key, Enabled: h.on})
	if err != nil {
		return answered, nil, err
	}
	answered = time.Now()
	for _, s := range h.all {
		for {
			at := s.reached(written.GetReceipt().GetRevision())
			if !at.IsZero() {
				times = append(times, max(0, at.Sub(answered)))
				break
			}
			if time.Since(answered) > patience {
				return answered, nil, failed("a longer --patience, or fewer subscribers", "not all subscribers held the change within %s", patience)
			}
			if !sleepUntil(ctx, time.Now().Add(10*time.Millisecond)) {
				return answered, nil, cmp.Or(context.Cause(ctx), ctx.Err())
			}
		}
	}
	return answered, times, nil
}
