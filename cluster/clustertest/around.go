package clustertest

import "github.com/hashicorp/raft"

// Point is a moment in the life of a log entry on one member.
type Point string

// The points of an entry, in their order. A leader that ends at the first two leaves nothing, or an entry that nobody else
// has; at the third everybody will have it, but whoever asked for it hears nothing.
const (
	Appending  Point = "before it is on disk"
	Appended   Point = "on its disk only"
	HasApplied Point = "applied, not answered"
)

// aroundLog tells Options.Around of what a member writes into its log.
type aroundLog struct {
	raft.LogStore
	around func(Point, *raft.Log)
}

func (a aroundLog) StoreLog(l *raft.Log) error { return a.StoreLogs([]*raft.Log{l}) }

func (a aroundLog) StoreLogs(logs []*raft.Log) error {
	tell := func(p Point) {
		for _, l := range logs {
			a.around(p, l)
		}
	}
	tell(Appending)
	err := a.LogStore.StoreLogs(logs)
	if err == nil {
		tell(Appended)
	}
	return err
}
