package fsm

import (
	"crypto/sha256"
	"slices"
	"time"
)

// Change is the one waiting room: commands, or a promotion, that wait for approvals or for a time and then happen in one
// entry. What approvals count for is bound to its Hash: another diff is another change. It is immutable.
type Change struct {
	ID        string       `json:"id"`
	Kind      ChangeKind   `json:"kind"`
	Status    ChangeStatus `json:"status"`
	Title     string       `json:"title,omitempty"`
	Notes     string       `json:"notes,omitempty"`
	Author    Actor        `json:"author"`
	Base      uint64       `json:"base"`           // revision its commands were made from; of a promotion, that of its validation
	Hash      string       `json:"hash,omitempty"` // SHA-256 of the diff that approvals are for, hex; empty before the first validation
	Required  int          `json:"required"`       // approvals that the environment asked for when the change last moved
	Approvals []Consent    `json:"approvals,omitempty"`
	NotBefore int64        `json:"notBefore,omitzero"` // unix ms; of a scheduled change
	Zone      string       `json:"zone,omitempty"`     // in which NotBefore was meant, for those who read it
	Cause     string       `json:"cause,omitempty"`    // why it failed, or who refused it why
	Promotion *Promotion   `json:"promotion,omitzero"`

	Correlation string `json:"correlationId"` // of every row that the change leaves in the audit log; its id unless the opener said otherwise

	Created    uint64 `json:"created"` // revisions and leader times
	CreatedAt  int64  `json:"createdAt"`
	Revision   uint64 `json:"revision"`
	UpdatedAt  int64  `json:"updatedAt"`
	Executed   uint64 `json:"executed,omitzero"`
	ExecutedAt int64  `json:"executedAt,omitzero"`
	Undone     uint64 `json:"undone,omitzero"` // revision of the rollback

	Undo   []Consent     `json:"undo,omitempty"` // who asked for the rollback, while more have to
	Events []ChangeEvent `json:"events,omitempty"`

	detail *changeDetail
	digest digest // of the record above
}

// ChangeKind says what waits.
type ChangeKind string

// The kinds of changes.
const (
	ChangeEdit      ChangeKind = "edit"      // commands of a person
	ChangePromotion ChangeKind = "promotion" // what Compare says, when it happens
	ChangeReview    ChangeKind = "review"    // something was done in an emergency; somebody else looks at it afterwards
)

// ChangeStatus is where a change stands.
type ChangeStatus string

// The states. A promotion begins as DRAFT, an edit and a review as PENDING.
const (
	ChangeDraft      ChangeStatus = "DRAFT"
	ChangeInvalid    ChangeStatus = "INVALID"
	ChangeValidated  ChangeStatus = "VALIDATED"
	ChangePending    ChangeStatus = "PENDING"
	ChangeRequested  ChangeStatus = "CHANGES_REQUESTED"
	ChangeApproved   ChangeStatus = "APPROVED"
	ChangeScheduled  ChangeStatus = "SCHEDULED"
	ChangeApplied    ChangeStatus = "APPLIED"   // an edit
	ChangeCompleted  ChangeStatus = "COMPLETED" // a promotion
	ChangeFailed     ChangeStatus = "FAILED"
	ChangeRejected   ChangeStatus = "REJECTED"
	ChangeCancelled  ChangeStatus = "CANCELLED"
	ChangeRolledBack ChangeStatus = "ROLLED_BACK"
)

// Open tells whether something may still happen by it.
func (s ChangeStatus) Open() bool {
	switch s {
	case ChangeApplied, ChangeCompleted, ChangeFailed, ChangeRejected, ChangeCancelled, ChangeRolledBack:
		return false
	}
	return true
}

// Consent is one person's yes, to the diff with the hash.
type Consent struct {
	By      Actor  `json:"by"`
	At      int64  `json:"at"`
	Comment string `json:"comment,omitempty"`
	Hash    string `json:"hash,omitempty"`
}

