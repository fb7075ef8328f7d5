package cluster

import (
	"context"
	"log/slog"
	"strings"
)

// gossipLog gives memberlist's lines their level, which it writes into the text, and drops what is below WARN.
type gossipLog struct{ slog.Handler }

func (h gossipLog) Handle(ctx context.Context, r slog.Record) error {
	at, text := slog.LevelDebug, r.Message
	if strings.HasPrefix(text, "[") {
		name, rest, _ := strings.Cut(text[1:], "] ")
		text = rest
		switch name {
		case "ERR", "ERROR":
			at = slog.LevelError
		case "WARN":
			at = slog.LevelWarn
		}
	}
	if at < slog.LevelWarn {
		return nil
	}
	line := slog.NewRecord(r.Time, at, "gossip: "+strings.TrimPrefix(text, "memberlist: "), 0)
	return h.Handler.Handle(ctx, line)
}
