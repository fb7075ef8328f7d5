package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/hoistflags/hoist/evaluator"
)

// loader builds a state out of saved records.
type loader struct {
	in       *bufio.Reader
	crc      hash.Hash32
	state    *State
	full     string // what the header promises
	env      *Environment
	tables   tables
	last     *item // newest flag or segment
	parts    evaluator.Parts
	requests *evaluator.Edit[*requestRow]
	strings  map[string]string // names that repeat thousands of times are kept once
}

// load reads what Save wrote and verifies it: checksum, every definition, and the full hash.
func load(r io.Reader) (*State, error) {
	l := &loader{in: bufio.NewReaderSize(r, 64<<10), crc: castagnoli(), strings: map[string]string{},
		state: &State{records: newRecords(), requests: newRequestTable(), recent: &recentFlags{}}, requests: new(evaluator.Index[*requestRow]).Edit()}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("fsm: load: %w", err)
	}
	for {
		kind, body, err := l.record()
		if err != nil {
			return nil, fmt.Errorf("fsm: load: %w", err)
		}
		if kind == recordEnd {
			break
		}
		fields := &reader{rest: body}
		if err := l.take(kind, fields); err != nil {
			return nil, fmt.Errorf("fsm: load: %w", err)
		}
		if fields.failed || len(fields.rest) > 0 {
			return nil, fmt.Errorf("fsm: load: a record of type %d does not have the fields this binary knows", kind)
		}
	}
	return l.finish()
}

func (l *loader) open() error {
	magic := make([]byte, len(savedMagic))
	if _, err := io.ReadFull(l.in, magic); err != nil || string(magic) != savedMagic {
		return errors.New("this is no saved state")
	}
	l.crc.Write(magic)
	format, err := binary.ReadUvarint(l)
	if err != nil {
		return cutOff(err)
	}
	if format != savedFormat {
		return fmt.Errorf("the state is saved in format %d, this binary knows format %d; start a newer release", format, savedFormat)
	}
	return nil
}

// ReadByte makes the loader an io.ByteReader that checksums.
func (l *loader) ReadByte() (byte, error) {
	b, err := l.in.ReadByte()
	if err == nil {
		l.crc.Write([]byte{b})
	}
	return b, err
}

func cutOff(err error) error { return fmt.Errorf("the saved state is cut off: %w", err) }

// record reads one record. Its memory grows with what is really there, not with what a damaged length promises.
func (l *loader) record() (kind byte, body []byte, err error) {
	if kind, err = l.ReadByte(); err != nil {
		return 0, nil, cutOff(err)
	}
	size, err := binary.ReadUvarint(l)
	if err != nil {
		return 0, nil, cutOff(err)
	}
	if size <= 1<<20 {
		body = make([]byte, size)
		_, err = io.ReadFull(l.in, body)
	} else {
		var b bytes.Buffer
		_, err = io.CopyN(&b, l.in, int64(min(size, 1<<40)))
		body = b.Bytes()
	}
	if err != nil {
		return 0, nil, cutOff(err)
	}
	l.crc.Write(body)
	return kind, body, nil
}

func (l *loader) take(kind byte, r *reader) error {
	if (kind == recordHeader) != (l.full == "") {
		return errors.New("the header is not the first record")
	}
	if ofEnvironment(kind) && l.env == nil {
		return fmt.Errorf("a record of type %d stands outside an environment", kind)
	}
	switch kind {
	case recordHeader:
		return l.header(r)
	case recordTenant:
		return l.tenant(r)
	case recordEnvironment:
		return l.environment(r)
	case recordFlag:
		return l.item(ObjectFlag, r)
	case recordSegment:
		return l.item(ObjectSegment, r)
	case recordExposure:
		return l.exposure(r, Exposure{Flag: r.string(), Owner: r.string()})
	case recordEffect:
		return l.effect(r)
	case recordSchedule:
		return l.schedule(r)
	case recordStanding:
		return l.standing(r)
	case recordRollout:
		return l.rollout(r)
	case recordFreeze:
		return l.freeze(r)
	case recordUsed:
		return l.use(r)
	case recordPolicy:
		return l.policy(r)
	case recordChange:
		return l.change(r)
	case recordToken:
		return l.token(r)
	case recordGrave:
		return l.grave(r)
	case recordTombstone:
		l.parts.Tombstones = append(l.parts.Tombstones, evaluator.Tombstone{
			Segment: r.string() == string(ObjectSegment), Key: r.string(), Revision: r.uvarint(), At: r.varint()})
	case recordRequest:
		l.request(r)
	case recordAudit:
		l.audit(r)
	case recordRolloutLog:
		l.state.loadRolloutLog(r)
	case recordRolloutRow:
		l.state.records.rows = append(l.state.records.rows, l.interned(readAudit(r)))
	case recordStage:
		l.closeEnvironment()
		return l.stage(r)
	case recordBudget:
		return l.budget(r)
	case recordOutbox:
		l.state.outbox.seq = r.uvarint()
	case recordReceiver:
		return l.receiver(r)
	case recordNotice:
		return l.notice(r)
	case recordCheckpoint:
		l.state.checkpoints = append(l.state.checkpoints, checkpoint{index: r.uvarint(),
			hash: sum{r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()}})
	default:
		return fmt.Errorf("record type %d is not known to this binary; start a newer release", kind)
	}
	return nil
}

