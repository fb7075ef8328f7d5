package chaos

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
)

// Dump implements World. While processes run it tells where they stand; after Finish it holds the log as well.
func (w *Processes) Dump() Dump {
	w.mu.Lock()
	finished := w.final
	w.mu.Unlock()
	if finished != nil {
		return *finished
	}
	var d Dump
	for _, node := range w.Nodes() {
		if s := w.status(node); s != nil {
			d.Nodes = append(d.Nodes, Standing{Node: node, ServerID: s.GetNodeId(), Epoch: s.GetPosition().GetEpoch(), Index: s.GetApplied(), Domain: s.GetDomainHash()})
		}
	}
	return d
}

// Finish ends all processes and reads their data directories: the longest log, and where each node stands. Two nodes whose
// logs differ at one index are a clash. All are stopped in their tracks before the first is killed: one that ended before
// the others would make them elect, and write about it what it never sees.
func (w *Processes) Finish() error {
	var d Dump
	entries := map[uint64]*raft.Log{}
	for _, node := range w.Nodes() {
		if err := w.Pause(node); err != nil {
			return err
		}
	}
	for _, node := range w.Nodes() {
		if err := w.Crash(node); err != nil {
			return err
		}
	}
	for _, node := range w.Nodes() {
		dir := w.machine(node).data
		seen, err := cluster.Inspect(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		for _, f := range seen.Findings {
			if f.Severity == cluster.SeverityProblem {
				return fmt.Errorf("%s: %s", node, f.What)
			}
		}
		s := seen.State
		seq, head := s.AuditHead()
		d.Nodes = append(d.Nodes, Standing{Node: node, ServerID: seen.ServerID, Epoch: s.Epoch(), Index: s.Index(), Domain: s.DomainHash(), Full: s.FullHash(),
			AuditSeq: seq, AuditHead: head})
		if err := cluster.ReadLog(dir, func(l *raft.Log) error {
			if old := entries[l.Index]; old != nil && (old.Term != l.Term || old.Type != l.Type || string(old.Data) != string(l.Data)) {
				d.Clashes = append(d.Clashes, fmt.Sprintf("%s applied another entry %d than others", node, l.Index))
			}
			entries[l.Index] = l
			return nil
		}); err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
	}
	for index := uint64(1); entries[index] != nil; index++ {
		if e, ok := entryOf(entries[index]); ok {
			d.Entries = append(d.Entries, e)
		}
	}
	w.mu.Lock()
	w.final = &d
	w.mu.Unlock()
	return nil
}

// entryOf is an entry of raft as the state machine gets it; raft keeps some for itself.
func entryOf(l *raft.Log) (Entry, bool) {
	e := Entry{Entry: fsm.Entry{Index: l.Index, Term: l.Term}}
	switch l.Type {
	case raft.LogCommand:
		e.Data = l.Data
	case raft.LogConfiguration:
		e.Config = true
		for _, s := range raft.DecodeConfiguration(l.Data).Servers {
			e.Members = append(e.Members, string(s.ID))
			if s.Suffrage == raft.Voter {
				e.Voters = append(e.Voters, string(s.ID))
			}
		}
	default:
		return Entry{}, false
	}
	return e, true
}
