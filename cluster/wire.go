package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// The first byte of a connection to the peer port names what follows.
const (
	protocolRaft byte = 'r'
	protocolPeer byte = 'p'
)

// The messages of the peer protocol. An answer carries the kind of its question.
const (
	kindForward   byte = iota + 1 // a proposal on its way to the leader
	kindReadIndex                 // an index a linearizable read must wait for
	kindPeers                     // what a peer knows and how far it is
	kindJoin                      // let me in
	kindOrder                     // an operator's order to the leader: remove, transfer
	kindLedger                    // rows of the change log, for one who missed them
	kindRollouts                  // likewise of the log of rollouts
)

const (
	handshakeTime = 5 * time.Second
	maxFrame      = 1 << 20
	maxHello      = 4096
)

// hello opens every connection, before any byte of the protocol: each side says who it is, and who it thinks the other
// is. Address mix-ups and accidental merges of clusters end here.
type hello struct {
	Cluster   string `json:"cluster"`              // name
	ClusterID string `json:"cluster_id,omitempty"` // empty while unknown
	From      string `json:"from"`                 // server id
	To        string `json:"to,omitempty"`         // server id expected, empty for any
	Refusal   string `json:"refusal,omitempty"`    // in an answer: why not
}

func writeHello(c net.Conn, prefix []byte, h hello) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	frame := binary.BigEndian.AppendUint16(prefix, uint16(len(body)))
	_, err = c.Write(append(frame, body...))
	return err
}

func readHello(c net.Conn) (h hello, err error) {
	var size [2]byte
	if _, err = io.ReadFull(c, size[:]); err != nil {
		return h, err
	}
	length := binary.BigEndian.Uint16(size[:])
	if length > maxHello {
		return h, fmt.Errorf("a greeting of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err = io.ReadFull(c, body); err != nil {
		return h, err
	}
	return h, json.Unmarshal(body, &h)
}

// frame is one message of the peer protocol: length, kind, call, body.
type frame struct {
	kind byte
	call uint64
	body []byte
}

const frameHeader = 4 + 1 + 8

func (f frame) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+8+len(f.body)))
	b = append(b, f.kind)
	b = binary.BigEndian.AppendUint64(b, f.call)
	return append(b, f.body...)
}

func readFrame(r io.Reader) (frame, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	length := binary.BigEndian.Uint32(head[:4])
	if length < 9 || length > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes", length)
	}
	f := frame{kind: head[4], call: binary.BigEndian.Uint64(head[5:])}
	f.body = make([]byte, length-9)
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// The caller's remaining time travels in front of a question, since clocks differ: milliseconds, rounded up.
func appendTime(b []byte, left time.Duration) []byte {
	return binary.AppendUvarint(b, uint64(max(left.Milliseconds()+1, 1)))
}

func takeTime(b []byte) (time.Duration, []byte, error) {
	ms, n := binary.Uvarint(b)
	if n <= 0 || ms > uint64(time.Hour/time.Millisecond) {
		return 0, nil, errMalformed
	}
	return time.Duration(ms) * time.Millisecond, b[n:], nil
}

var errMalformed = errors.New("a peer sent a message that cannot be read; do all members run compatible releases?")

// encode is the answer to a forwarded proposal: verdict, flags, receipt, and the error as JSON.
func (a attempt) encode() []byte {
	const room = 64
	b := append(make([]byte, 0, room), byte(a.verdict))
	var flags byte
	if a.receipt.Changed {
		flags |= 1
	}
	if a.receipt.Replayed {
		flags |= 2
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, a.receipt.Revision)
	b = binary.AppendUvarint(b, a.receipt.Object)
	b = binary.AppendUvarint(b, uint64(len(a.receipt.Epoch)))
	b = append(b, a.receipt.Epoch...)
	if a.err == nil {
		return b
	}
	body, err := json.Marshal(packError(a.err))
	if err != nil { // cannot be: the packed form holds text and numbers only
		body = []byte(`{"kind":"INTERNAL"}`)
	}
	return append(b, body...)
}

func decodeAttempt(b []byte) (attempt, error) {
	if len(b) < 2 || b[0] > byte(unknown) {
		return attempt{}, errMalformed
	}
	a := attempt{verdict: verdict(b[0])}
	a.receipt.Changed, a.receipt.Replayed = b[1]&1 != 0, b[1]&2 != 0
	b = b[2:]
	var epoch uint64
	for _, field := range []*uint64{&a.receipt.Revision, &a.receipt.Object, &epoch} {
		value, n := binary.Uvarint(b)
		if n <= 0 {
			return attempt{}, errMalformed
		}
		*field, b = value, b[n:]
	}
	if epoch > uint64(len(b)) {
		return attempt{}, errMalformed
	}
	a.receipt.Epoch, b = string(b[:epoch]), b[epoch:]
	if len(b) == 0 {
		return a, nil
	}
	var packed packedError
	if err := json.Unmarshal(b, &packed); err != nil {
		return attempt{}, errMalformed
	}
	a.err = packed.unpack()
	return a, nil
}

// packedError is an error on the wire. Only an *fsm.Error keeps its parts.
type packedError struct {
	Kind     fsm.Kind     `json:"kind,omitempty"`
	Op       string       `json:"op,omitempty"`
	Target   string       `json:"target,omitempty"`
	Detail   string       `json:"detail,omitempty"`
	Problems fsm.Problems `json:"problems,omitempty"`
	Revision uint64       `json:"revision,omitempty"`
	Cause    string       `json:"cause,omitempty"`
}

func packError(err error) packedError {
	var e *fsm.Error
	if !errors.As(err, &e) {
		return packedError{Cause: err.Error()}
	}
	p := packedError{Kind: e.Kind, Op: e.Op, Target: e.Target, Detail: e.Detail, Problems: e.Problems, Revision: e.Revision}
	if e.Err != nil {
		p.Cause = e.Err.Error()
	}
	return p
}

func (p packedError) unpack() error {
	var cause error
	if p.Cause != "" {
		cause = errors.New(p.Cause)
	}
	if p.Kind == "" {
		return cause
	}
	return &fsm.Error{Kind: p.Kind, Op: p.Op, Target: p.Target, Detail: p.Detail, Problems: p.Problems, Revision: p.Revision, Err: cause}
}
