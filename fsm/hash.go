package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// digest is a SHA-256.
type digest [sha256.Size]byte

func (d digest) hex() string { return hex.EncodeToString(d[:]) }

// sum is a set of leaves, added modulo 2^256. Adding and removing a leaf costs the same whatever the set holds, and the
// order in which leaves came does not matter, so a hash over 100,000 flags moves with one flag.
type sum [4]uint64

func (s *sum) add(one sum) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], one[i], carry)
	}
}

func (s *sum) remove(one sum) {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], one[i], borrow)
	}
}

func (s sum) hex() string {
	var b [32]byte
	for i, w := range s {
		binary.BigEndian.PutUint64(b[24-8*i:], w)
	}
	return hex.EncodeToString(b[:])
}

// leafKind keeps the leaves of different things apart.
type leafKind byte

const (
	leafTenant      leafKind = 't'
	leafEnvironment leafKind = 'e'
	leafObject      leafKind = 'o' // a definition
	leafExposure    leafKind = 'x' // that something stands beside a flag
	leafStamp       leafKind = 'r' // revision, creation and time of a definition
	leafExposed     leafKind = 'd' // revision, time and author of an exposure
	leafVersion     leafKind = 'h'
	leafRequest     leafKind = 'q'
	leafStage       leafKind = 's'
	leafMeta        leafKind = 'm'
	leafRollout     leafKind = 'R'
	leafFreeze      leafKind = 'f'
	leafEffect      leafKind = 'X' // what an exposure serves
	leafPolicy      leafKind = 'P'
	leafOrder       leafKind = 'O' // of the environments of a tenant
	leafChange      leafKind = 'C'
	leafSchedule    leafKind = 'S' // a schedule and how far it is
	leafToken       leafKind = 'k'
	leafUsed        leafKind = 'u' // the day of a flag's last evaluation
	leafStanding    leafKind = 'p' // what stood beside a flag from a revision on
	leafReceiver    leafKind = 'w'
	leafNotice      leafKind = 'n'
	leafBudget      leafKind = 'b'
)

// leaf collects one path with what stands there. Every part is length-prefixed, so no two paths run into each other.
// A write makes about ten: newLeaf is small enough to be inlined and methods return the value, so that the bytes of
// most stay on the stack.
type leaf struct{ b []byte }

func newLeaf(kind leafKind, path ...string) leaf {
	return leaf{make([]byte, 0, 256)}.begin(kind, path)
}

func (l leaf) begin(kind leafKind, path []string) leaf {
	l.b = append(l.b, byte(kind))
	for _, p := range path {
		l.b = appendString(l.b, p)
	}
	return l
}

func (l leaf) numbers(n ...uint64) leaf {
	for _, v := range n {
		l.b = binary.BigEndian.AppendUint64(l.b, v)
	}
	return l
}

func (l leaf) digest(d digest) leaf {
	l.b = append(l.b, d[:]...)
	return l
}

func (l leaf) actor(a Actor) leaf {
	l.b = appendActor(l.b, a)
	return l
}

func (l leaf) sum() sum {
	h := sha256.Sum256(l.b)
	return sum{binary.BigEndian.Uint64(h[24:]), binary.BigEndian.Uint64(h[16:]), binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[:])}
}

func parseDigest(text string) (d digest, err error) {
	if len(text) != 2*len(d) {
		return d, fmt.Errorf("%q is no SHA-256 in hex", text)
	}
	_, err = hex.Decode(d[:], []byte(text))
	return d, err
}
