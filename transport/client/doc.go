// Package client is hoist for Go programs: Client answers from memory what the flags of an environment say, Replica is
// the copy of the environment underneath, Services are the generated services of hoist.v1 with the caller's headers in
// place.
//
// Invariant of Replica: what it serves is exactly what some node served at Position, and within one epoch the position
// never goes back, whichever nodes it is connected to, however often it reconnects, and across restarts with a cache
// file. A Client therefore never fails because of the network: it gets older, and says so.
//
//	flags, err := client.Open(ctx, client.Config{Addr: "http://127.0.0.1:7700", CacheFile: "/var/lib/shop/flags"})
//	if err != nil {
//		return err
//	}
//	defer flags.Close()
//	if flags.Bool("new-checkout", false, evaluator.NewContext("user-1")) {
//		…
//	}
package client
