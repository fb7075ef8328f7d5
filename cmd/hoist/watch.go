package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// watchEvaluations prints the values one context gets, then every change of them, until it is interrupted.
func (a *app) watchEvaluations(ctx context.Context, n *node, about *structpb.Struct, keys []string) error {
	stream, err := n.eval.Watch(ctx, &hoistv1.WatchRequest{Environment: n.environment, Context: about, Keys: keys})
	if err != nil {
		return unreachable(n.addr, err)
	}
	defer func() { _ = stream.Close() }() // the stream is over either way
	screen := newScreen(a)
	current := map[string]*hoistv1.Evaluation{}
	for stream.Receive() {
		event := stream.Msg()
		if event.GetReset_() {
			current = map[string]*hoistv1.Evaluation{}
		}
		for _, e := range event.GetEvaluations() {
			current[e.GetKey()] = e
		}
		for _, key := range event.GetRemoved() {
			delete(current, key)
		}
		if err := a.showWatched(screen, event, current); err != nil {
			return err
		}
	}
	return endOfStream(ctx, n, stream.Err())
}

func (a *app) showWatched(screen *screen, event *hoistv1.WatchResponse, current map[string]*hoistv1.Evaluation) error {
	if screen.live {
		all := make([]*hoistv1.Evaluation, 0, len(current))
		for _, key := range sortedKeys(current) {
			all = append(all, current[key])
		}
		v := evaluationsView(all)
		screen.redraw(fmt.Sprintf("revision %d, Ctrl-C ends", event.GetPosition().GetRevision()), v.header[:5], v.rows)
		return nil
	}
	if a.output == "json" || a.output == "yaml" {
		return a.showLine(event)
	}
	for _, e := range event.GetEvaluations() {
		fmt.Fprintf(a.stdout, "%d\t%s\t%s\t%s\t%s\n",
			event.GetPosition().GetRevision(), e.GetKey(), valueText(e.GetValue()), e.GetVariant(), e.GetReason())
	}
	for _, key := range event.GetRemoved() {
		fmt.Fprintf(a.stdout, "%d\t%s\tremoved\n", event.GetPosition().GetRevision(), key)
	}
	return nil
}

// showLine prints one event as one line of JSON.
func (a *app) showLine(event *hoistv1.WatchResponse) error {
	data, err := messageJSON(event)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, string(data))
	return nil
}

// flagEvent is one line of `flag list --watch`.
type flagEvent struct {
	Revision uint64          `json:"revision"`
	Action   string          `json:"action"` // present, changed or removed
	Object   string          `json:"object"` // flag or segment
	Key      string          `json:"key"`
	Record   json.RawMessage `json:"record,omitempty"` // what is served, without prose
}

// watchFlags prints what an environment serves, then every change of it.
func (a *app) watchFlags(ctx context.Context, n *node) error {
	stream, err := n.sync.Follow(ctx, &hoistv1.FollowRequest{Environment: n.environment})
	if err != nil {
		return unreachable(n.addr, err)
	}
	defer func() { _ = stream.Close() }() // the stream is over either way
	screen := newScreen(a)
	for stream.Receive() {
		events, redraw := eventsOf(stream.Msg())
		if screen.live && redraw {
			all, err := a.listFlags(ctx, n, &hoistv1.ListFlagsRequest{Environment: n.environment})
			if err != nil {
				return err
			}
			v := flagsView(all)
			screen.redraw(fmt.Sprintf("%s at revision %d, Ctrl-C ends", n.environment, all.GetPosition().GetRevision()), v.header[:5], v.rows)
			continue
		}
		for _, e := range events {
			if err := a.showFlagEvent(e); err != nil {
				return err
			}
		}
	}
	return endOfStream(ctx, n, stream.Err())
}

// eventsOf lists what a frame says; redraw is false for frames that change nothing.
func eventsOf(frame *hoistv1.FollowResponse) (events []flagEvent, redraw bool) {
	if part := frame.GetSnapshot(); part != nil {
		for _, r := range part.GetRecords() {
			events = append(events, recordEvent("present", r))
		}
		return events, part.GetLast()
	}
	if d := frame.GetDifference(); d != nil {
		for _, r := range d.GetUpserts() {
			events = append(events, recordEvent("changed", r))
		}
		for _, r := range d.GetRemovals() {
			events = append(events, flagEvent{Revision: d.GetTo(), Action: "removed", Object: objectText(r.GetKind()), Key: r.GetKey()})
		}
		return events, true
	}
	return nil, false
}

func recordEvent(action string, r *hoistv1.Record) flagEvent {
	return flagEvent{Revision: r.GetRevision(), Action: action, Object: objectText(r.GetKind()), Key: r.GetKey(), Record: r.GetBody()}
}

func objectText(kind hoistv1.RecordKind) string {
	if kind == hoistv1.RecordKind_RECORD_KIND_SEGMENT {
		return "segment"
	}
	return "flag"
}

func (a *app) showFlagEvent(e flagEvent) error {
	switch a.output {
	case "json", "yaml":
		data, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("printing an event: %w", err)
		}
		fmt.Fprintln(a.stdout, string(data))
	case "name":
		fmt.Fprintf(a.stdout, "%s/%s\n", e.Object, e.Key)
	case "wide":
		fmt.Fprintf(a.stdout, "%d\t%s\t%s\t%s\t%s\n", e.Revision, e.Action, e.Object, e.Key, e.Record)
	default:
		fmt.Fprintf(a.stdout, "%d\t%s\t%s\t%s\n", e.Revision, e.Action, e.Object, e.Key)
	}
	return nil
}

// endOfStream tells an end that was asked for from one that was not.
func endOfStream(ctx context.Context, n *node, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	if err == nil {
		return &failure{code: exitUnavailable, message: "the node ended the stream", try: "the same command again"}
	}
	if connect.CodeOf(err) == connect.CodeUnavailable {
		return unreachable(n.addr, err)
	}
	return err
}

// screen redraws a table in place when stdout is a terminal.
type screen struct {
	app  *app
	live bool
}

func newScreen(a *app) *screen {
	return &screen{app: a, live: terminal(a.stdout) && (a.output == "table" || a.output == "wide")}
}

// redraw clears the terminal and prints title and table.
func (s *screen) redraw(title string, header []string, rows [][]string) {
	fmt.Fprintf(s.app.stdout, "\x1b[H\x1b[2J%s  %s\n\n", time.Now().Format(time.TimeOnly), title)
	writeTable(s.app.stdout, header, rows)
}
