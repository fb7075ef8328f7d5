package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Actor is who acts. Until tokens exist doors name {Kind: "anonymous"}, or what the caller says of itself.
type Actor struct {
	Kind  string `json:"kind"` // user, token, system, anonymous
	ID    string `json:"id,omitempty"`
	Email string `json:"email,omitempty"`
}

// ActorSystem is the kind of the cluster itself.
const ActorSystem = "system"

// Proposal is a command on its way to the leader and into the log.
type Proposal struct {
	RequestID        string // UUIDv7, or opaque and at most 64 bytes; empty only for commands of the system
	Actor            Actor
	At               int64   // unix ms, stamped by the leader; 0 before
	ControllerTerm   uint64  // the pilot's fence; 0 for people
	ExpectedRevision *uint64 // of the touched object, 0 = it must not exist; nil = unconditional
	Command          []byte  // EncodeCommand
	Comment          string  // why, at most 512 bytes: the audit row's Reason where the command has none of its own
}

// Entry is one log entry handed to Apply.
type Entry struct {
	Index, Term uint64
	Data        []byte // an encoded Proposal; nil: the entry only moves the index (configuration)
}

// Receipt is what a write returns.
type Receipt struct {
	Epoch    string
	Revision uint64 // log index of this write; for a replay that of the first one
	Object   uint64 // revision of the touched object after it
	Changed  bool   // false when the state already was as asked
	Replayed bool   // the answer of an earlier entry with the same request id
}

// Outcome is the result of one entry.
type Outcome struct {
	Receipt Receipt
	Err     error // *Error, or *LawError: the process must exit
}

// MaxEntry is the most bytes one log entry may have; Split divides what is larger.
const MaxEntry = 128 << 10

const proposalVersion = 1

const (
	proposalHasTerm = 1 << iota
	proposalHasExpected
)

// Encode gives the bytes of a log entry: version, bits, then length-prefixed fields.
func (p *Proposal) Encode() []byte {
	b := make([]byte, 0, 64+len(p.RequestID)+len(p.Actor.ID)+len(p.Actor.Email)+len(p.Comment)+len(p.Command))
	var bits byte
	if p.ControllerTerm != 0 {
		bits |= proposalHasTerm
	}
	if p.ExpectedRevision != nil {
		bits |= proposalHasExpected
	}
	b = append(b, proposalVersion, bits)
	for _, s := range []string{p.RequestID, p.Actor.Kind, p.Actor.ID, p.Actor.Email, p.Comment} {
		b = appendString(b, s)
	}
	b = binary.AppendVarint(b, p.At)
	if p.ControllerTerm != 0 {
		b = binary.AppendUvarint(b, p.ControllerTerm)
	}
	if p.ExpectedRevision != nil {
		b = binary.AppendUvarint(b, *p.ExpectedRevision)
	}
	return append(b, p.Command...)
}

// DecodeProposal reads what Encode wrote. Command keeps a reference into data.
func DecodeProposal(data []byte) (*Proposal, error) {
	if len(data) < 2 || data[0] != proposalVersion || data[1]&^(proposalHasTerm|proposalHasExpected) != 0 {
		return nil, errors.New("proposal: unknown version or bits; this binary does not know them")
	}
	bits, r := data[1], reader{rest: data[2:]}
	p := &Proposal{RequestID: r.string(), Actor: Actor{Kind: r.string(), ID: r.string(), Email: r.string()}, Comment: r.string(), At: r.varint()}
	if bits&proposalHasTerm != 0 {
		p.ControllerTerm = r.uvarint()
	}
	if bits&proposalHasExpected != 0 {
		expected := r.uvarint()
		p.ExpectedRevision = &expected
	}
	if r.failed {
		return nil, fmt.Errorf("proposal: cut off within %d bytes", len(data))
	}
	p.Command = r.rest
	return p, nil
}