// ChangeEvent is one move of a change.
type ChangeEvent struct {
	Revision uint64       `json:"revision"`
	At       int64        `json:"at"`
	Actor    Actor        `json:"actor"`
	Move     ChangeMove   `json:"move"`
	From     ChangeStatus `json:"from,omitempty"`
	To       ChangeStatus `json:"to"`
	Comment  string       `json:"comment,omitempty"`
}

// Promotion says what travels from where.
type Promotion struct {
	Source      string        `json:"source"`
	Type        PromotionType `json:"type"`
	ConfigIDs   []string      `json:"configIds,omitempty"`
	FlagIDs     []string      `json:"flagIds,omitempty"`
	KeyPatterns []string      `json:"keyPatterns,omitempty"`
	Validation  *Validation   `json:"validation,omitzero"`
}

// PromotionType says which items travel.
type PromotionType string

// The types of promotions. FULL archives in the target what the source lacks; the others add and change only.
const (
	PromotionFull      PromotionType = "FULL"
	PromotionSelective PromotionType = "SELECTIVE"
	PromotionPattern   PromotionType = "PATTERN"
)

// Validation is what was found when a promotion was last looked at, and what it looked at.
type Validation struct {
	Valid          bool      `json:"valid"`
	At             int64     `json:"at"`
	SourceRevision uint64    `json:"sourceRevision"` // of the last change of a declaration in the source
	TargetRevision uint64    `json:"targetRevision"`
	Hash           string    `json:"hash"`
	Added          int       `json:"added,omitzero"`
	Modified       int       `json:"modified,omitzero"`
	Removed        int       `json:"removed,omitzero"`
	Findings       []Finding `json:"findings,omitempty"`
}

// Finding is something about a promotion that people should know. Only an error keeps it from being valid.
type Finding struct {
	Severity string   `json:"severity"` // error or warning
	Code     string   `json:"code"`
	Kind     ItemKind `json:"kind,omitempty"`
	Key      string   `json:"key,omitempty"`
	Message  string   `json:"message"`
}

// The severities of a Finding.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// ChangeItem is one item that a change concerns.
type ChangeItem struct {
	Kind   ItemKind
	Key    string
	Change ChangeType
	Before []byte // canonical JSON; nil: absent
	After  []byte // nil: absent, or no longer kept
}

// changeDetail is what of a change may be large. It is immutable and dropped when the change has long ended.
type changeDetail struct {
	commands []Command // of an edit, in the scope of its environment
	encoded  []byte    // the same, as a Batch
	images   []image   // what a promotion found where it wrote
	bytes    int       // about what it keeps in memory
	digest   digest
}

// image is an item before and after a promotion.
type image struct {
	kind   ObjectKind
	key    string
	change ChangeType
	before *version // nil: it did not exist
	after  digest   // zero: it did not exist any more
}

func newDetail(commands []Command, encoded []byte, images []image) *changeDetail {
	h := sha256.New()
	h.Write(encoded)
	bytes := len(encoded)
	for i := range images {
		h.Write(images[i].leaf())
		if images[i].before != nil {
			bytes += len(images[i].before.Record)
		}
	}
	return &changeDetail{commands: commands, encoded: encoded, images: images, bytes: bytes, digest: digest(h.Sum(nil))}
}

func (m *image) leaf() []byte {
	b := appendString(appendString(appendString(nil, string(m.kind)), m.key), string(m.change))
	if m.before != nil {
		b = append(b, m.before.digest[:]...)
	}
	return append(b, m.after[:]...)
}

// Commands are those of an edit; nil for a promotion, or when the change has long ended.
func (c *Change) Commands() []Command {
	if c.detail == nil {
		return nil
	}
	return c.detail.commands
}

// Valid counts the approvals that are for the diff as it is, of distinct people.
func (c *Change) Valid() int {
	n := 0
	for i, a := range c.Approvals {
		if a.Hash == c.Hash && !slices.ContainsFunc(c.Approvals[:i], func(b Consent) bool { return b.Hash == c.Hash && SamePerson(a.By, b.By) }) {
			n++
		}
	}
	return n
}

// Change finds a change of the environment.
func (e *Environment) Change(id string) (*Change, bool) { return e.changes.Get(id) }

