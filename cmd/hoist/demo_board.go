package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// board shows how the demo goes: a table that redraws itself in a terminal, plain lines otherwise.
type board struct {
	app  *app
	r    *rehearsal
	live bool

	mu     sync.Mutex
	events []string // the last few, for the table
	before []int64  // evaluations per node at the last drawing
	at     time.Time
	drawn  int // lines of the last picture
}

func newBoard(a *app, r *rehearsal) *board {
	return &board{app: a, r: r, live: a.output == "table" && terminal(a.stdout), before: make([]int64, len(r.children)), at: time.Now()}
}

// say tells what has just happened.
func (b *board) say(format string, args ...any) {
	line := time.Now().Format("15:04:05.000  ") + fmt.Sprintf(format, args...)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.live {
		b.events = append(b.events, line)
		b.events = b.events[max(0, len(b.events)-6):]
		return
	}
	b.app.talk("%s", line)
}

// run draws until ctx ends. With -o json nothing but the result goes to standard output.
func (b *board) run(ctx context.Context) {
	every := time.Second
	if b.live {
		every = 500 * time.Millisecond
	}
	for sleepUntil(ctx, time.Now().Add(every)) {
		if b.app.output == "table" {
			b.draw(ctx)
		}
	}
}

func (b *board) draw(ctx context.Context) {
	rows := b.rows(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	total, failures := b.r.traffic.done.Load(), b.r.traffic.failed.Load()
	b.r.ledger.mu.Lock()
	writes := len(b.r.ledger.acknowledged)
	b.r.ledger.mu.Unlock()
	if !b.live {
		line := fmt.Sprintf("%s  evaluations %d failed %d writes %d", time.Now().Format(time.TimeOnly), total, failures, writes)
		for _, row := range rows {
			line += fmt.Sprintf("  | %s %s rev %s %s/s %s", row[0], row[1], row[2], row[3], row[4])
		}
		fmt.Fprintln(b.app.stdout, line)
		return
	}
	var picture bytes.Buffer
	if b.drawn > 0 {
		fmt.Fprintf(&picture, "\x1b[%dA\x1b[J", b.drawn) // up to where the last picture began; what stands above stays
	}
	writeTable(&picture, []string{"NODE", "ROLE", "REVISION", "EVALS/S", "LAST CHANGE SEEN AFTER", "URL"}, rows)
	fmt.Fprintf(&picture, "\nevaluations %d, failed %d; writes acknowledged %d; leader killed %d times; Ctrl-C ends and checks\n\n",
		total, failures, writes, b.kills())
	for _, event := range b.events {
		fmt.Fprintln(&picture, event)
	}
	b.drawn = bytes.Count(picture.Bytes(), []byte("\n"))
	_, _ = b.app.stdout.Write(picture.Bytes()) // a terminal that has gone needs no picture
}

func (b *board) kills() int {
	b.r.killer.mu.Lock()
	defer b.r.killer.mu.Unlock()
	return b.r.killer.kills
}

// rows asks every node how it is.
func (b *board) rows(ctx context.Context) [][]string {
	now := time.Now()
	seconds := now.Sub(b.at).Seconds()
	b.at = now
	var rows [][]string
	for i, c := range b.r.children {
		count := b.r.traffic.perNode[i].Load()
		perSecond := float64(count-b.before[i]) / seconds
		b.before[i] = count
		row := []string{c.name, "down", "-", fmt.Sprintf("%.0f", perSecond), "-", c.node.base}
		if s, err := c.status(ctx); err == nil {
			row[1], row[2], row[4] = s.GetRole(), revisionText(s.GetApplied()), fmt.Sprintf("%d ms", b.r.followers.seen[i].Load())
		}
		rows = append(rows, row)
	}
	return rows
}
