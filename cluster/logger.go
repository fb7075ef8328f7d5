package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger hands raft's log lines to slog. Raft talks a lot below WARN, so that is the floor.
type raftLogger struct {
	out   *slog.Logger
	name  string
	args  []any
	calls *calls
}

// sameLineEvery is how often raft may repeat itself: with a peer down it does so at every heartbeat.
const sameLineEvery = 10 * time.Second

// calls remembers when a line was last written.
type calls struct {
	mu    sync.Mutex
	last  map[string]time.Time
	quiet bool // the node is being closed: what fails now fails on purpose
}

func newRaftLogger(out *slog.Logger) *raftLogger {
	return &raftLogger{out: out, name: "raft", calls: &calls{last: map[string]time.Time{}}}
}

func (c *calls) repeated(line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.quiet || !c.last[line].IsZero() && time.Since(c.last[line]) < sameLineEvery {
		return true
	}
	if len(c.last) > 1000 { // lines name peers, and peers are few
		clear(c.last)
	}
	c.last[line] = time.Now()
	return false
}

// hush ends the talk.
func (l *raftLogger) hush() {
	l.calls.mu.Lock()
	defer l.calls.mu.Unlock()
	l.calls.quiet = true
}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func (l *raftLogger) Log(at hclog.Level, msg string, args ...any) {
	if at < hclog.Warn || l.calls.repeated(subject(msg, args)) {
		return
	}
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	if len(args)%2 != 0 {
		args = append(args, "missing")
	}
	l.out.Log(context.Background(), level(at), l.name+": "+msg, args...)
}

// subject is a line without what differs each time: the message and the peer it speaks of.
func subject(msg string, args []any) string {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target", "server-id", "from":
			return msg + fmt.Sprint(args[i+1])
		}
	}
	return msg
}

func (l *raftLogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *raftLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *raftLogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *raftLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *raftLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *raftLogger) IsTrace() bool { return false }
func (l *raftLogger) IsDebug() bool { return false }
func (l *raftLogger) IsInfo() bool  { return false }
func (l *raftLogger) IsWarn() bool  { return true }
func (l *raftLogger) IsError() bool { return true }

func (l *raftLogger) ImpliedArgs() []any { return l.args }

func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{out: l.out.With(args...), name: l.name, calls: l.calls, args: append(l.args[:len(l.args):len(l.args)], args...)}
}

func (l *raftLogger) Name() string { return l.name }

func (l *raftLogger) Named(name string) hclog.Logger {
	return &raftLogger{out: l.out, name: l.name + "." + name, args: l.args, calls: l.calls}
}

func (l *raftLogger) ResetNamed(name string) hclog.Logger {
	return &raftLogger{out: l.out, name: name, args: l.args, calls: l.calls}
}

// SetLevel is refused silently: the floor is ours.
func (l *raftLogger) SetLevel(hclog.Level) {}

func (l *raftLogger) GetLevel() hclog.Level { return hclog.Warn }

func (l *raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.out.Handler(), slog.LevelWarn)
}

func (l *raftLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(o).Writer()
}
