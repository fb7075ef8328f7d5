package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// benchmark is what the bench commands share.
type benchmark struct {
	compare  bool
	rounds   int
	duration time.Duration
	rate     int // requests per second of all clients together; 0: as fast as it goes
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
		a.benchOFREPCommand(), a.benchBulkCommand(), a.benchConnectCommand(), a.benchFanoutCommand(), a.benchReconnectCommand(), a.benchFailoverCommand(), a.benchPropagationCommand(),
		a.benchWritesCommand(), a.benchApplyCommand(), a.bareNodeCommand())
}

// measured is one line of a benchmark's report. Times are in milliseconds.
type measured struct {
	Name      string  `json:"name"`
	Clients   int     `json:"clients"`
	PerSecond float64 `json:"perSecond"` // median of the rounds
	Lowest    float64 `json:"lowestPerSecond"`
	Highest   float64 `json:"highestPerSecond"`
	P50       float64 `json:"p50Ms"` // medians of the rounds' quantiles
	P99       float64 `json:"p99Ms"`
	Ratio     float64 `json:"ratioToBaseline,omitempty"`    // of requests per second
	P99Ratio  float64 `json:"p99RatioToBaseline,omitempty"` // of p99
	Latency   []bar   `json:"histogram"`                    // of all rounds
}

func (a *app) showMeasured(all []measured) error {
	if a.output != "table" {
		return a.showJSON(map[string]any{"results": all})
	}
	v := view{header: []string{"WHAT", "CLIENTS", "PER SECOND", "LOWEST", "HIGHEST", "P50 MS", "P99 MS", "OF BASELINE", "P99 OF BASELINE"}}
	for _, m := range all {
		ratio, tail := "-", "-"
		if m.Ratio > 0 {
			ratio, tail = fmt.Sprintf("%.2f", m.Ratio), fmt.Sprintf("%.2f", m.P99Ratio)
		}
		v.rows = append(v.rows, []string{m.Name, fmt.Sprint(m.Clients), fmt.Sprintf("%.0f", m.PerSecond), fmt.Sprintf("%.0f", m.Lowest),
			fmt.Sprintf("%.0f", m.Highest), fmt.Sprintf("%.3f", m.P50), fmt.Sprintf("%.3f", m.P99), ratio, tail})
	}
	return a.show(v)
}

// contest pumps requests at one or more targets in turns, so that whatever the machine does meanwhile hits all alike.
// The first of the targets called a base is what the others are compared with.
func (b *benchmark) contest(ctx context.Context, say func(string, ...any), clients int, targets []target) ([]measured, error) {
	rounds := make([][]burst, len(targets))
	for round := range b.rounds {
		say("%d client(s), round %d of %d …", clients, round+1, b.rounds)
		for i := range targets {
			// Another one begins each time, so that none always follows the same neighbour.
			at := (i + round) % len(targets)
			result, err := targets[at].pump(ctx, clients, b.duration, b.rate)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", targets[at].name, err)
			}
			rounds[at] = append(rounds[at], result)
		}
	}
	base := slices.IndexFunc(targets, func(t target) bool { return t.base })
	var all []measured
	for i, t := range targets {
		m := summed(t.name, clients, rounds[i])
		if base >= 0 && i != base {
			m.Ratio = against(rounds[i], rounds[base], func(b burst) float64 { return b.perSecond })
			m.P99Ratio = against(rounds[i], rounds[base], func(b burst) float64 { return b.latency.P99 })
		}
		all = append(all, m)
	}
	return all, nil
}

func summed(name string, clients int, rounds []burst) measured {
	speed := func(b burst) float64 { return b.perSecond }
	m := measured{Name: name, Clients: clients, PerSecond: median(rounds, speed),
		P50: median(rounds, func(b burst) float64 { return b.latency.P50 }),
		P99: median(rounds, func(b burst) float64 { return b.latency.P99 })}
	slowest := func(x, y burst) int { return cmp.Compare(x.perSecond, y.perSecond) }
	m.Lowest, m.Highest = speed(slices.MinFunc(rounds, slowest)), speed(slices.MaxFunc(rounds, slowest))
	var times []time.Duration
	for _, r := range rounds {
		times = append(times, r.times...)
	}
	m.Latency = histogram(times)
	return m
}

// against is the median of the rounds' ratios: neighbours in time are compared, so a slow minute of the machine cancels out.
func against(rounds, base []burst, of func(burst) float64) float64 {
	var ratios []float64
	for i := range rounds {
		if of(base[i]) > 0 {
			ratios = append(ratios, of(rounds[i])/of(base[i]))
		}
	}
	if len(ratios) == 0 {
		return 0
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func median(all []burst, of func(burst) float64) float64 {
	sorted := slices.SortedFunc(slices.Values(all), func(x, y burst) int { return cmp.Compare(of(x), of(y)) })
	return of(sorted[len(sorted)/2])
}

// bar is one bar of a histogram: how many took at most that long and longer than the bar before.
type bar struct {
	UpTo  float64 `json:"upToMs"`
	Count int     `json:"count"`
}

// histogram counts times into bars a quarter of an octave wide, from 1 µs; empty bars at both ends are left out.
func histogram(times []time.Duration) []bar {
	var bars []bar
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	const perOctave = 4
	steps := [perOctave]float64{1, 1.189207115, 1.414213562, 1.681792831} // powers of the fourth root of two
	for i := 0; len(sorted) > 0; i++ {
		limit := time.Duration(steps[i%perOctave] * float64(time.Microsecond<<(i/perOctave)))
		n, _ := slices.BinarySearch(sorted, limit+1)
		if n > 0 || len(bars) > 0 {
			bars = append(bars, bar{UpTo: milliseconds(limit), Count: n})
		}
		sorted = sorted[n:]
	}
	return bars
}
