package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
	"github.com/hoistflags/hoist/rollout/prometheus"
	"github.com/hoistflags/hoist/rollout/web"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// rolloutLog reads all that the node keeps of a rollout, the oldest first.
func (a *app) rolloutLog(ctx context.Context, n *node, id string) (*hoistv1.RolloutHistoryResponse, error) {
	all := &hoistv1.RolloutHistoryResponse{}
	for before := uint64(0); ; {
		page, cancel := context.WithTimeout(ctx, a.timeout)
		got, err := n.rollouts.History(page, &hoistv1.RolloutHistoryRequest{Environment: n.environment, Id: id, Before: before, Limit: 1000})
		cancel()
		if err != nil {
			return nil, err
		}
		all.Rows, all.Position = append(all.Rows, got.GetRows()...), got.GetPosition()
		if !got.GetMore() || len(got.GetRows()) == 0 {
			slices.Reverse(all.Rows)
			return all, nil
		}
		before = got.GetRows()[len(got.GetRows())-1].GetRow().GetSeq()
	}
}

// rolloutRecord decodes the record of a row and checks that it is the one of which the row holds the hash; nil: the node lacks it.
func rolloutRecord(row *hoistv1.RolloutHistoryRow) (*fsm.RolloutRecord, error) {
	if len(row.GetRecord()) == 0 {
		return nil, nil
	}
	if fsm.RecordHash(row.GetRecord()) != row.GetRow().GetAfter() {
		return nil, fmt.Errorf("row %d was altered: its record has another hash", row.GetRow().GetSeq())
	}
	return fsm.DecodeRolloutRecord(row.GetRecord())
}

// showRolloutLog lists every event and every measurement.
func (a *app) showRolloutLog(ctx context.Context, n *node, id string) error {
	log, err := a.rolloutLog(ctx, n, id)
	if err != nil {
		return err
	}
	v := view{message: log, header: []string{"ROW", "AT", "WHAT", "STEP", "WEIGHT", "BY", "SAYS"}}
	for _, row := range log.GetRows() {
		x, err := rolloutRecord(row)
		if err != nil {
			return err
		}
		at := row.GetRow().GetAt().AsTime().Local().Format(time.DateTime)
		line := func(what, step, weight, says string) {
			v.names = append(v.names, fmt.Sprintf("rollout/%s/%d", id, row.GetRow().GetSeq()))
			v.rows = append(v.rows, []string{fmt.Sprint(row.GetRow().GetSeq()), at, what, step, weight, who(row.GetRow().GetActor()), says})
		}
		switch {
		case x == nil:
			line(row.GetRow().GetVerb(), "", "", "the record is not kept on this node")
		case x.Event != nil:
			line(x.Event.Kind, fmt.Sprint(x.Event.Step), x.Event.Weight.String(), x.Event.Why)
		default:
			for _, m := range x.Measured {
				line("measured", fmt.Sprint(m.Step), m.Weight.String(), fmt.Sprintf("run %d, %s: %s %s", m.Run, m.Metric, shownAnswer(&m.Measurement), m.Measurement.Verdict))
			}
		}
	}
	return a.show(v)
}

func shownAnswer(m *fsm.Measurement) string {
	switch {
	case m.Value == "":
		return m.Detail
	case m.Stable != "":
		return m.Value + " (stable " + m.Stable + ")"
	}
	return m.Value
}

// account prints the log of one rollout and judges it again on the way.
type account struct {
	out     io.Writer
	rejudge *rollout.Rejudge
	queries map[string]string // by metric: the last that was printed

	answers, raw, moves, doubts, missing int
}

// explainAll tells every decision of a rollout from what the node keeps: queries, answers, verdicts, rules.
func (a *app) explainAll(ctx context.Context, n *node, id string) error {
	log, err := a.rolloutLog(ctx, n, id)
	if err != nil {
		return err
	}
	x := &account{out: a.stdout, queries: map[string]string{}}
	for _, row := range log.GetRows() {
		record, err := rolloutRecord(row)
		switch {
		case err != nil:
			x.doubt("%v", err)
		case record == nil:
			x.missing++
			fmt.Fprintf(x.out, "\n%s  %s: the record is not kept on this node\n", clock(row.GetRow().GetAt().AsTime()), row.GetRow().GetVerb())
		case record.Event != nil:
			x.event(record)
		default:
			for i := range record.Measured {
				x.measured(&record.Measured[i])
			}
		}
	}
	return x.close(id)
}

