// Package argo turns an Argo Rollout with its AnalysisTemplates into a plan.
//
// Invariant: nothing is dropped silently. What has a meaning for flags is converted, what has none is refused by name,
// with file, line, field and reason; pods and replicas become a note when the caller is lenient.
//
//	plan, notes, err := argo.Convert(argo.Input{File: "rollout.yaml", Data: data, Flag: "new-checkout", Variant: "on", Lenient: true})
//	var refused argo.Refusals
//	if errors.As(err, &refused) {
//		fmt.Println(refused) // rollout.yaml:12: spec.strategy.canary.trafficRouting: …
//	}
package argo
