package chaos

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Outcome is what a client knows of its operation in the end.
type Outcome string

// The outcomes. Unknown: it may have happened, or may still.
const (
	OK      Outcome = "ok"
	Fail    Outcome = "fail"
	Unknown Outcome = "unknown"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations. Put writes whatever stands there; CAS names the revision it replaces, 0 for none. Read is
// linearizable, Stale is what the node has, Bounded waits for Input.Min.
const (
	Put      Kind = "put"
	CAS      Kind = "cas"
	Delete   Kind = "delete"
	Enable   Kind = "enable"
	Disable  Kind = "disable"
	Kill     Kind = "kill"
	Unkill   Kind = "unkill"
	Batch    Kind = "batch"
	Read     Kind = "read"
	Stale    Kind = "stale"
	Bounded  Kind = "bounded"
	Start    Kind = "start"    // a rollout
	Move     Kind = "move"     // of a rollout, by a person
	Freeze   Kind = "freeze"   // an environment
	Unfreeze Kind = "unfreeze" //
	Schedule Kind = "schedule" // of a flag
	Promote  Kind = "promote"  // everything from Rollouts into Production: opens a promotion
	Step     Kind = "step"     // of a promotion, by a person
)

// Reads tells whether the kind changes nothing.
func (k Kind) Reads() bool { return k == Read || k == Stale || k == Bounded }

// Input is what a client asks for.
type Input struct {
	Kind        Kind    `json:"kind"`
	Environment string  `json:"environment"`
	Key         string  `json:"key,omitempty"`      // of the flag, or the id of the rollout or promotion
	Value       string  `json:"value,omitempty"`    // of put and cas: unique in the history; of move and step: which
	Expected    *uint64 `json:"expected,omitempty"` // of cas and batch
	Min         uint64  `json:"min,omitempty"`      // of bounded
	Epoch       string  `json:"epoch,omitempty"`    // of bounded: that of Min
	Parts       []Input `json:"parts,omitempty"`    // of batch
	Plan        string  `json:"plan,omitempty"`     // of start: YAML; of step: when it is to happen
	As          string  `json:"as,omitempty"`       // who asks; empty: chaos
}

// Person is who asks.
func (in Input) Person() fsm.Actor { return fsm.Actor{Kind: fsm.ActorUser, ID: cmp.Or(in.As, "chaos")} }

// Result is what a client was told.
type Result struct {
	Object   uint64 `json:"object,omitempty"` // revision of the flag: after the write, or as it was read
	Changed  bool   `json:"changed,omitempty"`
	Made     string `json:"made,omitempty"` // id of the promotion that was opened
	Replayed bool   `json:"replayed,omitempty"`
	Code     string `json:"code,omitempty"`    // of a refusal
	Current  uint64 `json:"current,omitempty"` // revision that a refusal names
	Found    bool   `json:"found,omitempty"`   // reads: the flag exists
	Value    string `json:"value,omitempty"`   // reads: what is served to nobody in particular
	Killed   bool   `json:"killed,omitempty"`  // reads: by the kill switch
	Detail   string `json:"detail,omitempty"`  // of an error, for people
}

// Op is one operation of one client. Times are nanoseconds on the history's clock.
type Op struct {
	Client   int     `json:"client"`
	ID       int     `json:"op_id"`
	Request  string  `json:"request_id,omitempty"`
	Node     string  `json:"node"`
	Call     int64   `json:"call_ns"`
	Return   int64   `json:"ret_ns"`
	Input    Input   `json:"input"`
	Outcome  Outcome `json:"outcome"`
	Epoch    string  `json:"epoch,omitempty"`
	Revision uint64  `json:"revision,omitempty"` // of the write, or of the state that was read
	Result   Result  `json:"result"`
}

// Frame is what a follower held at one moment: everything up to Revision, no more.
type Frame struct {
	Client      int    `json:"client"`
	At          int64  `json:"at_ns"`
	Environment string `json:"environment"`
	Epoch       string `json:"epoch"`
	Revision    uint64 `json:"revision"`
	Digest      string `json:"digest"` // of the content, see Digest
}

// Mark is one event of the run itself: a nemesis begins, everything heals, a process ends.
type Mark struct {
	At   int64  `json:"at_ns"`
	What string `json:"what"`
	Node string `json:"node,omitempty"`
	Text string `json:"text,omitempty"`
}

// Marks that checkers understand.
const (
	MarkCrash   = "crash"   // the process of Node ended without a word
	MarkStart   = "start"   // a process began on Node
	MarkExit    = "exit"    // the process of Node ended itself; Text is why
	MarkNemesis = "nemesis" // Text began
	MarkHeal    = "heal"
)

// History is everything that was seen from outside. It is safe for concurrent use.
type History struct {
	began time.Time

	mu     sync.Mutex
	ops    []Op
	frames []Frame
	marks  []Mark
}

// NewHistory begins a history; its clock counts from began.
func NewHistory(began time.Time) *History { return &History{began: began} }

// Now is the history's clock.
func (h *History) Now() int64 { return int64(time.Since(h.began)) }

// Add records an operation that has returned.
func (h *History) Add(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// See records what a follower holds.
func (h *History) See(f Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames = append(h.frames, f)
}

// Mark records an event of the run, now.
func (h *History) Mark(what, node, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.marks = append(h.marks, Mark{At: h.Now(), What: what, Node: node, Text: text})
}

// Ops are the operations in the order of their return.
func (h *History) Ops() []Op { return snapshot(h, &h.ops) }

// Frames are what followers held, in the order of recording.
func (h *History) Frames() []Frame { return snapshot(h, &h.frames) }

// Marks are the events of the run, in order.
func (h *History) Marks() []Mark { return snapshot(h, &h.marks) }

func snapshot[T any](h *History, list *[]T) []T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(*list)
}

// Until is the part of the history that had been recorded at a moment. Operations under way then are left out; whether
// they happened nobody knew.
func (h *History) Until(at int64) *History {
	early := &History{began: h.began}
	for _, op := range h.Ops() {
		if op.Return <= at {
			early.ops = append(early.ops, op)
		}
	}
	for _, f := range h.Frames() {
		if f.At <= at {
			early.frames = append(early.frames, f)
		}
	}
	for _, m := range h.Marks() {
		if m.At <= at {
			early.marks = append(early.marks, m)
		}
	}
	return early
}

// line is one line of the stored form; exactly one field is set.
type line struct {
	Op    *Op    `json:"op,omitempty"`
	Frame *Frame `json:"frame,omitempty"`
	Mark  *Mark  `json:"mark,omitempty"`
}

// Write stores the history, one JSON object per line.
func (h *History) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	for _, op := range h.Ops() {
		if err := e.Encode(line{Op: &op}); err != nil {
			return err
		}
	}
	for _, f := range h.Frames() {
		if err := e.Encode(line{Frame: &f}); err != nil {
			return err
		}
	}
	for _, m := range h.Marks() {
		if err := e.Encode(line{Mark: &m}); err != nil {
			return err
		}
	}
	return nil
}

// ReadHistory reads what Write wrote.
func ReadHistory(r io.Reader) (*History, error) {
	h := &History{}
	for d := json.NewDecoder(r); ; {
		var l line
		switch err := d.Decode(&l); {
		case err == io.EOF:
			return h, nil
		case err != nil:
			return nil, err
		case l.Op != nil:
			h.ops = append(h.ops, *l.Op)
		case l.Frame != nil:
			h.frames = append(h.frames, *l.Frame)
		case l.Mark != nil:
			h.marks = append(h.marks, *l.Mark)
		}
	}
}
