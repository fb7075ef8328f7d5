// Package transport is every door of a node: Connect, gRPC and gRPC-Web for programs and people who manage flags, OFREP
// and its event stream for OpenFeature clients, Follow for those who evaluate by themselves, and health and metrics.
// It turns requests into proposals and snapshots into answers, and owns no state of its own.
//
// Invariants: an evaluation reads one snapshot by one atomic load and never waits for a leader unless the caller asked
// for it; what can be judged without state is refused here and never reaches the log; every answer names the epoch and
// the revision that it was read from; a revision is announced only after this node has applied it.
//
//	server, err := transport.NewCore(transport.Config{Store: store, Node: node, Logger: logger})
//	if err != nil {
//		return err
//	}
//	go server.Serve(listener)
//	defer server.Close()
package transport
