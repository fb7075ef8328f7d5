package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Allowed is the table of states: the moves that are possible now. Whatever it does not list is RES_STATE and changes
// nothing. A move that is listed and finds everything as it asks for is no change and no error.
func (c *Change) Allowed() []ChangeMove {
	switch c.Kind {
	case ChangePromotion:
		return c.allowedPromotion()
	case ChangeReview:
		if c.Status == ChangePending {
			return []ChangeMove{ChangeMoveApprove, ChangeMoveReject}
		}
		return nil
	}
	switch c.Status {
	case ChangePending:
		return []ChangeMove{ChangeMoveEdit, ChangeMoveApprove, ChangeMoveReturn, ChangeMoveReject, ChangeMoveCancel}
	case ChangeRequested:
		return []ChangeMove{ChangeMoveEdit, ChangeMoveCancel}
	case ChangeApproved:
		return []ChangeMove{ChangeMoveEdit, ChangeMoveApprove, ChangeMoveApply, ChangeMoveSchedule, ChangeMoveCancel}
	case ChangeScheduled:
		return []ChangeMove{ChangeMoveApprove, ChangeMoveSchedule, ChangeMoveCancel, ChangeMoveDue}
	case ChangeCancelled:
		return []ChangeMove{ChangeMoveCancel}
	}
	return nil
}

func (c *Change) allowedPromotion() []ChangeMove {
	switch c.Status {
	case ChangeDraft, ChangeInvalid:
		return []ChangeMove{ChangeMoveValidate, ChangeMoveCancel}
	case ChangeValidated:
		moves := []ChangeMove{ChangeMoveValidate, ChangeMoveApprove, ChangeMoveReject, ChangeMoveCancel}
		if c.Required == 0 {
			moves = append(moves, ChangeMoveApply, ChangeMoveSchedule)
		}
		return moves
	case ChangeApproved:
		return []ChangeMove{ChangeMoveValidate, ChangeMoveApprove, ChangeMoveApply, ChangeMoveSchedule, ChangeMoveCancel}
	case ChangeScheduled:
		return []ChangeMove{ChangeMoveApprove, ChangeMoveSchedule, ChangeMoveCancel, ChangeMoveDue}
	case ChangeCompleted, ChangeRolledBack:
		return []ChangeMove{ChangeMoveRollback}
	case ChangeCancelled:
		return []ChangeMove{ChangeMoveCancel}
	}
	return nil
}

// moveChange carries a move out, if the table has it.
func (d *draft) moveChange(c MoveChange) error {
	old, ok := d.env.Change(c.ID)
	if !ok {
		return notFound(c, "there is no such change; list those that wait with their ids")
	}
	m := d.beginChange(c, old, c.Move, c.Comment)
	if !slices.Contains(m.c.Allowed(), c.Move) {
		return m.illegal()
	}
	if c.Hash != "" && c.Hash != old.Hash {
		return &Error{Kind: KindConflict, Op: c.Verb(), Target: c.target().String(), Revision: old.Revision,
			Detail: fmt.Sprintf("it was edited or validated anew at revision %d and is another diff than the one you looked at; look again, then repeat", old.Revision)}
	}
	if err := m.make(c); err != nil {
		return err
	}
	m.commit()
	return nil
}

// changeMove is one change on its way from one form to the next.
type changeMove struct {
	d    *draft
	cmd  Command
	old  *Change // nil: it is being opened
	c    *Change // private copy
	move ChangeMove
	why  string
	same bool // nothing changes
	verb string
}

func (d *draft) beginChange(cmd Command, old *Change, move ChangeMove, why string) *changeMove {
	c := *old
	if c.Status.Open() {
		c.Required = max(d.governance().RequiredApprovals, reviewers(&c))
	}
	return &changeMove{d: d, cmd: cmd, old: old, c: &c, move: move, why: why}
}

// reviewers is how many people look at what was done in an emergency, whatever the policy says.
func reviewers(c *Change) int {
	if c.Kind == ChangeReview {
		return 1
	}
	return 0
}

func (m *changeMove) by() Actor { return m.d.proposal.Actor }

func (m *changeMove) fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: m.cmd.Verb(), Target: m.cmd.target().String(), Revision: m.old.Revision, Detail: fmt.Sprintf(format, args...)}
}

