package fsm

import "encoding/binary"

// reader takes length-prefixed fields off a byte string. After the first field that does not fit, failed stays true
// and everything reads as zero, so that a decoder checks once at its end.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return take(r, v, n)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	return take(r, v, n)
}

func take[T int64 | uint64](r *reader, v T, n int) T {
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// bytes returns a piece of the input, not a copy.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) string() string { return string(r.bytes()) }

// actor reads what appendActor wrote.
func (r *reader) actor() Actor {
	return Actor{Kind: r.string(), ID: r.string(), Email: r.string(), Token: r.string(), Owner: r.string()}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendActor(b []byte, a Actor) []byte {
	for _, s := range [...]string{a.Kind, a.ID, a.Email, a.Token, a.Owner} {
		b = appendString(b, s)
	}
	return b
}
