// Package client talks to hoist from Go: Client holds the generated services of hoist.v1 with the caller's headers in
// place, Replica follows an environment and evaluates from its own memory.
//
// Invariant of Replica: what it serves is exactly what some node served at Position, and within one epoch the position
// never goes back, whichever nodes it is connected to and however often it reconnects.
//
//	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{"http://127.0.0.1:7700"}, Environment: "dev"})
//	if err != nil {
//		return err
//	}
//	defer replica.Close()
//	if err := replica.Ready(ctx); err != nil {
//		return err
//	}
//	result := replica.Evaluate("checkout", &evaluator.Context{TargetingKey: "user-1"})
package client
