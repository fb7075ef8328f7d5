// Package openfeature is hoist for programs that use the OpenFeature SDK: a provider that follows one environment and
// evaluates in process, by the evaluator that servers and edges use.
//
// Invariant: an evaluation never waits for the network; values, variants, reasons, error codes and the flag's own metadata
// are those of the OFREP door of a server at the same revision. There is no Tracker: hoist takes no events yet.
//
//	provider := hoist.NewProvider(client.Config{Addr: "http://127.0.0.1:7700", CacheFile: "/var/lib/shop/flags"})
//	if err := openfeature.SetProviderWithContextAndWait(ctx, provider); err != nil {
//		return err
//	}
//	flags := openfeature.NewDefaultClient()
//	on, err := flags.BooleanValue(ctx, "new-checkout", false, openfeature.NewEvaluationContext("user-1", nil))
package openfeature