func clock(at time.Time) string { return at.Local().Format(time.DateTime) }

func (x *account) doubt(format string, args ...any) {
	x.doubts++
	fmt.Fprintf(x.out, "    doubt: "+format+"\n", args...)
}

func (x *account) event(record *fsm.RolloutRecord) {
	e := record.Event
	if record.Plan != nil {
		x.rejudge = &rollout.Rejudge{Plan: record.Plan, Read: readAnswer}
	}
	fmt.Fprintf(x.out, "\n%s  %s  step %d → %d, %s, attempt %d, by %s", clock(time.UnixMilli(e.At)), e.Kind, e.From, e.Step, e.Weight, e.Attempt, e.Actor.ID)
	if e.Rule != "" {
		fmt.Fprintf(x.out, ", rule %s", e.Rule)
	}
	if e.Why != "" {
		fmt.Fprintf(x.out, ": %s", e.Why)
	}
	fmt.Fprintln(x.out)
	if x.rejudge == nil {
		return
	}
	for _, doubt := range x.rejudge.Event(e) {
		x.doubt("%s", doubt)
	}
	for _, again := range rollout.Replay(x.rejudge.Plan, nil, []*fsm.Event{e}) {
		if again.Again != nil && len(again.Doubts) == 0 {
			x.moves++
			fmt.Fprintf(x.out, "    decided again: %s by rule %s\n", again.Again.Move, again.Again.Rule)
		}
		for _, doubt := range again.Doubts {
			x.doubt("%s", doubt)
		}
	}
}

func (x *account) measured(m *fsm.MeasuredRecord) {
	if x.queries[m.Metric] != m.Query {
		x.queries[m.Metric] = m.Query
		fmt.Fprintf(x.out, "  %s asks: %s\n", m.Metric, strings.Join(strings.Fields(m.Query), " "))
	}
	fmt.Fprintf(x.out, "  %s  run %d, %s at %s: %s %s\n", clock(time.UnixMilli(m.Measurement.At)), m.Run, m.Metric, m.Weight, shownAnswer(&m.Measurement), m.Measurement.Verdict)
	if m.Raw != nil {
		fmt.Fprintf(x.out, "    answer: %s\n", rawText(m.Raw))
	}
	if m.StableRaw != nil {
		fmt.Fprintf(x.out, "    stable: %s\n", rawText(m.StableRaw))
	}
	if x.rejudge == nil {
		return
	}
	again := x.rejudge.Measured(m)
	switch {
	case again.Doubt != "":
		x.doubt("%s", again.Doubt)
	case again.Verdict != "":
		x.answers++
		if again.FromRaw {
			x.raw++
		}
	}
}

// rawText is an answer on one line.
func rawText(raw *fsm.RawAnswer) string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(raw.Bytes), "?")), " ")
	if !raw.Whole() {
		text += fmt.Sprintf("… (%d bytes in all)", raw.Size)
	}
	return text
}

func (x *account) close(id string) error {
	fmt.Fprintf(x.out, "\n%d answer(s) judged again, %d of them from the providers' own bytes; %d move(s) of the controller decided again\n", x.answers, x.raw, x.moves)
	if x.missing > 0 {
		fmt.Fprintf(x.out, "%d record(s) are not kept on this node; another may have them (--addr)\n", x.missing)
	}
	if x.rejudge == nil {
		return failed("ask another node: --addr", "the log of this node does not reach back to the start of %s, so its plan is not here", id)
	}
	if x.doubts > 0 {
		return failed("hoist audit verify", "%d record(s) do not give what was acted on", x.doubts)
	}
	return nil
}

// readAnswer reads the value out of a provider's answer.
func readAnswer(by *fsm.Metric, raw []byte) (any, error) {
	if by.Prometheus != nil {
		return prometheus.Read(raw)
	}
	return web.Read(raw, by.Web.JSONPath)
}