func (m *changeMove) illegal() error {
	var names []string
	for _, move := range m.c.Allowed() {
		if move != ChangeMoveDue {
			names = append(names, string(move))
		}
	}
	detail := "it has ended"
	if len(names) > 0 {
		detail = "possible now: " + strings.Join(names, ", ")
	}
	if m.move == ChangeMoveApply && (m.c.Status == ChangeValidated || m.c.Status == ChangePending) {
		detail = fmt.Sprintf("it has %d of %d approvals; %s", m.c.Valid(), m.c.Required, detail)
	}
	e := m.fail(KindState, "the %s is %s, so %s is not possible; %s", m.c.noun(), m.c.Status, m.move, detail)
	e.State, e.Allowed = string(m.c.Status), names
	return e
}

func (c *Change) noun() string {
	if c.Kind == ChangePromotion {
		return "promotion"
	}
	return "change"
}

func (m *changeMove) make(c MoveChange) error {
	switch c.Move {
	case ChangeMoveValidate:
		return m.validate()
	case ChangeMoveApprove:
		return m.approve(c)
	case ChangeMoveReturn, ChangeMoveReject:
		if err := m.mayJudge(); err != nil {
			return err
		}
		m.c.Status, m.c.Cause = ChangeRejected, c.Comment
		if c.Move == ChangeMoveReturn {
			m.c.Status, m.c.Approvals = ChangeRequested, nil
		}
	case ChangeMoveApply:
		return m.apply()
	case ChangeMoveDue:
		if m.d.state.now < m.c.NotBefore {
			return m.fail(KindState, "its time has not come")
		}
		return m.apply()
	case ChangeMoveSchedule:
		return m.schedule(c)
	case ChangeMoveCancel:
		m.same = m.c.Status == ChangeCancelled
		m.c.Status, m.c.NotBefore = ChangeCancelled, 0
	case ChangeMoveRollback:
		return m.rollback(c)
	}
	return nil
}

// approve counts distinct people, of whom none is the author, for the diff as it is.
func (m *changeMove) approve(c MoveChange) error {
	if err := m.mayJudge(); err != nil {
		return err
	}
	same := func(a Consent) bool { return a.Hash == m.c.Hash && SamePerson(a.By, m.by()) }
	if slices.ContainsFunc(m.c.Approvals, same) {
		m.same = true
		return nil
	}
	m.c.Approvals = append(slices.Clip(m.c.Approvals), Consent{By: m.by(), At: m.d.state.now, Comment: c.Comment, Hash: m.c.Hash})
	if (m.c.Status == ChangeValidated || m.c.Status == ChangePending) && m.c.Valid() >= m.c.Required {
		m.c.Status = ChangeApproved
	}
	return nil
}

// mayJudge refuses the author, and whom the policy does not name.
func (m *changeMove) mayJudge() error {
	if SamePerson(m.by(), m.c.Author) {
		return m.fail(KindSelfApproval, "whoever asks for a change does not judge it, with no other token either; ask somebody else")
	}
	if m.d.state.Eligible(m.by(), m.d.governance().Approvers) {
		return nil
	}
	return m.fail(KindDenied, "the policy of %s lets only people of %s approve", m.d.env.key, strings.Join(m.d.governance().Approvers, ", "))
}

func (m *changeMove) schedule(c MoveChange) error {
	if c.At <= m.d.state.now {
		e := m.fail(KindInvalid, "the time has passed; choose one to come")
		e.Problems = problem("/scheduledAt", "change.past", "is not after "+time.UnixMilli(m.d.state.now).UTC().Format(time.RFC3339))
		return e
	}
	if err := m.ready(); err != nil {
		return err
	}
	m.same = m.c.Status == ChangeScheduled && m.c.NotBefore == c.At && m.c.Zone == c.Zone
	m.c.Status, m.c.NotBefore, m.c.Zone = ChangeScheduled, c.At, c.Zone
	return nil
}

// ready asks again, before anything happens, for what was promised: the approvals, of people who still have the right,
// that the diff is the one they saw, and that nothing is frozen.
func (m *changeMove) ready() error {
	if err := m.entitled(); err != nil {
		return err
	}
	if m.c.Kind != ChangePromotion {
		return nil
	}
	if f := m.d.env.Frozen(); f != nil {
		return frozenError(m.cmd, f)
	}
	return m.fresh()
}

