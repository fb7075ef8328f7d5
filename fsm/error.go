package fsm

import (
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

// Kind classifies an Error; the doors have one table from Kind to status and exit code.
type Kind string

// The kinds of an Error. Those of the first group come out of Apply and Check.
const (
	KindInvalid      Kind = "INVALID"   // understood, but against a rule; Problems names the fields
	KindMalformed    Kind = "MALFORMED" // does not decode
	KindNotFound     Kind = "NOT_FOUND"
	KindConflict     Kind = "CONFLICT" // the expected revision moved, or it is still referred to
	KindExists       Kind = "EXISTS"
	KindIllegal      Kind = "ILLEGAL" // not in the phase it is in
	KindFrozen       Kind = "FROZEN"  // the environment lets nothing rise
	KindDenied       Kind = "PERM_DENIED"
	KindUnknownToken Kind = "AUTH_TOKEN" // the actor's token is unknown, revoked or expired
	KindFenced       Kind = "FENCED"     // the controller's term is over

	// What changes and promotions answer.

	KindState        Kind = "RES_STATE"          // not in the state it is in; State and Allowed say what is
	KindStale        Kind = "PROM_STALE"         // source or target moved since the validation
	KindDrift        Kind = "PROM_DRIFT"         // its items were edited since
	KindPipeline     Kind = "PROM_PIPELINE"      // the target takes no promotions from that source
	KindSelfApproval Kind = "PERM_SELF_APPROVAL" // nobody approves what they asked for
	KindProtected    Kind = "ENV_PROTECTED"      // declarations change through a Change only

	KindRequestReused  Kind = "VAL_REQUEST_REUSED"
	KindRequestExpired Kind = "VAL_REQUEST_EXPIRED"

	// The rest is said by whoever carries a proposal, never by Apply.

	KindNotLeader      Kind = "NOT_LEADER"
	KindNoQuorum       Kind = "NO_QUORUM"
	KindUnknownOutcome Kind = "UNKNOWN_OUTCOME"
	KindOverloaded     Kind = "OVERLOADED"
	KindRestored       Kind = "RESTORED" // another epoch began
	KindReadOnlyDisk   Kind = "READ_ONLY_DISK"
	KindBehind         Kind = "BEHIND" // min_revision not reached in time; Revision is the current one
	KindInternal       Kind = "INTERNAL"
)

// Problems is evaluator.Problems: the floors above name it without reaching past the law.
type Problems = evaluator.Problems

// Error says which thing, doing what, what is wrong and what to do about it.
type Error struct {
	Kind     Kind
	Op       string   // verb, e.g. "flag.put"
	Target   string   // e.g. `flag "checkout" in default/dev`
	Detail   string   // one sentence: what is wrong and what to do
	Problems Problems // per field, for KindInvalid and KindMalformed
	Revision uint64   // the current revision of the target where that helps
	State    string   // of KindState: where the target stands
	Allowed  []string // of KindState: the moves that are possible instead
	Err      error
}

// Error gives everything on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Kind))
	for _, part := range []string{e.Op, e.Target, e.Detail} {
		if part != "" {
			b.WriteString(": ")
			b.WriteString(part)
		}
	}
	if len(e.Problems) > 0 {
		b.WriteString(": ")
		b.WriteString(e.Problems.Error())
	}
	return b.String()
}

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.Err }

// LawError means that this binary must not go on: the log holds something it cannot apply, or its state differs from
// the leader's. ExitCode is the exit code of the process: 73 and 71.
type LawError struct {
	ExitCode int
	Detail   string
}

// Error returns the detail.
func (e *LawError) Error() string { return e.Detail }

const (
	exitDiverged   = 71
	exitUnknownLaw = 73
)
