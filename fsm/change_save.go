package fsm

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// saveGovernance writes the environment's policy and its changes in the order in which they were opened.
func (e *Environment) saveGovernance(w *writer) {
	if e.policy != nil {
		w.bytes(mustEncode(e.policy)).end(recordPolicy)
	}
	for _, id := range e.changeOrder {
		c, _ := e.changes.Get(id)
		w.bytes(mustEncode(c))
		if c.detail == nil {
			w.numbers(0).end(recordChange)
			continue
		}
		w.numbers(1).bytes(c.detail.encoded).numbers(uint64(len(c.detail.images)))
		for _, m := range c.detail.images {
			w.strings(string(m.kind), m.key, string(m.change)).bytes(m.after[:])
			if m.before == nil {
				w.numbers(0)
				continue
			}
			w.numbers(1).bytes(m.before.Record)
		}
		w.end(recordChange)
	}
}

func (l *loader) change(r *reader) error {
	c, record := &Change{}, r.bytes()
	if err := json.Unmarshal(record, c, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a change: %w", err)
	}
	c.digest = digestOf(record)
	if r.uvarint() == 1 {
		if err := l.detail(r, c); err != nil {
			return fmt.Errorf("change %s: %w", c.ID, err)
		}
	}
	if r.failed {
		return nil // said by the caller
	}
	l.env.changes = l.env.changes.With(c.ID, c, c.Revision)
	l.env.changeOrder = append(l.env.changeOrder, c.ID)
	l.env.listOpen(c)
	l.state.rest.add(changeLeaf(l.env, c))
	return nil
}

func (l *loader) detail(r *reader, c *Change) error {
	encoded, n := r.bytes(), r.uvarint()
	var commands []Command
	if len(encoded) > 0 {
		batch, err := DecodeCommand(encoded)
		if err != nil {
			return err
		}
		b, ok := batch.(Batch)
		if !ok {
			return fmt.Errorf("its commands are a %T", batch)
		}
		commands = b.Commands
	} else {
		encoded = nil
	}
	var images []image
	for i := uint64(0); i < n && !r.failed; i++ {
		m := image{kind: ObjectKind(l.intern(r)), key: r.string(), change: ChangeType(l.intern(r))}
		copy(m.after[:], r.bytes())
		if r.uvarint() == 1 {
			m.before = l.imaged(m.kind, m.key, r.bytes())
			if err := decodes(m.kind, m.before.Record); err != nil {
				return fmt.Errorf("what it found at %s: %w", nodeName(m.kind, m.key), err)
			}
		}
		images = append(images, m)
	}
	c.detail = newDetail(commands, encoded, images)
	return nil
}

// imaged shares the record with the history of the item, where it usually still stands.
func (l *loader) imaged(kind ObjectKind, key string, record []byte) *version {
	v := &version{Version: Version{Record: record}, digest: digestOf(record)}
	known, _ := l.env.graves.Get(nodeName(kind, key))
	edit := l.tables.flags
	if kind == ObjectSegment {
		edit = l.tables.segments
	}
	if it, ok := edit.Get(indexKey(kind, key)); ok {
		known = it.versions
	}
	for _, old := range known {
		if old.digest == v.digest {
			v.Record = old.Record
		}
	}
	return v
}

// decodes asks of a record what every stored record has to be.
func decodes(kind ObjectKind, record []byte) error {
	var err error
	if kind == ObjectSegment {
		_, err = evaluator.DecodeSegment(record)
	} else {
		_, err = evaluator.DecodeFlag(record)
	}
	return err
}
