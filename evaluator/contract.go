package evaluator

import "errors"

// CONTRACT SKELETON: bodies come with the evaluator work; signatures are what other packages build on.
// The owner of evaluator deletes this file while spreading it over files by idea.

var errSkeleton = errors.New("evaluator: skeleton")

// ValueKind is the JSON kind of a Value.
type ValueKind uint8

// The kinds of a Value.
const (
	KindNull ValueKind = iota
	KindBool
	KindNumber
	KindString
	KindObject
	KindList
	KindUnusable // an integer beyond ±(2^53-1), never rounded
)

// Value is one JSON value, small and comparable in cost to a string header; the zero Value is null.
type Value struct {
	kind ValueKind
	num  float64
	text string
	ref  *composite
}

type composite struct {
	members []Attribute
	elems   []Value
}

func Bool(b bool) Value                { panic(errSkeleton) }
func String(s string) Value            { panic(errSkeleton) }
func Number(f float64) Value           { panic(errSkeleton) }
func Object(members []Attribute) Value { panic(errSkeleton) } // sorts by name
func List(elems []Value) Value         { panic(errSkeleton) }

func (v Value) Kind() ValueKind               { return v.kind }
func (v Value) AsBool() bool                  { panic(errSkeleton) }
func (v Value) AsString() string              { panic(errSkeleton) }
func (v Value) AsNumber() float64             { panic(errSkeleton) }
func (v Value) Members() []Attribute          { panic(errSkeleton) }
func (v Value) Elems() []Value                { panic(errSkeleton) }
func (v Value) Equal(o Value) bool            { panic(errSkeleton) }
func (v Value) AppendJSON(dst []byte) []byte  { panic(errSkeleton) } // canonical
func (v Value) MarshalJSON() ([]byte, error)  { panic(errSkeleton) }
func (v *Value) UnmarshalJSON(b []byte) error { panic(errSkeleton) }

// Attribute is a named value of a context.
type Attribute struct {
	Name  string
	Value Value
}

// Context is who asks. Attributes are sorted by name (bytewise) and unique.
type Context struct {
	TargetingKey string
	Attributes   []Attribute
}

// ParseContext reads the JSON object of an evaluation context ({"targetingKey":…, …}) into c, reusing its
// storage. The limits of the doors (attribute count, sizes, depth) are enforced here. Errors are *ContextError.
// c keeps references into data: data must not change while c is used.
func ParseContext(data []byte, c *Context) error { panic(errSkeleton) }

// ContextError says what is wrong with a context: Code is PARSE_ERROR (not JSON, duplicate members, depth,
// trailing data) or INVALID_CONTEXT; Detail names the attribute and the limit.
type ContextError struct{ Code, Detail string }

func (e *ContextError) Error() string { return e.Code + ": " + e.Detail }

// AppendCanonical appends the canonical JSON of the context: members sorted, targetingKey among them.
func (c *Context) AppendCanonical(dst []byte) []byte { panic(errSkeleton) }

// Reason says why a variant was chosen.
type Reason string

const (
	ReasonStatic             Reason = "STATIC"
	ReasonDefault            Reason = "DEFAULT"
	ReasonTargetingMatch     Reason = "TARGETING_MATCH"
	ReasonSplit              Reason = "SPLIT"
	ReasonDisabled           Reason = "DISABLED"
	ReasonPrerequisiteFailed Reason = "PREREQUISITE_FAILED"
	ReasonError              Reason = "ERROR"
)

// ErrorCode is an OpenFeature error code; empty means success.
type ErrorCode string

const (
	ErrorFlagNotFound        ErrorCode = "FLAG_NOT_FOUND"
	ErrorTargetingKeyMissing ErrorCode = "TARGETING_KEY_MISSING"
	ErrorInvalidContext      ErrorCode = "INVALID_CONTEXT"
	ErrorTypeMismatch        ErrorCode = "TYPE_MISMATCH"
	ErrorParse               ErrorCode = "PARSE_ERROR"
	ErrorProviderNotReady    ErrorCode = "PROVIDER_NOT_READY"
	ErrorGeneral             ErrorCode = "GENERAL"
)

// Result is the answer to one evaluation.
type Result struct {
	Value     Value
	HasValue  bool
	Variant   string
	Reason    Reason
	RuleID    string
	Label     string
	ErrorCode ErrorCode
	Detail    string // for ErrorInvalidContext: the attribute
	Revision  uint64 // of the snapshot that answered
}

