package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// model is the law once more, written from its description and not from its code, for the operations that clients of this
// package use on flags. What it does not know (rollouts, freezes, what the cluster says of itself) it lets pass; fences
// and request ids it judges for every command.
type model struct {
	now      int64
	envs     map[string]*place
	requests map[asked]*row
	order    []asked // oldest first
	floor    int64   // time inside the newest id that was forgotten
}

// place is one environment.
type place struct {
	revision uint64
	flags    map[string][]flagAt // by key, the versions in order
}

// flagAt is a flag from a revision on.
type flagAt struct {
	from     uint64 // index of the entry that brought it
	exists   bool
	revision uint64 // of the declaration
	value    string
	enabled  bool
	killed   bool
}

// served is what the flag gives to anybody.
func (f flagAt) served() string {
	if !f.exists || !f.enabled || f.killed {
		return "off"
	}
	return f.value
}

// row is what is remembered of a request.
type row struct {
	body   []byte
	at     int64
	idTime int64
	answer answer
}

// answer is what a proposal is answered.
type answer struct {
	what     string // verb, for people
	request  asked
	known    bool   // false: the model has no opinion of the result
	code     string // of a refusal; empty: done
	revision uint64 // of the receipt
	object   uint64 // of the receipt, or the revision a refusal names
	changed  bool
	replayed bool
	rows     int // of audit in the environment; counted only when known
	place    string
}

const (
	day       = int64(24 * 60 * 60 * 1000)
	aheadMost = int64(5 * 60 * 1000)
	forgetOne = 16 // rows that leave per entry at most
)

func newModel() *model {
	return &model{envs: map[string]*place{}, requests: map[asked]*row{}}
}

// apply takes one committed entry in.
func (m *model) apply(e fsm.Entry) answer {
	if e.Data == nil {
		return answer{what: "configuration"}
	}
	p, err := fsm.DecodeProposal(e.Data)
	if err != nil {
		return answer{what: "unreadable", known: true, code: "LAW"}
	}
	c, err := fsm.DecodeCommand(p.Command)
	if err != nil {
		return answer{what: "unreadable", known: true, code: "LAW"}
	}
	m.now = max(m.now, p.At)
	a := answer{what: c.Verb(), request: asked{p.Actor.Kind + "/" + p.Actor.ID, p.RequestID}}
	if p.ControllerTerm != 0 && p.ControllerTerm != e.Term {
		a.known, a.code = true, string(fsm.KindFenced)
		return a
	}
	if p.RequestID == "" {
		a.request = asked{}
		return a
	}
	if again, ok := m.remembered(p, a); ok {
		return again
	}
	a = m.execute(e.Index, p, c, a)
	if a.known {
		m.remember(p, a)
	}
	return a
}

// remembered is the answer of an earlier entry, or the refusal of an id that is too old or of the future.
func (m *model) remembered(p *fsm.Proposal, a answer) (answer, bool) {
	a.known = true
	if r, ok := m.requests[a.request]; ok {
		if !bytes.Equal(r.body, body(p)) {
			a.code, a.object = string(fsm.KindRequestReused), r.answer.revision
			return a, true
		}
		first := r.answer
		first.request, first.rows, first.replayed = a.request, 0, first.code == ""
		return first, true
	}
	made := timeOf(p.RequestID)
	if made != 0 && made <= m.floor {
		a.code = string(fsm.KindRequestExpired)
		return a, true
	}
	if made > m.now+aheadMost {
		a.code = string(fsm.KindInvalid)
		return a, true
	}
	return a, false
}

func (m *model) remember(p *fsm.Proposal, a answer) {
	for range forgetOne {
		if len(m.order) == 0 || m.now-m.requests[m.order[0]].at <= day {
			break
		}
		m.floor = max(m.floor, m.requests[m.order[0]].idTime)
		delete(m.requests, m.order[0])
		m.order = m.order[1:]
	}
	m.requests[a.request] = &row{body: body(p), at: m.now, idTime: timeOf(p.RequestID), answer: a}
	m.order = append(m.order, a.request)
}

// settle remembers what the law said to a command that the model has no opinion of.
func (m *model) settle(e fsm.Entry, a answer, o fsm.Outcome) {
	if a.known || a.request.id == "" {
		return
	}
	p, err := fsm.DecodeProposal(e.Data)
	if err != nil {
		return // apply has said so
	}
	a.revision, a.object, a.changed = e.Index, o.Receipt.Object, o.Receipt.Changed
	if refused := (*fsm.Error)(nil); errors.As(o.Err, &refused) {
		if !storedCode(refused.Kind) {
			return // it leaves no trace
		}
		a.code, a.object = string(refused.Kind), refused.Revision
	}
	m.remember(p, a)
}

