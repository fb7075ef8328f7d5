// Package evaluator answers one question: which variant does a flag serve in this context, and why. It is pure: the
// answer depends on an immutable compiled snapshot and the context only. No clock, no randomness, no I/O, no
// logger, no goroutine; time and ids are inputs of those who build snapshots.
//
// A Flag or Segment is what people write. Check says everything that is wrong with it, Compile turns it into what
// evaluation reads, and only compiled definitions can be put into a Snapshot: what was not checked cannot be
// evaluated, and so a committed flag never errors. A Snapshot is one pointer; changing one flag of 100,000 copies
// one page of its index, and Since gives the exact difference between two revisions.
//
//	flag, err := evaluator.DecodeFlag(text)            // strict JSON
//	compiled, err := evaluator.Compile(flag)           // all problems at once, with their places
//	next := snapshot.With(evaluator.Changes{Revision: 42, Flags: []*evaluator.Compiled{compiled}})
//	err = evaluator.ParseContext(body, &context)       // {"targetingKey":"user-42","plan":"pro"}
//	result := next.Evaluate("checkout", &context)      // {Value, Variant, Reason, RuleID, …}
//	why := next.Explain("checkout", &context)          // the same result, and every step towards it
//
// The invariant: equal snapshots and equal contexts give equal results, on every node, edge and client and after
// every restart, and Evaluate allocates nothing. The case files in testdata/cases are the contract of what the results are.
package evaluator
