package chaos

import (
	"slices"

	"github.com/hoistflags/hoist/fsm"
)

// auditOf checks the rows an entry wrote: as many as changes, one behind the other in the chain.
func (r *replayed) auditOf(e Entry, before, now *fsm.State) (out []Violation) {
	seq, head := before.AuditHead()
	rows := now.Audit(seq, 1<<16)
	if err := fsm.VerifyAudit(head, rows); err != nil {
		out = append(out, found(Oracle, e.Applied, "entry %d: %v", e.Index, err))
	}
	if last, _ := now.AuditHead(); last != seq+uint64(len(rows)) {
		out = append(out, found(Oracle, e.Applied, "entry %d: the chain goes from row %d to %d with %d rows", e.Index, seq, last, len(rows)))
	}
	a := r.said[len(r.said)-1]
	if !a.known || a.place == "" {
		return out
	}
	own := slices.DeleteFunc(rows, func(row fsm.Audit) bool { return row.Environment != a.place || row.RequestID != a.request.id })
	if len(own) != a.rows {
		out = append(out, found(Oracle, e.Applied, "entry %d (%s): %d audit rows, the model says %d", e.Index, a.what, len(own), a.rows))
	}
	return out
}

// checkOps compares every write with the log.
func checkOps(e Evidence, r *replayed) (out []Violation) {
	ops := e.History.Ops()
	maybe := map[string]bool{} // another attempt of the request may have happened
	for _, op := range ops {
		if op.Request != "" && op.Outcome != Fail {
			maybe[op.Request] = true
		}
	}
	for _, op := range ops {
		if op.Input.Kind.Reads() {
			continue
		}
		person := op.Input.Person()
		index, logged := r.request[asked{person.Kind + "/" + person.ID, op.Request}]
		switch op.Outcome {
		case OK:
			out = append(out, r.checkDone(op, index, logged)...)
		case Fail:
			if !maybe[op.Request] {
				out = append(out, r.checkRefused(op, index, logged)...)
			}
		}
	}
	return out
}

func (r *replayed) checkDone(op Op, index uint64, logged bool) []Violation {
	if op.Revision > r.last() && !logged {
		return []Violation{found(Durable, op.Return, "write %s was acknowledged at revision %d, but the log ends at %d", op.Request, op.Revision, r.last())}
	}
	if !logged {
		return []Violation{found(Durable, op.Return, "write %s was acknowledged at revision %d and is not in the log", op.Request, op.Revision)}
	}
	if index != op.Revision {
		return []Violation{found(Oracle, op.Return, "write %s was acknowledged at revision %d and is in the log at %d", op.Request, op.Revision, index)}
	}
	o := r.law[r.place(index)]
	switch {
	case o.Err != nil:
		return []Violation{found(Oracle, op.Return, "write %s at %d was acknowledged, but refused by the law: %v", op.Request, index, o.Err)}
	case o.Receipt.Object != op.Result.Object || o.Receipt.Changed != op.Result.Changed:
		return []Violation{found(Oracle, op.Return, "write %s at %d: the client was told object %d, changed %v; the log says %d, %v",
			op.Request, index, op.Result.Object, op.Result.Changed, o.Receipt.Object, o.Receipt.Changed)}
	}
	return nil
}

// neverLogged are the refusals that promise that nothing happened.
var neverLogged = []fsm.Kind{fsm.KindNoQuorum, fsm.KindNotLeader, fsm.KindOverloaded, fsm.KindRestored, fsm.KindReadOnlyDisk, codeDown}

// checkRefused: a refusal of the law is what the log says, any other refusal is not in the log.
func (r *replayed) checkRefused(op Op, index uint64, logged bool) []Violation {
	code := fsm.Kind(op.Result.Code)
	switch {
	case slices.Contains(neverLogged, code) && logged:
		return []Violation{found(Oracle, op.Return, "write %s was said not to have happened (%s), and is in the log at %d", op.Request, code, index)}
	case (code == fsm.KindConflict || code == fsm.KindExists) && !logged:
		return []Violation{found(Oracle, op.Return, "write %s was refused with %s, which only the log can say, and is not in it", op.Request, code)}
	case logged:
		if said := codeOf(r.law[r.place(index)].Err); said != string(code) {
			return []Violation{found(Oracle, op.Return, "write %s was refused with %s, the log at %d says %q", op.Request, code, index, said)}
		}
	}
	return nil
}

// checkHashes compares what nodes showed on the way and in the end with the replayed log.
func checkHashes(e Evidence, r *replayed) (out []Violation) {
	for _, s := range e.Dump.Sightings {
		state := r.at(s.Index)
		if state == nil || state.epoch != s.Epoch {
			continue
		}
		if s.Domain != "" && s.Domain != state.domain || s.Full != "" && s.Full != state.full {
			out = append(out, found(Hashes, r.appliedAt(s.Index), "%s has another state at revision %d than the replayed log", s.Node, s.Index))
		}
	}
	for _, n := range e.Dump.Nodes {
		state := r.at(n.Index)
		if state == nil {
			continue
		}
		if n.Full != state.full || n.Domain != state.domain {
			out = append(out, found(Hashes, r.appliedAt(n.Index), "%s ends at revision %d with another state than the replayed log", n.Node, n.Index))
		}
		if n.Index < r.last() {
			out = append(out, found(Alive, lastMoment(e.History), "%s ends at revision %d, the log at %d", n.Node, n.Index, r.last()))
		}
	}
	return out
}

// checkMembers: consecutive configurations differ by one voter at most, and who was removed never leads again.
func checkMembers(d Dump) (out []Violation) {
	var voters []string
	gone := map[string]uint64{}
	for _, e := range d.Entries {
		if e.Config {
			if voters != nil && apart(voters, e.Voters) > 1 {
				out = append(out, found(Membership, e.Applied, "entry %d changes more than one voter: %v to %v", e.Index, voters, e.Voters))
			}
			for _, id := range voters {
				if !slices.Contains(e.Voters, id) && !slices.Contains(e.Members, id) {
					gone[id] = e.Index
				}
			}
			voters = e.Voters
		}
		if l, ok := established(e.Entry); ok && gone[l.ServerID] != 0 {
			out = append(out, found(Membership, e.Applied, "server %s leads term %d at entry %d, it was removed at %d", l.ServerID, l.Term, e.Index, gone[l.ServerID]))
		}
	}
	return out
}

func apart(a, b []string) (n int) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			n++
		}
	}
	for _, x := range b {
		if !slices.Contains(a, x) {
			n++
		}
	}
	return n
}

func established(e fsm.Entry) (fsm.LeaderEstablished, bool) {
	if e.Data == nil {
		return fsm.LeaderEstablished{}, false
	}
	p, err := fsm.DecodeProposal(e.Data)
	if err != nil {
		return fsm.LeaderEstablished{}, false
	}
	c, err := fsm.DecodeCommand(p.Command)
	l, ok := c.(fsm.LeaderEstablished)
	return l, err == nil && ok
}
