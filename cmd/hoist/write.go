package main

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// writing is what every command that changes something understands.
type writing struct {
	dryRun     bool
	ifRevision uint64
	comment    string
	wait       bool
	change     string // title of the change to open instead of writing
	editChange string // the waiting change to give the write to

	conditional bool // --if-revision was given
}

// changing adds the flags of writes.
func (a *app) changing(c *cobra.Command) (*cobra.Command, *writing) {
	return a.writes(a.scoped(c))
}

// changingByID adds the flags of writes to what is found by its id, in whichever environment it is.
func (a *app) changingByID(c *cobra.Command) (*cobra.Command, *writing) { return a.writes(a.remote(c)) }

// waitable adds the flags of writes that may wait for the approval of others.
func (w *writing) waitable(c *cobra.Command) {
	c.Flags().StringVar(&w.change, "change", "", "do not write: open a change with this title, which others approve")
	c.Flags().StringVar(&w.editChange, "edit-change", "", "do not write: give the waiting change with this id the write instead")
}

func (a *app) writes(c *cobra.Command) (*cobra.Command, *writing) {
	w := &writing{}
	f := c.Flags()
	f.BoolVar(&w.dryRun, "dry-run", false, "say what would happen and change nothing")
	f.Uint64Var(&w.ifRevision, "if-revision", 0, "only if the object still has this revision; 0: only if it does not exist")
	f.StringVar(&w.comment, "comment", "", "why; kept in the audit log")
	f.BoolVar(&w.wait, "wait", false, "return when every member of the cluster has applied the change")
	inner := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		w.conditional = cmd.Flags().Changed("if-revision")
		return inner(cmd, args)
	}
	return a.printing(c, "table", "json", "yaml"), w
}

// options makes the write options of one change: a fresh request id, so that a retry is the same write.
func (w *writing) options() *hoistv1.WriteOptions {
	o := &hoistv1.WriteOptions{RequestId: fsm.NewRequestID(time.Now().UnixMilli(), uuid.New()), Comment: w.comment, DryRun: w.dryRun,
		ChangeTitle: w.change, ChangeId: w.editChange}
	if w.conditional {
		o.ExpectedRevision = &w.ifRevision
	}
	return o
}

// answer is the answer to any write: a message with a receipt.
type answer interface {
	GetReceipt() *hoistv1.Receipt
}

// send carries out one write. An outcome that is unknown, or a leader that has just gone, is tried again with the same
// request id until the time is up: the log makes sure that it happens once.
func send[T answer](ctx context.Context, a *app, w *writing, call func(context.Context, *hoistv1.WriteOptions) (T, error)) (T, error) {
	var none T
	options := w.options()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	pause := 50 * time.Millisecond
	var unknown error // an attempt that may have been written
	for told := false; ; pause = min(2*pause, time.Second) {
		done, err := call(ctx, options)
		if errorInfo(err).GetCode() == "UNKNOWN_OUTCOME" {
			unknown = err
		}
		if unknown != nil && err != nil && (notWritten(err) || ctx.Err() != nil) {
			err = unknown // this attempt was not written, but the earlier one may have been
		}
		if err == nil || !worthRetrying(err) {
			return done, err
		}
		if !told {
			a.talk("the leader is changing, trying again (%s at most) …", a.timeout)
			told = true
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return none, err
		}
	}
}

// notWritten reports whether an attempt certainly left nothing in the log, for a reason that says nothing about others.
func notWritten(err error) bool {
	switch errorInfo(err).GetCode() {
	case "NO_QUORUM", "NOT_LEADER", "OVERLOADED":
		return true
	}
	return false
}

func worthRetrying(err error) bool {
	switch errorInfo(err).GetCode() {
	case "UNKNOWN_OUTCOME", "NOT_LEADER", "OVERLOADED":
		return connect.CodeOf(err) != connect.CodeDeadlineExceeded
	}
	return false
}

// report says what a write did: one line for people, or the API's message.
func (a *app) report(ctx context.Context, n *node, w *writing, done answer, message view, what string) error {
	receipt := done.GetReceipt()
	if w.wait && !receipt.GetDryRun() {
		if err := a.everywhere(ctx, n, receipt); err != nil {
			return err
		}
	}
	if a.output != "table" {
		return a.showMessage(message.message)
	}
	if id := receipt.GetChangeId(); id != "" {
		fmt.Fprintf(a.stdout, "change %s waits at revision %d\n", id, receipt.GetRevision())
		a.talk("look at it: hoist change get %s; somebody else: hoist change approve %s; then: hoist change apply %s", id, id, id)
		return nil
	}
	switch {
	case receipt.GetDryRun():
		fmt.Fprintf(a.stdout, "%s: would be done (dry run, nothing changed)\n", what)
	case receipt.GetChanged():
		fmt.Fprintf(a.stdout, "%s at revision %d\n", what, receipt.GetRevision())
	default:
		fmt.Fprintf(a.stdout, "%s: already so, revision %d\n", what, receipt.GetObjectRevision())
	}
	return nil
}

// everywhere waits until each member that serves an API has applied the receipt's revision.
func (a *app) everywhere(ctx context.Context, n *node, receipt *hoistv1.Receipt) error {
	members, err := n.cluster.Members(ctx, &hoistv1.MembersRequest{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	for _, m := range members.GetMembers() {
		if m.GetApiAddr() == "" {
			continue // the node that was asked has applied it already
		}
		if err := awaitRevision(ctx, n.where, m.GetApiAddr(), receipt); err != nil {
			return &failure{code: exitTimeout,
				message: fmt.Sprintf("written at revision %d, but %s (%s) has not confirmed it: %v",
					receipt.GetRevision(), m.GetName(), m.GetApiAddr(), err),
				try: "hoist cluster status"}
		}
	}
	return nil
}

// awaitRevision asks one node until it has applied the revision; the node itself waits two seconds per question.
func awaitRevision(ctx context.Context, w where, addr string, receipt *hoistv1.Receipt) error {
	w.addr = addr
	n, err := dial(w)
	if err != nil {
		return err
	}
	read := &hoistv1.ReadOptions{Epoch: receipt.GetEpoch(), MinRevision: receipt.GetRevision()}
	for {
		_, err := n.envs.List(ctx, &hoistv1.ListEnvironmentsRequest{Read: read})
		if errorInfo(err).GetCode() != "BEHIND" || ctx.Err() != nil {
			return err
		}
	}
}
