// Package cluster keeps N nodes agreeing on one log of proposals.
//
// A Node takes proposals on any member, gets each one committed through whichever member leads, and applies the log to
// the fsm.Store it was given. Raft carries the log, gossip finds the members, and one small peer protocol carries what
// raft does not: forwarded writes, joins, the state of a peer, read indexes and orders of an operator.
//
// The invariant: Propose returns success only for a write that a majority has on disk and that this node has applied,
// and an error says whether the write may still happen (UNKNOWN_OUTCOME) or certainly did not (every other kind).
// Evaluation never depends on anything here but the Store: it goes on when quorum, network or disk are gone.
//
//	store := fsm.NewStore()
//	node, err := cluster.Open(ctx, cluster.Config{Store: store, BootstrapExpect: 1})
//	if err != nil { ... }
//	defer node.Close()
//	receipt, err := node.Propose(ctx, &fsm.Proposal{Actor: actor, Command: command})
//	snapshot := store.State() // holds receipt.Revision already
package cluster
