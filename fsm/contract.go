package fsm

import (
	"context"
	"errors"
	"io"

	"github.com/hoistflags/hoist/evaluator"
)

// CONTRACT SKELETON: bodies come with the fsm work; signatures are what cluster, transport and cmd build on.
// The owner of fsm deletes this file while spreading it over files by idea.

var errSkeleton = errors.New("fsm: skeleton")

// ---- errors ----

// Kind classifies an Error; transport has the one table from Kind to Connect code, HTTP status and exit code.
type Kind string

const (
	KindInvalid        Kind = "INVALID"   // understood, but against a rule; Problems names the fields
	KindMalformed      Kind = "MALFORMED" // does not decode
	KindNotFound       Kind = "NOT_FOUND"
	KindConflict       Kind = "CONFLICT" // expected revision moved, owner taken, still referred to; Revision = current
	KindExists         Kind = "EXISTS"
	KindDenied         Kind = "DENIED"
	KindFenced         Kind = "FENCED"
	KindRequestReused  Kind = "VAL_REQUEST_REUSED"
	KindRequestExpired Kind = "VAL_REQUEST_EXPIRED"
	// Made by cluster, never by Apply:
	KindNotLeader      Kind = "NOT_LEADER"
	KindNoQuorum       Kind = "NO_QUORUM"
	KindUnknownOutcome Kind = "UNKNOWN_OUTCOME"
	KindOverloaded     Kind = "OVERLOADED"
	KindRestored       Kind = "RESTORED"
	KindReadOnlyDisk   Kind = "READ_ONLY_DISK"
	KindBehind         Kind = "BEHIND" // min_revision not reached in time; Revision = current
	KindInternal       Kind = "INTERNAL"
)

// Error says which thing, doing what, what kind.
type Error struct {
	Kind     Kind
	Op       string             // verb, e.g. "put flag"
	Target   string             // e.g. `flag "checkout" in dev`
	Detail   string             // one sentence: what is wrong and what to do
	Problems evaluator.Problems // per field, for KindInvalid and KindMalformed
	Revision uint64             // the current revision of the target where that helps
	Err      error
}

func (e *Error) Error() string { return string(e.Kind) + ": " + e.Detail }
func (e *Error) Unwrap() error { return e.Err }

// ---- commands ----

// Command is a sealed set of state changes. Every command names tenant and environment where it has one.
type Command interface{ Verb() string } // e.g. "flag.put"

// Scope is where a command acts.
type Scope struct {
	Tenant      string `json:"tenant"`
	Environment string `json:"environment"`
}

type (
	CreateEnvironment struct {
		Tenant      string `json:"tenant"`
		Environment string `json:"environment"`
		Name        string `json:"name,omitempty"`
	}
	// PutFlag creates or replaces a flag. ExpectedRevision 0 in the proposal means "must not exist".
	PutFlag struct {
		Scope
		Flag *evaluator.Flag `json:"flag"`
	}
	DeleteFlag struct {
		Scope
		Key string `json:"key"`
	}
	SetEnabled struct { // enable, disable
		Scope
		Key     string `json:"key"`
		Enabled bool   `json:"enabled"`
	}
	SetArchived struct {
		Scope
		Key      string `json:"key"`
		Archived bool   `json:"archived"`
	}
	Kill struct {
		Scope
		Key    string `json:"key"`
		Reason string `json:"reason,omitempty"`
	}
	Unkill struct {
		Scope
		Key string `json:"key"`
	}
	PutSegment struct {
		Scope
		Segment *evaluator.Segment `json:"segment"`
	}
	DeleteSegment struct {
		Scope
		Key string `json:"key"`
	}
	// Restore writes an older version (revision of the change) of a flag or segment again, as a new version.
	Restore struct {
		Scope
		Object   ObjectKind `json:"object"`
		Key      string     `json:"key"`
		Revision uint64     `json:"revision"`
	}
	// Batch is atomic: all or nothing, one revision.
	Batch struct {
		Scope
		Commands []Command `json:"commands"`
	}
	// Stage and Commit carry writes larger than one log entry; Split makes them.
	Stage struct {
		Scope
		Change   string    `json:"change"`
		Part     int       `json:"part"`
		Commands []Command `json:"commands"`
	}
	Commit struct {
		Scope
		Change string `json:"change"`
		Parts  int    `json:"parts"`
		Hash   string `json:"hash"` // of the staged parts, hex
	}
	// LeaderEstablished is the first entry of every leadership; the first ever one names the cluster.
	LeaderEstablished struct {
		Term      uint64 `json:"term"`
		ServerID  string `json:"serverId"`
		ClusterID string `json:"clusterId,omitempty"` // proposal for an unnamed cluster
		Epoch     string `json:"epoch,omitempty"`     // likewise
		LawLow    int    `json:"lawLow"`
		LawHigh   int    `json:"lawHigh"`
	}
	RaiseVersion struct {
		Version int `json:"version"`
	}
	Checksum struct {
		Index uint64 `json:"index"`
		Hash  string `json:"hash"`
	}
)

