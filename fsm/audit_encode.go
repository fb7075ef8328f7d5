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
