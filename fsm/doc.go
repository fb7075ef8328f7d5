// Package fsm is the law: it decides what a command does to the state, identically on every node.
//
// Apply reads the state and a log entry and nothing else: no clock, no randomness, no map order, no I/O. A Store owns
// the current State; a State is immutable, so a snapshot of everything is one pointer, and a reader never waits for a
// writer. What cannot be compiled is refused and never stored: a committed flag never errors at evaluation.
//
// The invariant: the same log gives the same Full hash on every node, from its first entry or from any saved state.
//
//	store := fsm.NewStore()
//	command, err := fsm.EncodeCommand(fsm.Kill{Scope: fsm.Scope{Tenant: "default", Environment: "dev"}, Key: "checkout"})
//	proposal := fsm.Proposal{RequestID: id, Actor: actor, At: now, Command: command}
//	outcome := store.Apply([]fsm.Entry{{Index: 7, Term: 2, Data: proposal.Encode()}})[0]
//	live, _ := store.Live("default", "dev")
//	result := live.Snapshot().Evaluate("checkout", &evaluator.Context{TargetingKey: "user-1"})
package fsm