// ofEnvironment tells which records belong to the environment before them.
func ofEnvironment(kind byte) bool {
	switch kind {
	case recordFlag, recordSegment, recordExposure, recordEffect, recordSchedule, recordStanding, recordGrave, recordTombstone, recordRollout, recordFreeze, recordBudget, recordPolicy, recordChange, recordUsed:
		return true
	}
	return false
}

func (l *loader) header(r *reader) error {
	s := l.state
	s.epoch, s.clusterID, s.index, s.term = r.string(), r.string(), r.uvarint(), r.uvarint()
	version := r.uvarint()
	s.now, s.audit.seq = r.varint(), r.uvarint()
	if rows := min(s.audit.seq, maxAuditRows); rows > 0 { // as many follow
		s.audit.rows = make([]Audit, 0, rows)
	}
	copy(s.audit.head[:], r.bytes())
	copy(s.audit.before[:], r.bytes())
	s.requests.floor, l.full = r.varint(), r.string()
	if version < LawOldest || version > LawVersion {
		return fmt.Errorf("the state is under law version %d, this binary knows %d to %d; start another release", version, LawOldest, LawVersion)
	}
	s.version = int(version)
	if l.full == "" {
		return errors.New("the header has no hash")
	}
	return nil
}

func (l *loader) tenant(r *reader) error {
	l.closeEnvironment()
	t := &tenant{key: r.string(), name: r.string(), created: r.uvarint()}
	if n := len(l.state.tenants); n > 0 && l.state.tenants[n-1].key >= t.key {
		return fmt.Errorf("tenant %q is out of order", t.key)
	}
	l.state.tenants = append(l.state.tenants, t)
	l.state.domain.add(tenantLeaf(t))
	l.state.domain.add(orderLeaf(t))
	return nil
}

func (l *loader) environment(r *reader) error {
	l.closeEnvironment()
	n := len(l.state.tenants)
	if n == 0 {
		return errors.New("an environment stands outside a tenant")
	}
	owner := l.state.tenants[n-1]
	e := newEnvironment(owner.key, r.string(), r.string(), l.state.epoch, r.uvarint())
	e.revision = r.uvarint()
	l.env, l.parts = e, evaluator.Parts{Epoch: l.state.epoch, Revision: r.uvarint(), ChangedAt: r.varint(),
		SegmentRevision: r.uvarint(), ScopeRevision: r.uvarint(), ClientRevision: r.uvarint(), Floor: r.uvarint()}
	l.tables = newTables()
	l.state.domain.remove(orderLeaf(owner))
	owner.environments = append(owner.environments, e)
	l.state.domain.add(orderLeaf(owner))
	l.state.domain.add(environmentLeaf(e))
	return nil
}

// closeEnvironment builds what the environment serves once all its records are there.
func (l *loader) closeEnvironment() {
	if l.env == nil {
		return
	}
	l.tables.fill(l.env)
	l.env.snapshot = evaluator.RestoreSnapshot(l.parts)
	l.env, l.last, l.parts = nil, nil, evaluator.Parts{}
}

func (l *loader) request(r *reader) {
	key := r.string()
	row := new(requestRow)
	copy(row.body[:], r.bytes())
	row.at, row.idTime, row.revision, row.object, row.code = r.varint(), r.varint(), r.uvarint(), r.uvarint(), outcomeCode(r.uvarint())
	l.requests.Put(key, row, row.revision)
	l.state.requests.order = append(l.state.requests.order, key)
	l.state.rest.add(requestLeaf(key, row))
}

func (l *loader) audit(r *reader) {
	l.state.audit.rows = append(l.state.audit.rows, l.interned(readAudit(r)))
}

// stage applies a part again, so that a big write goes on where it was.
func (l *loader) stage(r *reader) error {
	at, part := r.varint(), r.bytes()
	c, err := DecodeCommand(part)
	if err != nil {
		return fmt.Errorf("a staged part: %w", err)
	}
	stage, ok := c.(Stage)
	if !ok {
		return fmt.Errorf("a staged part is %T", c)
	}
	i := l.state.stagedIndex(stage.Scope, stage.Change)
	if i < 0 {
		i = len(l.state.staged)
		l.state.staged = append(l.state.staged, &stagedChange{scope: stage.Scope, id: stage.Change})
	}
	e, ok := l.state.Environment(stage.Tenant, stage.Environment)
	if !ok {
		return fmt.Errorf("a staged part is for %s/%s, which does not exist", stage.Tenant, stage.Environment)
	}
	next, err := l.state.staged[i].with(stage, part, at, e)
	if err != nil {
		return fmt.Errorf("a staged part: %w", err)
	}
	l.state.staged[i] = next
	l.state.rest.add(stageLeaf(next, stage.Part, part))
	return nil
}

func (l *loader) finish() (*State, error) {
	l.closeEnvironment()
	l.state.requests.rows = l.requests.Done()
	want := l.crc.Sum32()
	var tail [4]byte
	if _, err := io.ReadFull(l.in, tail[:]); err != nil {
		return nil, fmt.Errorf("fsm: load: %w", cutOff(err))
	}
	if binary.LittleEndian.Uint32(tail[:]) != want {
		return nil, errors.New("fsm: load: the checksum differs: the saved state is damaged; use another snapshot")
	}
	if l.state.full().hex() != l.full {
		return nil, fmt.Errorf("fsm: load: the records hash to %s, the header says %s; use another snapshot", l.state.full().hex(), l.full)
	}
	return l.state, nil
}
