// Package archive keeps a chained log of a node for ever: the change log, and that of rollouts. Every row, with its record, stands in files that are
// only appended to.
//
// Its invariant: the rows of the files follow each other in the chain that package fsm makes. Where a node missed rows that
// nobody has any more, a new file begins behind the gap, and Verify names it. Memory does not grow with the number of
// rows: a full file is found again through an index beside it.
//
//	a, err := archive.Open("hoist-data/audit")
//	err = a.Append(state.News())
//	page, err := a.Find(fsm.AuditFilter{Tenant: "default", Target: "flag/checkout"}, 0, 100)
//	err = a.Verify()
package archive
