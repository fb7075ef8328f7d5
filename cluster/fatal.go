package cluster

import (
	"fmt"

	"github.com/hoistflags/hoist/fsm"
)

// Exit codes of a process whose node cannot go on.
const (
	ExitDisk       = 70 // the disk hangs or fails
	ExitDivergence = 71 // this node's state differs from the cluster's
	ExitRemoved    = 72 // this server was removed from the cluster
	ExitUnknownLaw = 73 // the log or the data directory needs a newer release
)

// ExitError is the reason why the process must end, and with which code.
type ExitError struct {
	Code   int
	Detail string
}

func (e *ExitError) Error() string { return e.Detail }

func exitFromLaw(e *fsm.LawError) *ExitError { return &ExitError{Code: e.ExitCode, Detail: e.Detail} }

// Fatal delivers the reason why the process must end (an *ExitError, or a plain error for a mistake in the
// configuration that only the other members could show). At most one is delivered.
func (n *Node) Fatal() <-chan error { return n.fatal }

// fail records the first reason to end.
func (n *Node) fail(err error) {
	n.dying.Store(true)
	select {
	case n.fatal <- err:
		n.log.Error("the node cannot go on", "error", err)
	default:
	}
}

func (n *Node) failf(code int, format string, args ...any) {
	n.fail(&ExitError{Code: code, Detail: fmt.Sprintf(format, args...)})
}
