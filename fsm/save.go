package fsm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/hoistflags/hoist/bug"
)

// A saved state is: magic, uvarint format, records, CRC-32C of all that came before. A record is one type byte, uvarint
// length, body. The first record is the header, the last recordEnd. Flags, segments, exposures, graves and tombstones
// belong to the environment record before them, environments to the tenant before them.
const (
	savedMagic  = "HOISTFSM"
	savedFormat = 1
)

const (
	recordEnd = iota
	recordHeader
	recordTenant
	recordEnvironment
	recordFlag
	recordSegment
	recordExposure
	recordGrave
	recordTombstone
	recordRequest
	recordAudit
	recordStage
	recordCheckpoint
	recordEffect // an exposure with what it serves
	recordRollout
	recordFreeze
	recordSchedule // an exposure whose effect follows from the schedule and how far it is
	recordToken
	recordStanding // what stood beside a flag from a revision on
	recordOutbox
	recordReceiver
	recordNotice // belongs to the receiver before it
	recordPolicy
	recordChange
	recordBudget
	recordUsed
	recordRolloutLog // head of the log of rollouts
	recordRolloutRow
)

// writer counts and checksums what it writes; the first error stays.
type writer struct {
	w    *bufio.Writer
	crc  hash.Hash32
	buf  []byte
	err  error
	body []byte
}

func castagnoli() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

func (w *writer) write(b []byte) {
	if w.err != nil {
		return
	}
	w.crc.Write(b)
	_, w.err = w.w.Write(b)
}

// end writes a record of the fields that were appended to w.body since the last one.
func (w *writer) end(kind byte) {
	w.buf = binary.AppendUvarint(append(w.buf[:0], kind), uint64(len(w.body)))
	w.write(w.buf)
	w.write(w.body)
	w.body = w.body[:0]
}

func (w *writer) strings(list ...string) *writer {
	for _, s := range list {
		w.body = appendString(w.body, s)
	}
	return w
}

func (w *writer) numbers(list ...uint64) *writer {
	for _, n := range list {
		w.body = binary.AppendUvarint(w.body, n)
	}
	return w
}

func (w *writer) time(ms int64) *writer {
	w.body = binary.AppendVarint(w.body, ms)
	return w
}

func (w *writer) bytes(b []byte) *writer {
	w.body = appendBytes(w.body, b)
	return w
}

func (w *writer) actor(a Actor) *writer {
	w.body = appendActor(w.body, a)
	return w
}

// Save writes the state. It reads nothing but this immutable value, so it may run beside Apply.
func (s *State) Save(to io.Writer) error {
	w := &writer{w: bufio.NewWriterSize(to, 64<<10), crc: castagnoli()}
	w.write([]byte(savedMagic))
	w.write(binary.AppendUvarint(nil, savedFormat))
	s.saveHeader(w)
	for _, t := range s.tenants {
		w.strings(t.key, t.name).numbers(t.created).end(recordTenant)
		for _, e := range t.environments {
			e.save(w)
		}
	}
	s.saveTokens(w)
	s.saveRows(w)
	w.end(recordEnd)
	if w.err == nil {
		_, w.err = w.w.Write(binary.LittleEndian.AppendUint32(nil, w.crc.Sum32()))
	}
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("fsm: save the state of revision %d: %w", s.index, w.err)
	}
	return nil
}

func (s *State) saveHeader(w *writer) {
	w.strings(s.epoch, s.clusterID).numbers(s.index, s.term, uint64(s.version)).time(s.now).
		numbers(s.audit.seq).bytes(s.audit.head[:]).bytes(s.audit.before[:]).time(s.requests.floor).strings(s.full().hex()).end(recordHeader)
}

func (s *State) saveRows(w *writer) {
	for _, key := range s.requests.order {
		if bug.On("B15") {
			break
		}
		r, _ := s.requests.get(key)
		w.strings(key).bytes(r.body[:]).time(r.at).time(r.idTime).numbers(r.revision, r.object, uint64(r.code)).end(recordRequest)
	}
	for _, r := range s.audit.rows {
		w.body = r.appendFields(w.body)
		w.strings(r.Hash).end(recordAudit)
	}
	s.saveRolloutLog(w)
	for _, c := range s.staged {
		for _, part := range c.parts {
			w.time(c.at).bytes(part.encoded).end(recordStage)
		}
	}
	s.saveOutbox(w)
	for _, c := range s.checkpoints {
		w.numbers(c.index).numbers(c.hash[:]...).end(recordCheckpoint)
	}
}

func (e *Environment) save(w *writer) {
	parts := e.snapshot.Parts()
	w.strings(e.key, e.name).numbers(e.created, e.revision).
		numbers(parts.Revision).time(parts.ChangedAt).
		numbers(parts.SegmentRevision, parts.ScopeRevision, parts.ClientRevision, parts.Floor).end(recordEnvironment)
	for _, r := range e.Segments() {
		_, served, _ := e.snapshot.Segment(r.Key)
		e.saveItem(w, ObjectSegment, r.Key, served)
		w.end(recordSegment)
	}
	for _, r := range e.Flags() {
		_, served, _ := e.snapshot.Flag(r.Key)
		e.saveItem(w, ObjectFlag, r.Key, served)
		w.end(recordFlag)
		for _, x := range e.Exposures(r.Key) {
			if x.Schedule != nil {
				w.strings(x.Flag).bytes(x.Schedule.Record()).bytes(mustEncode(x.Progress)).numbers(x.Revision).time(x.At).actor(x.By).strings(x.Reason).
					end(recordSchedule)
				continue
			}
			if x.Effect != nil {
				w.strings(x.Flag, x.Owner, x.Seat).bytes(x.Effect.record()).numbers(x.Revision).time(x.At).actor(x.By).strings(x.Reason).end(recordEffect)
				continue
			}
			w.strings(x.Flag, x.Owner).numbers(x.Revision).time(x.At).actor(x.By).strings(x.Reason).end(recordExposure)
		}
		e.savePast(w, r.Key)
	}
	e.saveRollouts(w)
	e.saveUse(w)
	for _, node := range e.graveOrder {
		versions, _ := e.graves.Get(node)
		w.strings(node).versions(versions).end(recordGrave)
	}
	e.saveGovernance(w)
	for _, t := range parts.Tombstones {
		w.strings(either(t.Segment, string(ObjectSegment), string(ObjectFlag)), t.Key).numbers(t.Revision).time(t.At).end(recordTombstone)
	}
}

// saveItem writes the record only as its newest version.
func (e *Environment) saveItem(w *writer, kind ObjectKind, key string, served uint64) {
	it, _ := e.item(kind, key)
	w.strings(it.Key).numbers(it.Created, served).versions(it.versions)
}

func (w *writer) versions(list []*version) *writer {
	w.numbers(uint64(len(list)))
	for _, v := range list {
		w.numbers(v.Revision).time(v.At).actor(v.Actor).strings(v.Verb).bytes(v.Record)
	}
	return w
}
