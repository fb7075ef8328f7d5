// Package wire translates between the public messages of hoist.v1 and the Go shapes of evaluator and fsm. It is the only
// hand-written code that knows both, and it judges nothing: what a definition may hold is the law's business, except for
// what a message can say and the shapes cannot (a number that is not finite, a value nested without end).
//
// Invariant: EncodeFlag(DecodeFlag(m)) equals m for every message that DecodeFlag accepts, and likewise for segments.
//
//	flag, err := wire.DecodeFlag(request.GetFlag())
//	if err != nil {
//		return err // evaluator.Problems with a JSON pointer each
//	}
//	state := wire.EncodeFlag(flag)
package wire
