package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/evaluator"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// Use is what of an environment was asked for since it was last taken: flags by name, or everything at once. It is a set, so
// that saying it twice is saying it once. The zero Use is ready; a nil one notes nothing.
type Use struct {
	flags sync.Map // *evaluator.Compiled to nothing: a pointer as key costs no allocation
	whole atomic.Bool
}

// Named notes a flag that was asked for by name. Noting it again costs one look-up.
func (u *Use) Named(flag *evaluator.Compiled) {
	if u == nil {
		return
	}
	if _, noted := u.flags.Load(flag); !noted {
		u.flags.Store(flag, struct{}{})
	}
}

// Whole notes that everything was asked for, which names no flag.
func (u *Use) Whole() {
	if u != nil && !u.whole.Load() {
		u.whole.Store(true)
	}
}

// Take returns what was noted, the keys sorted, and begins anew.
func (u *Use) Take() (flags []string, whole bool) {
	u.flags.Range(func(key, _ any) bool {
		u.flags.Delete(key)
		flags = append(flags, key.(*evaluator.Compiled).Key())
		return true
	})
	slices.Sort(flags)
	return slices.Compact(flags), u.whole.Swap(false)
}

// How often a replica reports, and in what pieces. A day is what counts in the end; that a flag is told again within it
// makes up for what a node lost.
const (
	reportEvery = time.Minute
	reportAgain = time.Hour
	reportRoom  = 5000
	lastReport  = time.Second // how long Close waits for it
)

// report is what a replica has to tell its upstream, and what it has told.
type report struct {
	node  func() *Services
	use   *Use
	due   map[string]bool      // not told yet; wholeUse among them
	told  map[string]time.Time // when
	quiet bool                 // nobody wants to hear it
}

// wholeUse stands among flags for the environment as a whole; no key looks like it.
const wholeUse = "*"

// reportUse tells upstream which flags are in use until ctx ends, and then what is left to tell.
func (r *Replica) reportUse(ctx context.Context) {
	told := &report{node: r.upstream.Load, use: r.use, due: map[string]bool{}, told: map[string]time.Time{}}
	for {
		select {
		case <-time.After(reportEvery + rand.N(reportEvery/4)):
			told.send(ctx, r.logger)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastReport)
			defer cancel()
			told.send(last, r.logger)
			return
		}
	}
}

// send tells what is due. What could not be told stays due.
func (p *report) send(ctx context.Context, logger *slog.Logger) {
	flags, whole := p.use.Take()
	if whole {
		flags = append(flags, wholeUse)
	}
	if p.quiet {
		return
	}
	for _, key := range flags {
		if at, told := p.told[key]; !told || time.Since(at) >= reportAgain {
			p.due[key] = true
		}
	}
	node := p.node()
	for len(p.due) > 0 && node != nil {
		var sent []string
		m := &hoistv1.ReportUseRequest{}
		for key := range p.due {
			if len(sent) == reportRoom {
				break
			}
			if sent = append(sent, key); key == wholeUse {
				m.Whole = true
				continue
			}
			m.Flags = append(m.Flags, key)
		}
		if _, err := node.Sync.ReportUse(ctx, m); err != nil {
			code := connect.CodeOf(err)
			p.quiet = code == connect.CodeUnimplemented || code == connect.CodePermissionDenied
			logger.Debug("the use of flags was not reported", slog.String("upstream", node.address), slog.Bool("ends", p.quiet), slog.Any("error", err))
			return
		}
		for _, key := range sent {
			delete(p.due, key)
			p.told[key] = time.Now()
		}
	}
}