// entitled counts the approvals that still count, and asks whether the author may still do what is asked for.
func (m *changeMove) entitled() error {
	s, g, target := m.d.state, m.d.governance(), m.cmd.target()
	verb := verbOpenPromotion
	if m.c.Kind != ChangePromotion {
		verb = verbOpenChange
	}
	if err := Can(s, m.c.Author, verb, target); err != nil {
		return m.fail(KindDenied, "its author may not do this any more: %v", err)
	}
	for _, inner := range m.c.Commands() {
		if err := Can(s, m.c.Author, inner.Verb(), inner.target()); err != nil {
			return m.fail(KindDenied, "its author may not do this any more: %v", err)
		}
	}
	counted := *m.c
	counted.Approvals = slices.DeleteFunc(slices.Clone(m.c.Approvals), func(a Consent) bool {
		return Can(s, a.By, MoveChange{Move: ChangeMoveApprove}.Verb(), target) != nil || !s.Eligible(a.By, g.Approvers)
	})
	if n := counted.Valid(); n < m.c.Required {
		return m.fail(KindState, "%s asks for %d approvals, and %d of those given still count; ask for more", m.d.env.key, m.c.Required, n)
	}
	return nil
}

// apply makes it happen, in this entry.
func (m *changeMove) apply() error {
	if err := m.ready(); err != nil {
		return err
	}
	m.d.carryOut(m.c)
	var err error
	if m.c.Kind == ChangePromotion {
		m.c.Status = ChangeCompleted
		err = m.execute()
	} else {
		m.c.Status = ChangeApplied
		if err = m.d.unmoved(m.cmd, m.c); err == nil {
			err = m.d.batch(m.c.Commands())
		}
	}
	m.c.Executed, m.c.ExecutedAt = m.d.state.index, m.d.state.now
	return err
}

// carryOut makes every row of this entry tell which change it belongs to and who agreed.
func (d *draft) carryOut(c *Change) {
	var names []string
	for _, a := range c.Approvals {
		if a.Hash == c.Hash {
			names = append(names, cmp.Or(a.By.ID, a.By.Email, a.By.Kind))
		}
	}
	d.approvals = strings.Join(names, ",")
	p := *d.proposal
	p.Correlation = c.Correlation
	d.proposal = &p
}

// due is a change whose time has come. What keeps it from happening ends it: nobody waits for it any more, and an hour
// later it may be wrong.
func (d *draft) due(c MoveChange) error {
	work := *d.state
	attempt := &draft{state: &work, proposal: d.proposal}
	err := attempt.perform(c)
	if err == nil {
		*d.state = work
		attempt.state = d.state
		*d = *attempt
		return nil
	}
	if err := d.enter(c); err != nil {
		return err
	}
	old, ok := d.env.Change(c.ID)
	if !ok || old.Status != ChangeScheduled {
		return err
	}
	m := d.beginChange(c, old, ChangeMoveDue, "")
	m.c.Status, m.c.Cause = ChangeFailed, causeOf(err)
	m.why = m.c.Cause
	m.commit()
	return d.finish(c)
}

func causeOf(err error) string {
	text := err.Error()
	if e, ok := err.(*Error); ok { //nolint:errorlint // what a draft returns is an *Error itself
		text = string(e.Kind) + ": " + cmp.Or(e.Detail, text)
		for _, p := range e.Problems[:min(5, len(e.Problems))] {
			text += "; " + strings.TrimPrefix(p.Field+": "+p.Message, ": ")
		}
	}
	return strings.ToValidUTF8(text[:min(len(text), maxNotes)], "")
}

// awaited refuses the cluster's move of a change whose time has not come, or comes no more, without a trace: what it
// leaves under its request id would answer when the time does come.
func (s *State) awaited(c Command) error {
	due, ok := c.(MoveChange)
	if !ok || due.Move != ChangeMoveDue {
		return nil
	}
	e, ok := s.Environment(due.Tenant, due.Environment)
	if ok {
		if old, found := e.Change(due.ID); found && old.Status == ChangeScheduled && old.NotBefore <= s.now {
			return nil
		}
	}
	return &Error{Kind: KindState, Op: c.Verb(), Target: c.target().String(), Detail: "it is not scheduled, or for a later time"}
}