// Changes lists the changes of the environment, the newest first.
func (e *Environment) Changes() []*Change {
	out := make([]*Change, 0, len(e.changeOrder))
	for _, id := range slices.Backward(e.changeOrder) {
		c, _ := e.changes.Get(id)
		out = append(out, c)
	}
	return out
}

// Change finds a change by its id, in whichever environment of the tenant it waits.
func (s *State) Change(tenant, id string) (*Environment, *Change, bool) {
	for _, e := range s.Environments(tenant) {
		if c, ok := e.Change(id); ok {
			return e, c, true
		}
	}
	return nil, nil, false
}

// Opened finds the change that the write at a revision opened.
func (e *Environment) Opened(revision uint64) (*Change, bool) {
	for _, id := range slices.Backward(e.changeOrder) {
		if c, _ := e.changes.Get(id); c.Created <= revision {
			return c, c.Created == revision
		}
	}
	return nil, false
}

// DueChange names a scheduled change and its time.
type DueChange struct {
	ID        string
	Promotion bool
	At        time.Time
}

// NextChange is the scheduled change whose time comes first; ok is false when there is none. The caller compares At with
// the leader's time and proposes the move "due".
func (e *Environment) NextChange() (next DueChange, ok bool) {
	for _, id := range e.openChanges {
		c, _ := e.changes.Get(id)
		if at := time.UnixMilli(c.NotBefore); c.Status == ChangeScheduled && (!ok || at.Before(next.At)) {
			next, ok = DueChange{ID: id, Promotion: c.Kind == ChangePromotion, At: at}, true
		}
	}
	return next, ok
}

// AsOf is the change as it was after its last move up to a revision, as far as its events tell: what a retry of that move is
// answered. What later moves replaced (approvals that became void, a validation, another time) is not kept.
func (c *Change) AsOf(revision uint64) *Change {
	n := len(c.Events)
	for n > 0 && c.Events[n-1].Revision > revision {
		n--
	}
	if n == 0 || n == len(c.Events) {
		return c
	}
	then, last := *c, c.Events[n-1]
	then.Status, then.Revision, then.UpdatedAt, then.Events = last.To, last.Revision, last.At, c.Events[:n]
	then.Approvals, then.Undo = before(c.Approvals, c.Events[n:]), before(c.Undo, c.Events[n:])
	moved := func(m ChangeMove) bool {
		return slices.ContainsFunc(then.Events, func(e ChangeEvent) bool { return e.Move == m })
	}
	if !moved(ChangeMoveSchedule) {
		then.NotBefore, then.Zone = 0, ""
	}
	if c.Executed > revision {
		then.Executed, then.ExecutedAt = 0, 0
	}
	if c.Undone > revision {
		then.Undone = 0
	}
	if then.Cause = ""; last.To == ChangeFailed || last.To == ChangeRejected {
		then.Cause = last.Comment
	}
	if p := c.Promotion; p != nil && p.Validation != nil && p.Validation.At > last.At {
		then.Promotion = &Promotion{Source: p.Source, Type: p.Type, ConfigIDs: p.ConfigIDs, FlagIDs: p.FlagIDs, KeyPatterns: p.KeyPatterns}
		then.Hash = ""
	}
	return &then
}

// before leaves out who agreed by one of the events.
func before(list []Consent, events []ChangeEvent) []Consent {
	return slices.DeleteFunc(slices.Clone(list), func(a Consent) bool {
		return slices.ContainsFunc(events, func(e ChangeEvent) bool { return e.At == a.At && SamePerson(e.Actor, a.By) })
	})
}

// Stale tells whether a declaration of the source or the target moved after the promotion was validated.
func (s *State) Stale(e *Environment, c *Change) bool {
	if c.Promotion == nil || c.Promotion.Validation == nil || !c.Status.Open() {
		return false
	}
	v := c.Promotion.Validation
	source, ok := s.Environment(e.tenant, c.Promotion.Source)
	return !ok || source.declaredAt != v.SourceRevision || e.declaredAt != v.TargetRevision
}

// DeclaredRevision is that of the last change of a declared flag, config or segment here.
func (e *Environment) DeclaredRevision() uint64 { return e.declaredAt }
