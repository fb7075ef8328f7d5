package transport

import (
	"math"
	"slices"

	"github.com/hoistflags/hoist/fsm"
)

// Ledger is where a node keeps the rows of the change log that its state does not hold any more, with what each wrote.
type Ledger interface {
	// Head is the number and hash of the newest row kept; a row may come to the state a little earlier.
	Head() (seq uint64, hash string)
	// Find returns rows that are wanted, newest first; before 0: from the newest on.
	Find(want fsm.AuditFilter, before uint64, limit int) ([]fsm.Written, error)
	// Rows returns rows after seq in order, about so many bytes of them.
	Rows(after uint64, limit, bytes int) ([]fsm.Written, error)
	// Verify reads everything and follows the chain.
	Verify() (fsm.AuditReport, error)
}

// scanRows bounds how many rows one answer looks at when it goes through them in order.
const (
	scanRows  = 20_000
	scanBytes = 8 << 20
)

// newestRows finds up to limit rows that are wanted, newest first: those that only the state has, then those of the ledger.
func (s *Server) newestRows(state *fsm.State, want fsm.AuditFilter, before uint64, limit int) ([]fsm.Written, error) {
	kept := s.keptRows(state)
	var out []fsm.Written
	if before == 0 {
		before = math.MaxUint64
	}
	for _, row := range slices.Backward(state.Audit(kept, math.MaxInt)) {
		if len(out) == limit {
			return out, nil
		}
		if row.Seq < before && want.Matches(&row) {
			out = append(out, fsm.Written{Audit: row, Record: state.RecordOf(&row)})
		}
	}
	if kept == 0 || len(out) == limit {
		return out, nil
	}
	older, err := s.cfg.Ledger.Find(want, min(before, kept+1), limit-len(out))
	return append(out, older...), err
}

// keptRows is up to where the ledger has every row; 0 without one.
func (s *Server) keptRows(state *fsm.State) uint64 {
	if s.cfg.Ledger == nil {
		return 0
	}
	seq, _ := s.cfg.Ledger.Head()
	head, _ := state.AuditHead()
	return min(seq, head)
}

// rowsAfter finds up to limit rows that are wanted, oldest first, and says how far it looked.
func (s *Server) rowsAfter(state *fsm.State, want fsm.AuditFilter, after uint64, limit int) (out []fsm.Audit, scanned uint64, err error) {
	scanned = after
	take := func(row *fsm.Audit) bool {
		if len(out) == limit {
			return false
		}
		if scanned = row.Seq; want.Matches(row) {
			out = append(out, *row)
		}
		return true
	}
	if kept := s.keptRows(state); scanned < kept {
		rows, err := s.cfg.Ledger.Rows(scanned, scanRows, scanBytes)
		if err != nil {
			return nil, 0, err
		}
		for i := range rows {
			if !take(&rows[i].Audit) {
				return out, scanned, nil
			}
		}
		if scanned < kept {
			return out, scanned, nil
		}
	}
	rows := state.Audit(scanned, scanRows)
	for i := range rows {
		if !take(&rows[i]) {
			break
		}
	}
	return out, scanned, nil
}

// verifyRows judges what this node keeps: the files, the state, and that they say the same; and the files of rollouts.
func (s *Server) verifyRows(state *fsm.State) (fsm.AuditReport, error) {
	var report fsm.AuditReport
	if s.cfg.Ledger != nil {
		var err error
		if report, err = s.cfg.Ledger.Verify(); err != nil {
			return report, err
		}
	}
	held := state.Audit(0, math.MaxInt)
	if err := fsm.VerifyAudit(state.AuditBefore(), held); err != nil {
		first := uint64(0)
		if len(held) > 0 {
			first = held[0].Seq
		}
		report.Findings = append(report.Findings, fsm.AuditFinding{Seq: first, Where: "state", Why: err.Error()})
	}
	for _, row := range held {
		switch {
		case row.Seq == report.Last && row.Hash != report.Hash:
			report.Findings = append(report.Findings, fsm.AuditFinding{Seq: row.Seq, Where: "state", Why: "the files of this node hold another row with this number"})
		case row.Seq > report.Last:
			if report.First == 0 {
				report.First = row.Seq
			}
			report.Rows, report.Last, report.Hash = report.Rows+1, row.Seq, row.Hash
		}
	}
	if s.cfg.Rollouts == nil {
		return report, nil
	}
	rollouts, err := s.cfg.Rollouts.Verify()
	report.Findings = append(report.Findings, rollouts.Findings...)
	return report, err
}

// versions lists versions of an item, newest first: those that the state holds, then those of the ledger. before, unless it
// is 0, leaves out that revision and newer ones.
func (s *Server) versions(env *fsm.Environment, object fsm.ObjectKind, key string, before uint64, limit int) ([]fsm.Version, error) {
	var out []fsm.Version
	oldest := before
	for _, v := range env.History(object, key) {
		if before > 0 && v.Revision >= before {
			continue
		}
		if len(out) == limit {
			return out, nil
		}
		out, oldest = append(out, v), v.Revision
	}
	if s.cfg.Ledger == nil {
		return out, nil
	}
	want := fsm.AuditFilter{Tenant: env.Tenant(), Environment: env.Key(), Target: string(object) + "/" + key, Below: oldest}
	for page := uint64(0); len(out) < limit; {
		rows, err := s.cfg.Ledger.Find(want, page, limit)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if page = row.Seq; row.Before == row.After || len(out) == limit { // a switch beside the item
				continue
			}
			out = append(out, fsm.Version{Revision: row.Index, At: row.At, Actor: row.Actor, Verb: row.Verb, Record: row.Record})
		}
		if len(rows) < limit {
			break
		}
	}
	return out, nil
}

// version finds one version of an item, wherever it is.
func (s *Server) version(env *fsm.Environment, object fsm.ObjectKind, key string, revision uint64) (fsm.Version, error) {
	found, err := s.versions(env, object, key, revision+1, 1)
	if err == nil && (len(found) == 0 || found[0].Revision != revision) {
		err = &fsm.Error{Kind: fsm.KindNotFound, Op: "read version", Target: formatRevision(revision),
			Detail: key + " has no such version here; its versions are listed by their revisions"}
	}
	if err != nil {
		return fsm.Version{}, err
	}
	return found[0], nil
}
