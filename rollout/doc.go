// Package rollout is the wisdom above the law: it says what a rollout should do next, and, on the leader, proposes it.
//
// Decide is pure: a time, a rollout and what stands in its way give at most one command and the reason in words. The law
// (package fsm) refuses what was decided on another state, so the Pilot keeps no state of its own: any leader takes over
// at any instruction, and nothing happens twice. Time never overrides evidence, and nothing unmeasured is ever called
// successful.
//
//	plan, err := rollout.ParsePlan(yaml)
//	decision := rollout.Decide(now, r, rollout.Gates{})
//	fmt.Println(decision.Rule, decision.Why, decision.Wake)
//	pilot := &rollout.Pilot{Store: store, Cluster: node, Metrics: providers}
//	err = pilot.Run(ctx)
package rollout