// storedCode tells whether a refusal is found again by a retry.
func storedCode(k fsm.Kind) bool {
	return slices.Contains([]fsm.Kind{fsm.KindInvalid, fsm.KindNotFound, fsm.KindConflict, fsm.KindExists, fsm.KindIllegal, fsm.KindFrozen,
		fsm.KindDenied, fsm.KindState, fsm.KindStale, fsm.KindDrift, fsm.KindPipeline, fsm.KindSelfApproval, fsm.KindProtected}, k)
}

func body(p *fsm.Proposal) []byte {
	expected := "-"
	if p.ExpectedRevision != nil {
		expected = fmt.Sprint(*p.ExpectedRevision)
	}
	return append([]byte(expected+"/"), p.Command...)
}

// timeOf reads the milliseconds of a UUIDv7; 0 for any other id.
func timeOf(id string) (ms int64) {
	hex := strings.ReplaceAll(id, "-", "")
	if len(id) != 36 || len(hex) != 32 || hex[12] != '7' {
		return 0
	}
	if _, err := fmt.Sscanf(hex[:12], "%012x", &ms); err != nil {
		return 0
	}
	return ms
}

func (m *model) place(env string) *place {
	if m.envs[env] == nil {
		m.envs[env] = &place{flags: map[string][]flagAt{}}
	}
	return m.envs[env]
}

// execute carries a command out on a copy of what it touches.
func (m *model) execute(index uint64, p *fsm.Proposal, c fsm.Command, a answer) answer {
	env, key, ok := modelled(c)
	if !ok || env != Registers {
		return a
	}
	a.known, a.revision, a.place = true, index, env
	w := &work{place: m.place(env), index: index, flags: map[string]flagAt{}}
	if p.ExpectedRevision != nil {
		if code, current := w.expect(c, *p.ExpectedRevision); code != "" {
			a.code, a.object = code, current
			return a
		}
	}
	if code := w.do(c); code != "" {
		a.code = code
		return a
	}
	a.rows = w.commit()
	a.changed = a.rows > 0
	if a.object = w.place.newest(key).revision; key == "" {
		a.object = w.place.revision
	} else if !w.place.newest(key).exists {
		a.object = index
	}
	return a
}

// modelled names the environment and the flag of a command that the model knows; of a batch only the environment.
func modelled(c fsm.Command) (env, key string, ok bool) {
	switch c := c.(type) {
	case fsm.PutFlag:
		return c.Environment, c.Flag.Key, plain(c.Flag)
	case fsm.DeleteFlag:
		return c.Environment, c.Key, true
	case fsm.SetEnabled:
		return c.Environment, c.Key, true
	case fsm.Kill:
		return c.Environment, c.Key, true
	case fsm.Unkill:
		return c.Environment, c.Key, true
	case fsm.Batch:
		for _, inner := range c.Commands {
			if _, _, ok := modelled(inner); !ok {
				return "", "", false
			}
		}
		return c.Environment, "", c.Since == 0
	}
	return "", "", false
}

// plain tells whether a flag is one of those that clients use as registers.
func plain(f *evaluator.Flag) bool {
	return f.Type == evaluator.TypeString && len(f.Rules) == 0 && f.Default != nil && f.Default.Split == nil
}

// differs says what the law answered differently, or nothing.
func (a answer) differs(o fsm.Outcome) string {
	if !a.known {
		return ""
	}
	code, object := "", o.Receipt.Object
	var refused *fsm.Error
	if errors.As(o.Err, &refused) {
		code, object = string(refused.Kind), refused.Revision
	} else if o.Err != nil {
		code = "LAW"
	}
	switch {
	case code != a.code:
		return fmt.Sprintf("the law says %q, the model %q (%v)", code, a.code, o.Err)
	case code == string(fsm.KindFenced) || code == string(fsm.KindInvalid) || code == string(fsm.KindRequestExpired) || code == "LAW":
		return ""
	case object != a.object:
		return fmt.Sprintf("object at revision %d, the model says %d", object, a.object)
	case code != "":
		return ""
	case o.Receipt.Revision != a.revision:
		return fmt.Sprintf("revision %d, the model says %d", o.Receipt.Revision, a.revision)
	case o.Receipt.Changed != a.changed || o.Receipt.Replayed != a.replayed:
		return fmt.Sprintf("changed %v and replayed %v, the model says %v and %v", o.Receipt.Changed, o.Receipt.Replayed, a.changed, a.replayed)
	}
	return ""
}

// invariant is what a difference breaks.
func (a answer) invariant() int {
	switch {
	case a.code == string(fsm.KindFenced):
		return OneController
	case a.replayed || a.code == string(fsm.KindRequestExpired) || a.code == string(fsm.KindRequestReused):
		return Idempotent
	}
	return Oracle
}

// valueOf is what a register holds: the value of its variant "on".
func valueOf(f *evaluator.Flag) string {
	for _, v := range f.Variants {
		if v.Key == "on" {
			return v.Value.AsString()
		}
	}
	return ""
}