// Split turns a command that does not fit one log entry into staged ones (128 KiB each) and the final Commit; one
// element when it fits.
func Split(c Command, change string) ([]Command, error) { panic(errSkeleton) }

type ObjectKind string

const (
	ObjectFlag    ObjectKind = "flag"
	ObjectSegment ObjectKind = "segment"
)

// Actor is who acts. Until tokens exist doors name {Kind:"anonymous"} or what X-User-ID says.
type Actor struct {
	Kind  string `json:"kind"` // user, token, system, anonymous
	ID    string `json:"id,omitempty"`
	Email string `json:"email,omitempty"`
}

// Proposal is what travels to the leader and into the log.
type Proposal struct {
	RequestID        string // UUIDv7 or opaque ≤64 bytes; "" only for system commands
	Actor            Actor
	At               int64   // unix ms, stamped by the leader; 0 before
	ControllerTerm   uint64  // the pilot's fence, 0 for people
	ExpectedRevision *uint64 // of the object (0 = must not exist); nil = unconditional
	Command          []byte  // EncodeCommand
	Comment          string  // why, ≤512 bytes; the Reason of the audit row where the command has none of its own
}

// EncodeCommand gives the canonical bytes of a command: version byte, uvarint type, flags byte, JSON body.
func EncodeCommand(c Command) ([]byte, error)       { panic(errSkeleton) }
func DecodeCommand(data []byte) (Command, error)    { panic(errSkeleton) }
func (p *Proposal) Encode() []byte                  { panic(errSkeleton) }
func DecodeProposal(data []byte) (*Proposal, error) { panic(errSkeleton) }

// Check judges what can be judged without state, so that it never enters the log (doors call it before proposing).
func Check(c Command) error { panic(errSkeleton) }

// Entry is one log entry handed to Apply.
type Entry struct {
	Index, Term uint64
	Data        []byte // an encoded Proposal; nil = the entry only moves the index (configuration, no-op)
}

// Receipt is what a write returns.
type Receipt struct {
	Epoch    string
	Revision uint64 // raft index of this write; for a replay that of the first one
	Object   uint64 // revision of the touched object after it
	Changed  bool   // false when the state already was as asked
	Replayed bool
}

// Outcome is the result of one entry.
type Outcome struct {
	Receipt Receipt
	Err     error // *Error, or *LawError (the process must exit: this binary does not know the law)
}

// LawError: the log holds something this binary cannot apply (exit 73), or a checksum differs (exit 71).
type LawError struct {
	ExitCode int
	Detail   string
}

func (e *LawError) Error() string { return e.Detail }

// ---- state ----

// State is everything, immutable; a snapshot is this pointer.
type State struct{ _ int }

func (s *State) Epoch() string                                             { panic(errSkeleton) }
func (s *State) ClusterID() string                                         { panic(errSkeleton) }
func (s *State) Index() uint64                                             { panic(errSkeleton) } // applied index = revision of the node
func (s *State) EstablishedTerm() uint64                                   { panic(errSkeleton) } // newest LeaderEstablished applied
func (s *State) Now() int64                                                { panic(errSkeleton) } // leader time, unix ms
func (s *State) ClusterVersion() int                                       { panic(errSkeleton) }
func (s *State) Environment(tenant, env string) (*Environment, bool)       { panic(errSkeleton) }
func (s *State) Environments(tenant string) []*Environment                 { panic(errSkeleton) } // in order
func (s *State) Tenants() []string                                         { panic(errSkeleton) }
func (s *State) Audit(after uint64, limit int) []Audit                     { panic(errSkeleton) } // rows with Seq > after
func (s *State) AuditHead() (seq uint64, hash string)                      { panic(errSkeleton) }
func (s *State) DomainHash() string                                        { panic(errSkeleton) }
func (s *State) FullHash() string                                          { panic(errSkeleton) }
func (s *State) Request(actor Actor, id string) (revision uint64, ok bool) { panic(errSkeleton) }

// Try answers what Apply would answer to the proposal now, and changes nothing: the dry run of every door. p.At 0 means Now.
func (s *State) Try(p *Proposal) (Receipt, error) { panic(errSkeleton) }
func (s *State) Save(w io.Writer) error           { panic(errSkeleton) }

// Environment is one environment of a tenant, immutable.
type Environment struct{ _ int }