// Problem is one place of a definition that cannot be accepted.
type Problem struct {
	Field   string `json:"field"` // JSON pointer into the definition, e.g. /rules/0/if/1/values/0
	Code    string `json:"code"`  // e.g. flag.weights.sum
	Message string `json:"message"`
}

// Problems is every reason why a definition is refused; it is the error type of DecodeFlag, Compile etc.
type Problems []Problem

func (p Problems) Error() string { panic(errSkeleton) }

// DecodeFlag reads one flag strictly (unknown, duplicate and mis-cased members refused with their path).
// A body that is not JSON, or has unknown or duplicate members, gives Problems whose Code starts with "decode.".
func DecodeFlag(data []byte) (*Flag, error)       { panic(errSkeleton) }
func DecodeSegment(data []byte) (*Segment, error) { panic(errSkeleton) }

// Canonical returns the canonical JSON of the flag; DecodeFlag of it gives an equal flag, Canonical again the same bytes.
func (f *Flag) Canonical() []byte    { panic(errSkeleton) }
func (s *Segment) Canonical() []byte { panic(errSkeleton) }

// Check returns everything that can be judged about a flag without looking at others (admission, evaluation.md 6).
func (f *Flag) Check() Problems    { panic(errSkeleton) }
func (s *Segment) Check() Problems { panic(errSkeleton) }

// Lint returns findings that are worth a look but are not refused.
func (f *Flag) Lint() Problems { panic(errSkeleton) }

// Compiled is a flag ready for evaluation: immutable, shared by pointer between snapshots and environments.
type Compiled struct{ key string }

// Compile compiles an *effective* flag. It fails only with Problems, exactly when Check does.
func Compile(f *Flag) (*Compiled, error) { panic(errSkeleton) }

func (c *Compiled) Key() string         { return c.key }
func (c *Compiled) ClientVisible() bool { panic(errSkeleton) }
func (c *Compiled) Archived() bool      { panic(errSkeleton) }
func (c *Compiled) Type() Type          { panic(errSkeleton) }
func (c *Compiled) Kind() Kind          { panic(errSkeleton) }

// Record is the canonical JSON of the effective flag without prose (name, description, owner, tags, annotations):
// what Follow carries. DecodeFlag + Compile of it gives an equal Compiled.
func (c *Compiled) Record() []byte { panic(errSkeleton) }

// Metadata is the flag's own metadata, sorted by name.
func (c *Compiled) Metadata() []Attribute { panic(errSkeleton) }

// Killed marks the compiled flag as killed: it counts as not enabled for prerequisites. fsm builds the killed flag as
// {no rules, no prerequisites, default = off variant, label "kill"}; the label is what makes it count as not enabled.

// CompiledSegment is a segment ready for evaluation.
type CompiledSegment struct{ key string }

func CompileSegment(s *Segment) (*CompiledSegment, error) { panic(errSkeleton) }
func (c *CompiledSegment) Key() string                    { return c.key }
func (c *CompiledSegment) Record() []byte                 { panic(errSkeleton) }

// References lists what a flag or segment refers to, for the law (dangling, cycles, depth). Sorted, unique.
type References struct {
	Flags    []FlagReference // prerequisites and prerequisite clauses
	Segments []string
}
type FlagReference struct {
	Flag     string
	Variants []string
}

func (f *Flag) References() References    { panic(errSkeleton) }
func (s *Segment) References() References { panic(errSkeleton) }

// Index is a persistent hash table from string keys: a write copies one page and the directory, readers never lock.
// Every record carries the revision of its last change; each page keeps its highest revision.
type Index[T any] struct{ _ T }

func (x *Index[T]) Get(key string) (T, bool)                                  { panic(errSkeleton) }
func (x *Index[T]) Len() int                                                  { panic(errSkeleton) }
func (x *Index[T]) With(key string, value T, revision uint64) *Index[T]       { panic(errSkeleton) }
func (x *Index[T]) Without(key string) *Index[T]                              { panic(errSkeleton) }
func (x *Index[T]) All(yield func(key string, value T, revision uint64) bool) { panic(errSkeleton) } // unordered
func (x *Index[T]) Since(revision uint64, yield func(key string, value T, revision uint64) bool) {
	panic(errSkeleton)
}

