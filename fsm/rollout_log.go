package fsm

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// RolloutRecord is one line of the log of rollouts: an event with what its move was decided on, or measurements that were
// taken in, with the answers as the providers gave them.
type RolloutRecord struct {
	Plan     *Plan            `json:"plan,omitzero"`  // with the first event
	Event    *Event           `json:"event,omitzero"` // or
	Measured []MeasuredRecord `json:"measured,omitempty"`
}

// MeasuredRecord is one measurement with everything it was made of.
type MeasuredRecord struct {
	Attempt     int         `json:"attempt"`
	Run         int         `json:"run"`
	Kind        RunKind     `json:"kind"`
	Step        int         `json:"step"` // in which the run began
	Metric      string      `json:"metric"`
	Query       string      `json:"query,omitempty"`
	Weight      Percent     `json:"weight"`
	Measurement Measurement `json:"measurement"`
	Raw         *RawAnswer  `json:"raw,omitzero"`
	StableRaw   *RawAnswer  `json:"stableRaw,omitzero"`
}

// DecodeRolloutRecord reads the record of a row of the log of rollouts, strictly.
func DecodeRolloutRecord(record []byte) (*RolloutRecord, error) {
	x := &RolloutRecord{}
	if err := json.Unmarshal(record, x, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("a record of a rollout: %w", err)
	}
	return x, nil
}

// RolloutLog is the log of all rollouts: rows in a chain of their own, like those of the change log, whose records are
// RolloutRecords. The state holds the head of the chain and a few rows without their records, so it does not grow with
// what is measured; whoever archives the rows has them all.
type RolloutLog struct{ tail *auditTail }

// RolloutLog is the state's.
func (s *State) RolloutLog() RolloutLog { return RolloutLog{&s.records} }

// maxRolloutRows are kept in the state: enough to see where an archive and the chain parted.
const maxRolloutRows = 256

func newRecords() auditTail { return auditTail{keep: maxRolloutRows} }

// AuditHead is the number and hash of the newest row.
func (l RolloutLog) AuditHead() (seq uint64, hash string) { return l.tail.seq, l.tail.head.hex() }

// AuditBefore is the hash of the row before the oldest that the state holds.
func (l RolloutLog) AuditBefore() string { return l.tail.before.hex() }

// Audit returns up to limit rows after one, oldest first, of those that the state holds.
func (l RolloutLog) Audit(after uint64, limit int) []Audit { return l.tail.since(after, limit) }

// News are the rows that came with the publish of this state, with their records.
func (l RolloutLog) News() []Written { return l.tail.news }

// Written is Audit in the form of News: the state does not have the records.
func (l RolloutLog) Written(after uint64, limit int) []Written {
	var out []Written
	for _, row := range l.Audit(after, limit) {
		out = append(out, Written{Audit: row})
	}
	return out
}

// keepEvent writes an event into the log.
func (s *State) keepEvent(e *Environment, r *Rollout, event *Event) {
	x := RolloutRecord{Event: event}
	if event.Seq == 1 {
		x.Plan = r.plan.plan
	}
	s.keepRecord(e, r, Audit{Actor: event.Actor, Verb: "rollout." + string(event.Move), Reason: event.Why}, x)
}

// keepMeasured writes measurements into the log.
func (s *State) keepMeasured(e *Environment, r *Rollout, taken []MeasuredRecord, p *Proposal) {
	s.keepRecord(e, r, Audit{Actor: p.Actor, Verb: verbMeasured}, RolloutRecord{Measured: taken})
}

func (s *State) keepRecord(e *Environment, r *Rollout, row Audit, x RolloutRecord) {
	record := mustEncode(x)
	row.Index, row.At, row.Tenant, row.Environment = s.index, s.now, e.tenant, e.key
	row.Target, row.After = nodeName(ObjectRollout, r.ID), RecordHash(record)
	s.records.write(row, record)
}

func (s *State) saveRolloutLog(w *writer) {
	if s.records.seq == 0 {
		return
	}
	w.numbers(s.records.seq).bytes(s.records.head[:]).bytes(s.records.before[:]).end(recordRolloutLog)
	for _, r := range s.records.rows {
		w.body = r.appendFields(w.body)
		w.strings(r.Hash).end(recordRolloutRow)
	}
}

func (s *State) loadRolloutLog(r *reader) {
	s.records.seq = r.uvarint()
	copy(s.records.head[:], r.bytes())
	copy(s.records.before[:], r.bytes())
}