func (e *Environment) Key() string                                    { panic(errSkeleton) }
func (e *Environment) Name() string                                   { panic(errSkeleton) }
func (e *Environment) Revision() uint64                               { panic(errSkeleton) } // last declared or exposure change
func (e *Environment) DeclaredHash() string                           { panic(errSkeleton) }
func (e *Environment) Snapshot() *evaluator.Snapshot                  { panic(errSkeleton) } // effective
func (e *Environment) Flag(key string) (*FlagRecord, bool)            { panic(errSkeleton) }
func (e *Environment) Segment(key string) (*SegmentRecord, bool)      { panic(errSkeleton) }
func (e *Environment) Flags() []*FlagRecord                           { panic(errSkeleton) } // sorted by key
func (e *Environment) Segments() []*SegmentRecord                     { panic(errSkeleton) } // sorted by key
func (e *Environment) Exposures(flag string) []Exposure               { panic(errSkeleton) }
func (e *Environment) History(kind ObjectKind, key string) []Version  { panic(errSkeleton) } // newest first, ≤ 20, also of deleted items
func (e *Environment) Referrers(kind ObjectKind, key string) []string { panic(errSkeleton) }

// FlagRecord is one declared flag as stored.
type FlagRecord struct {
	Key       string
	Revision  uint64 // of the last change of the declaration
	Created   uint64
	UpdatedAt int64  // leader time, unix ms
	Record    []byte // canonical JSON of the declared flag
}

func (r *FlagRecord) Flag() *evaluator.Flag { panic(errSkeleton) } // decoded anew at each call

type SegmentRecord struct {
	Key       string
	Revision  uint64
	Created   uint64
	UpdatedAt int64
	Record    []byte
}

func (r *SegmentRecord) Segment() *evaluator.Segment { panic(errSkeleton) }

// Exposure is what a kill switch (later: rollout, experiment, schedule) puts beside a declared flag.
type Exposure struct {
	Flag     string `json:"flag"`
	Owner    string `json:"owner"` // e.g. "kill"
	Revision uint64 `json:"revision"`
	At       int64  `json:"at"`
	By       Actor  `json:"by"`
	Reason   string `json:"reason,omitempty"`
}

// Version is one past form of an item; Record is nil for a deletion.
type Version struct {
	Revision uint64
	At       int64
	Actor    Actor
	Verb     string
	Record   []byte
}

// Audit is one row of the chained change log.
type Audit struct {
	Seq         uint64 `json:"seq"`
	Index       uint64 `json:"index"`
	At          int64  `json:"at"`
	Actor       Actor  `json:"actor"`
	RequestID   string `json:"requestId,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Environment string `json:"environment,omitempty"`
	Verb        string `json:"verb"`
	Target      string `json:"target"`
	Before      string `json:"before,omitempty"` // record digest, hex
	After       string `json:"after,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Hash        string `json:"hash"` // SHA-256(previous hash, canonical bytes), hex
}

// Content is one environment's declared content, the unit of Diff, export and apply.
type Content struct {
	Flags    []*evaluator.Flag
	Segments []*evaluator.Segment
}

// Diff returns the commands that turn from into to: puts in dependency-safe order, then deletions (only with prune).
func Diff(scope Scope, from *Environment, to Content, prune bool) []Command { panic(errSkeleton) }

// ---- store ----

// Store owns the current state: one writer (Apply), lock-free readers.
type Store struct{ _ int }

func NewStore() *Store { panic(errSkeleton) }

func (s *Store) State() *State { panic(errSkeleton) }

// Live returns the environment's live snapshot; the pointer stays the same for the life of the store.
func (s *Store) Live(tenant, env string) (*evaluator.Live, bool) { panic(errSkeleton) }

// Wait blocks until the applied index is at least revision.
func (s *Store) Wait(ctx context.Context, revision uint64) error { panic(errSkeleton) }

// Changed returns a channel closed at the next publish (level-triggered use: read State after taking it).
func (s *Store) Changed() <-chan struct{} { panic(errSkeleton) }

// Apply applies a batch in order and publishes once: Live pointers, state pointer, then wake-ups. Entries at or below
// the applied index are ignored (Outcome zero).
func (s *Store) Apply(entries []Entry) []Outcome { panic(errSkeleton) }

// Load replaces everything by a saved state, atomically; on error the old state stays.
func (s *Store) Load(r io.Reader) error { panic(errSkeleton) }

// LawVersion is the cluster_version this binary brings; LawOldest the oldest it still reads.
const (
	LawVersion = 1
	LawOldest  = 1
)

// DefaultTenant and DefaultEnvironments exist in every fresh state.
const DefaultTenant = "default"

var DefaultEnvironments = []string{"dev", "staging", "production"}