// Snapshot is everything one environment serves at one revision. It is immutable.
type Snapshot struct{ _ int }

// Changes is one step of an environment: everything that one log entry changed.
type Changes struct {
	Revision        uint64
	At              int64 // leader time in unix ms; decides how long tombstones are kept
	Flags           []*Compiled
	Segments        []*CompiledSegment
	RemovedFlags    []string
	RemovedSegments []string
}

// EmptySnapshot returns a snapshot without flags.
func EmptySnapshot(epoch string) *Snapshot { panic(errSkeleton) }

func (s *Snapshot) Epoch() string            { panic(errSkeleton) }
func (s *Snapshot) Revision() uint64         { panic(errSkeleton) } // last change of what is served
func (s *Snapshot) ChangedAt() int64         { panic(errSkeleton) } // At of that change
func (s *Snapshot) SegmentRevision() uint64  { panic(errSkeleton) } // newest change of any segment
func (s *Snapshot) Len() int                 { panic(errSkeleton) }
func (s *Snapshot) With(c Changes) *Snapshot { panic(errSkeleton) }

// Evaluate answers which variant key serves in context c, and why. 0 allocations.
func (s *Snapshot) Evaluate(key string, c *Context) Result { panic(errSkeleton) }

// EvaluateCompiled is Evaluate for a flag already looked up.
func (s *Snapshot) EvaluateCompiled(f *Compiled, c *Context) Result         { panic(errSkeleton) }
func (s *Snapshot) Flag(key string) (f *Compiled, revision uint64, ok bool) { panic(errSkeleton) }
func (s *Snapshot) Segment(key string) (f *CompiledSegment, revision uint64, ok bool) {
	panic(errSkeleton)
}

// Flags returns all flags sorted by key (bytewise), archived ones included; computed once per snapshot, then shared.
func (s *Snapshot) Flags() []*Compiled           { panic(errSkeleton) }
func (s *Snapshot) Segments() []*CompiledSegment { panic(errSkeleton) }

// Difference is the exact coalesced difference between two revisions of one epoch; sorted by key.
type Difference struct {
	From, To        uint64
	Flags           []*Compiled
	Segments        []*CompiledSegment
	RemovedFlags    []string
	RemovedSegments []string
}

// Since returns what changed after revision; false when it is below the tombstone floor (take a snapshot).
func (s *Snapshot) Since(revision uint64) (Difference, bool) { panic(errSkeleton) }

// ClosureRevision is the newest revision at which the named flag, or anything it refers to (flags transitively, and
// any segment of the environment if it uses segments), changed. It is what Watch and the OFREP scope wait on.
func (s *Snapshot) ClosureRevision(key string) uint64 { panic(errSkeleton) }

// ScopeRevision is the newest revision that changed anything visible: all flags, or the client-visible ones with
// what they refer to; a segment change moves both. Cached per snapshot.
func (s *Snapshot) ScopeRevision(clientOnly bool) uint64 { panic(errSkeleton) }

// Stored is how a snapshot travels to disk and back: per record its revision, tombstones included.
type Tombstone struct {
	Segment  bool
	Key      string
	Revision uint64
	At       int64
}

// Parts lists all that Restore needs.
type Parts struct {
	Epoch            string
	Revision         uint64
	ChangedAt        int64
	Floor            uint64 // Since below this answers false
	Flags            []*Compiled
	FlagRevisions    []uint64
	Segments         []*CompiledSegment
	SegmentRevisions []uint64
	Tombstones       []Tombstone
}

func (s *Snapshot) Parts() Parts        { panic(errSkeleton) }
func RestoreSnapshot(p Parts) *Snapshot { panic(errSkeleton) }

// Explanation is Evaluate with every step recorded (evaluation.md 8); its JSON is the API's.
type Explanation struct {
	Key string `json:"key"`
}

func (s *Snapshot) Explain(key string, c *Context) *Explanation { panic(errSkeleton) }

// Reallocate gives weights their ranges with least movement (evaluation.md 5).
func Reallocate(old []Range, weights []Weight) []Range { panic(errSkeleton) }

// Bucket is the murmur3-32 hash of length-prefixed salt and key; Unit is its place on the grid of 100,000.
func Bucket(salt, key string) uint32 { panic(errSkeleton) }
func Unit(hash uint32) int           { panic(errSkeleton) }
