package transport

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// A node logs ten refusals at once and one more every second: somebody who tries tokens must not fill its disk.
const (
	denialsAtOnce    = 10
	denialsPerSecond = 1
)

// denials meters the lines about refused requests. They are not in the audit, which holds what changed.
type denials struct {
	once    sync.Once
	pace    *rate.Limiter
	skipped atomic.Uint64
}

// allow says whether to write a line, and how many were left out since the last.
func (d *denials) allow() (skipped uint64, ok bool) {
	d.once.Do(func() { d.pace = rate.NewLimiter(denialsPerSecond, denialsAtOnce) })
	if !d.pace.Allow() {
		d.skipped.Add(1)
		return 0, false
	}
	return d.skipped.Swap(0), true
}

// denied notes a request that was refused for who made it.
func (s *Server) denied(who caller, what string, why error) {
	skipped, ok := s.denials.allow()
	if !ok {
		return
	}
	attrs := append(who.attrs(), slog.String("what", what), slog.Any("error", why), slog.Uint64("more", skipped))
	s.logger.LogAttrs(context.Background(), slog.LevelWarn, "denied", attrs...)
}

// attrs tell in a log who called; never the text of a token.
func (c caller) attrs() []slog.Attr {
	return []slog.Attr{slog.String("actor", c.actor.Kind), slog.String("actor_id", c.actor.ID), slog.String("token", c.actor.Token)}
}
