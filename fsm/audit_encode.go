package fsm

import "errors"

// Encode appends the row, its hash and its record, as archives and peers keep them.
func (w *Written) Encode(b []byte) []byte {
	return appendBytes(appendString(w.appendFields(b), w.Hash), w.Record)
}

// DecodeWritten reads what Encode wrote. Its Record refers into data.
func DecodeWritten(data []byte) (Written, error) {
	r := &reader{rest: data}
	w := Written{Audit: readAudit(r)}
	if w.Record = r.bytes(); len(w.Record) == 0 {
		w.Record = nil
	}
	if r.failed || len(r.rest) > 0 {
		return Written{}, errors.New("audit: a kept row cannot be read")
	}
	return w, nil
}

// readAudit reads appendFields and the hash.
func readAudit(r *reader) Audit {
	return Audit{Seq: r.uvarint(), Index: r.uvarint(), At: r.varint(), Actor: r.actor(), RequestID: r.string(), Correlation: r.string(),
		Tenant: r.string(), Environment: r.string(), Verb: r.string(), Target: r.string(), Before: r.string(), After: r.string(),
		Reason: r.string(), Approvals: r.string(), Hash: r.string()}
}

// RecordHash is what a row says of a record in Before and After: its SHA-256, hex.
func RecordHash(record []byte) string { return digestOf(record).hex() }

// ChainAudit numbers rows from 1 and gives each its hash, as the law does: for whoever makes rows elsewhere.
func ChainAudit(rows []Written) []Written { return ChainAuditAfter(0, "", rows) }

// ChainAuditAfter is ChainAudit behind the row with that number and hash.
func ChainAuditAfter(seq uint64, hash string, rows []Written) []Written {
	tail := auditTail{seq: seq}
	if head, err := parseDigest(hash); err == nil {
		tail.head = head
	}
	for _, w := range rows {
		tail.write(w.Audit, w.Record)
	}
	return tail.news
}
