package cluster

import "time"

// Leading returns the term in which this node leads; false while it does not, or while what was committed before is not
// applied here yet. A command that carries the term is refused by the law in any other.
func (n *Node) Leading() (term uint64, ok bool) {
	if l := n.lead.Load(); l != nil {
		return l.term, true
	}
	return 0, false
}

// Changed returns a channel that closes when this node's leadership, or the leader it knows, changes. Take it first, then
// ask Leading: nothing is missed.
func (n *Node) Changed() <-chan struct{} { return n.changed.wait() }

// Now is the leader's time, which stamps the entries of its term. A node that does not lead gives the time its state has
// reached.
func (n *Node) Now() time.Time {
	if l := n.lead.Load(); l != nil {
		return time.UnixMilli(l.clock.now())
	}
	return time.UnixMilli(n.cfg.Store.State().Now())
}
