package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Actor is who acts: a person, and the token that let them in. Without a token it is what the caller says of itself, at
// a door that was opened on purpose.
type Actor struct {
	Kind  string `json:"kind"` // user, break-glass, system, anonymous
	ID    string `json:"id,omitempty"`
	Email string `json:"email,omitempty"`
	Token string `json:"token,omitempty"` // id of the token; empty for the system and at a door without tokens
	Owner string `json:"owner,omitempty"` // user whom the token belongs to
}

// The kinds of actors. What a token may is a matter of the token; these are for those who read who did it.
const (
	ActorSystem     = "system"      // the cluster itself
	ActorUser       = "user"        // a person
	ActorBreakGlass = "break-glass" // a person with the token for emergencies
	ActorAnonymous  = "anonymous"   // nobody said
)

// SamePerson tells whether two actors count as one when several people have to agree: the same acting user, or one that
// owns the token the other came with, so that a second token or a gateway of one's own makes no second person.
func SamePerson(a, b Actor) bool {
	if a.ID == "" && b.ID == "" {
		return a.Kind == b.Kind && a.Token == b.Token
	}
	return a.ID == b.ID || a.ID != "" && a.ID == b.Owner || b.ID != "" && b.ID == a.Owner
}

// Proposal is a command on its way to the leader and into the log.
type Proposal struct {
	RequestID        string // UUIDv7, or opaque and at most 64 bytes; empty only for commands of the system
	Actor            Actor
	At               int64   // unix ms, stamped by the leader; 0 before
	ControllerTerm   uint64  // the pilot's fence; 0 for people
	ExpectedRevision *uint64 // of the touched object, 0 = it must not exist; nil = unconditional
	Command          []byte  // EncodeCommand
	Correlation      string  // what the caller calls its whole undertaking, at most 128 bytes; kept in the audit row
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
	b := make([]byte, 0, 96+len(p.RequestID)+len(p.Actor.ID)+len(p.Actor.Email)+len(p.Actor.Owner)+len(p.Comment)+len(p.Command))
	var bits byte
	if p.ControllerTerm != 0 {
		bits |= proposalHasTerm
	}
	if p.ExpectedRevision != nil {
		bits |= proposalHasExpected
	}
	b = append(b, proposalVersion, bits)
	for _, s := range []string{p.RequestID, p.Actor.Kind, p.Actor.ID, p.Actor.Email, p.Actor.Token, p.Actor.Owner, p.Correlation, p.Comment} {
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
	p := &Proposal{RequestID: r.string(), Actor: r.actor(), Correlation: r.string(), Comment: r.string(), At: r.varint()}
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
