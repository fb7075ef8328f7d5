package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Evidence is what checkers judge.
type Evidence struct {
	History *History
	Dump    Dump
}

// Violation is one broken promise.
type Violation struct {
	Invariant int    `json:"invariant"` // its number in the list of Invariants
	Name      string `json:"name"`
	At        int64  `json:"at_ns"` // on the history's clock; what comes later is not needed to see it
	Detail    string `json:"detail"`
}

func (v Violation) String() string {
	return fmt.Sprintf("invariant %d (%s): %s", v.Invariant, v.Name, v.Detail)
}

// The numbers of the invariants.
const (
	Linearizable  = 1
	Oracle        = 2
	Hashes        = 3
	Durable       = 4
	Monotonic     = 5
	ReadYourWrite = 6
	Streams       = 7
	OneController = 8
	NeverUp       = 9
	OneRollback   = 10
	Holds         = 11
	Sticky        = 12
	Alive         = 13
	NeverFails    = 14
	Membership    = 15
	Idempotent    = 16
	Available     = 17
	Whole         = 18
)

// Invariants names them all.
func Invariants() map[int]string {
	return map[int]string{
		Linearizable:  "flags are linearizable registers",
		Oracle:        "every answer is what the log says, and has its audit row",
		Hashes:        "equal revisions have equal hashes",
		Durable:       "no acknowledged write is lost",
		Monotonic:     "reads never go back",
		ReadYourWrite: "a read with min_revision sees that revision",
		Streams:       "a follower at a revision has exactly its state",
		OneController: "one controller at a time",
		NeverUp:       "exposure never rises after an abort",
		OneRollback:   "one rollback per trigger",
		Holds:         "no hold ends early",
		Sticky:        "who is in stays in",
		Alive:         "everything works again after healing",
		NeverFails:    "evaluation never fails",
		Membership:    "members change one at a time",
		Idempotent:    "a retry has no second effect",
		Available:     "writes go on while a majority is whole",
		Whole:         "a promotion happens as a whole, once, and goes back as one",
	}
}

// found makes a violation.
func found(invariant int, at int64, format string, args ...any) Violation {
	return Violation{Invariant: invariant, Name: Invariants()[invariant], At: at, Detail: fmt.Sprintf(format, args...)}
}

// Check judges the evidence by every invariant that a record can show. The earliest violation comes first.
func Check(e Evidence) []Violation {
	r, out := replay(e)
	out = append(out, checkHashes(e, r)...)
	out = append(out, checkOps(e, r)...)
	out = append(out, checkReads(e, r)...)
	out = append(out, checkFrames(e, r)...)
	out = append(out, checkMembers(e.Dump)...)
	out = append(out, checkRegisters(e.History.Ops())...)
	slices.SortStableFunc(out, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
	return out
}

// Prefix is the shortest beginning of the history in which a checker still finds the violation, found by halving until
// the deadline. Entries that were applied later are left out as well.
func Prefix(e Evidence, v Violation, deadline time.Time) Evidence {
	low, high := int64(0), lastMoment(e.History)
	shortest := e
	for low < high && time.Now().Before(deadline) {
		middle := low + (high-low)/2
		early := e.until(middle)
		if slices.ContainsFunc(Check(early), func(w Violation) bool { return w.Invariant == v.Invariant }) {
			shortest, high = early, middle
		} else {
			low = middle + 1
		}
		if high-low < 1_000_000 { // a millisecond is short enough
			break
		}
	}
	return shortest
}

// until cuts both the history and the log at a moment.
func (e Evidence) until(at int64) Evidence {
	early := e
	early.History = e.History.Until(at)
	end := slices.IndexFunc(e.Dump.Entries, func(x Entry) bool { return x.Applied > at })
	if end >= 0 {
		early.Dump.Entries = e.Dump.Entries[:end]
		early.Dump.Nodes = nil // they stand at the end of all
	}
	return early
}

func lastMoment(h *History) (last int64) {
	for _, op := range h.Ops() {
		last = max(last, op.Return)
	}
	for _, f := range h.Frames() {
		last = max(last, f.At)
	}
	return last
}
