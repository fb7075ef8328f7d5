package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// Exit codes. They are part of the interface: scripts branch on them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5  // the revision moved, or the state does not allow it
	exitRolledBack  = 6  // the rollout was aborted or rolled back
	exitTimeout     = 7  // gave up waiting
	exitDifferent   = 8  // diff found differences
	exitUnavailable = 9  // no server there, or no quorum
	exitPaused      = 10 // the rollout waits for a person
)

// failure is an error with the two things a person needs: what happened, and what to try next.
type failure struct {
	code    int
	message string
	try     string
}

func (f *failure) Error() string { return f.message }

// usage is a command line that cannot be understood.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &failure{code: exitUsage, message: fmt.Sprintf(format, args...), try: cmd.CommandPath() + " --help"}
}

// failed is a plain failure with a way on.
func failed(try, format string, args ...any) error {
	return &failure{code: exitFailed, message: fmt.Sprintf(format, args...), try: try}
}

// asFailure turns any error into what the process says and returns.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var exit *cluster.ExitError
	if errors.As(err, &exit) {
		return &failure{code: exit.Code, message: exit.Detail}
	}
	var remote *connect.Error
	if errors.As(err, &remote) {
		return fromServer(remote)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{code: exitTimeout, message: "gave up waiting", try: "a longer --timeout, or hoist health"}
	}
	if errors.Is(err, context.Canceled) {
		return &failure{code: exitFailed, message: "interrupted"}
	}
	return &failure{code: exitFailed, message: err.Error()}
}

// fromServer reads the machine code of an error answer; without one the connect code has to do.
func fromServer(err *connect.Error) *failure {
	info := errorInfo(err)
	f := &failure{code: exitFailed, message: err.Message()}
	for _, p := range info.GetProblems() {
		f.message += fmt.Sprintf("\n  %s: %s (%s)", p.GetField(), p.GetMessage(), p.GetCode())
	}
	switch info.GetCode() {
	case "NO_QUORUM", "NOT_LEADER":
		f.code, f.try = exitUnavailable, "hoist cluster status; evaluations keep working meanwhile"
		return f
	case "READ_ONLY_DISK":
		f.code, f.try = exitUnavailable, "free space on the leader's disk (hoist cluster status shows all disks); no restart is needed"
		return f
	case "UNKNOWN_OUTCOME":
		f.try = "hoist flag history KEY shows whether it was written; repeating the command is safe with --if-revision"
		return f
	case "CONFLICT":
		f.code = exitConflict
		f.try = fmt.Sprintf("read it again; its revision is %d now", info.GetRevision())
		return f
	case "ILLEGAL":
		f.code, f.try = exitConflict, "hoist rollout status ID shows where it stands"
		return f
	case "FROZEN":
		f.code, f.try = exitConflict, "wait, or hoist env unfreeze; aborting and killing work meanwhile"
		return f
	case "EXISTS":
		f.code, f.try = exitConflict, "set instead of create, or another key"
		return f
	case "ENV_PROTECTED":
		f.code, f.try = exitConflict, "the same with --change TITLE, or hoist promotion create; hoist env policy shows and changes what the environment asks"
		return f
	case "RES_STATE":
		f.code, f.try = exitConflict, "get ID shows where it stands and what is possible"
		return f
	case "PROM_STALE":
		f.code, f.try = exitConflict, "hoist promotion validate ID, then have it approved again"
		return f
	case "PROM_DRIFT":
		f.code, f.try = exitConflict, "hoist promotion drift ID shows what was edited; rollback --force loses it"
		return f
	case "PERM_SELF_APPROVAL":
		f.code, f.try = exitDenied, "ask somebody else to approve, with a token of their own"
		return f
	case "AUTH_REQUIRED":
		f.code = exitDenied
		f.try = "HOIST_TOKEN=hst_… or --token; the first one of a fresh cluster comes from hoist token bootstrap"
		return f
	case "BEHIND":
		f.code, f.try = exitTimeout, "the same again in a moment, or another node with --addr"
		return f
	}
	f.byConnectCode(err)
	return f
}

func (f *failure) byConnectCode(err *connect.Error) {
	switch err.Code() {
	case connect.CodeNotFound:
		f.code = exitNotFound // run knows which command lists the rest
	case connect.CodePermissionDenied, connect.CodeUnauthenticated:
		f.code, f.try = exitDenied, "another --token, or ask who may"
	case connect.CodeAborted, connect.CodeAlreadyExists, connect.CodeFailedPrecondition:
		f.code, f.try = exitConflict, "read the object again and repeat"
	case connect.CodeInvalidArgument:
		f.try = "correct the fields named above"
	case connect.CodeDeadlineExceeded:
		f.code, f.try = exitTimeout, "a longer --timeout, or hoist health"
	case connect.CodeUnavailable:
		f.code, f.try = exitUnavailable, "hoist health, another --addr, or start a node with: hoist dev"
	case connect.CodeCanceled:
		f.message = "interrupted"
	}
}

// errorInfo finds the machine-readable detail of an error answer; nil when there is none.
func errorInfo(err error) *hoistv1.ErrorInfo {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return nil
	}
	for _, detail := range remote.Details() {
		if value, err := detail.Value(); err == nil {
			if info, ok := value.(*hoistv1.ErrorInfo); ok {
				return info
			}
		}
	}
	return nil
}

// unreachable says so in words when a call never reached a node.
func unreachable(addr string, err error) error {
	var remote *connect.Error
	if errors.As(err, &remote) && remote.Code() == connect.CodeUnavailable && errorInfo(err) == nil {
		reason := remote.Message()
		if i := strings.LastIndex(reason, ": "); i >= 0 {
			reason = reason[i+2:]
		}
		return &failure{code: exitUnavailable, message: fmt.Sprintf("no node answers at %s: %s", addr, reason),
			try: "start one with: hoist dev, or name another with --addr or HOIST_ADDR"}
	}
	return err
}
