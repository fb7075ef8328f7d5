package fsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/bug"
)

// apply is the law: it reads the state and the entry and nothing else, so every node comes to the same result. The
// order of the steps is fixed. A *LawError leaves the state as it was.
func apply(old *State, e Entry) (*State, Outcome) {
	next := *old
	next.passCheckpoint(e.Index)
	next.index = e.Index
	out := Outcome{}
	if e.Data != nil {
		out = next.entry(e)
		if law := (*LawError)(nil); errors.As(out.Err, &law) {
			return old, out
		}
	}
	next.keepCheckpoint()
	return &next, out
}

func (s *State) entry(e Entry) Outcome {
	p, c, law := open(e)
	if law != nil {
		return Outcome{Err: law}
	}
	s.now = max(s.now, p.At)
	if bug.On("B05") {
		s.now = max(s.now, bug.Clock())
	}
	s.expire()
	s.thawExpired()
	if c == nil {
		return s.unchanged()
	}
	if err := s.admit(e, p, c); err != nil {
		return Outcome{Err: err}
	}
	if out, system := s.system(c); system {
		return out
	}
	key, body := requestKey(p.Actor, p.RequestID), bodyHash(p)
	if out, known := s.answered(p, c, key, body); known {
		return out
	}
	out := s.change(p, c)
	s.remember(p, key, body, out)
	return out
}

func (s *State) unchanged() Outcome {
	return Outcome{Receipt: Receipt{Epoch: s.epoch, Revision: s.index}}
}

// open decodes the entry; a command that may be skipped is nil.
func open(e Entry) (*Proposal, Command, *LawError) {
	p, err := DecodeProposal(e.Data)
	if err == nil {
		var c Command
		if c, err = DecodeCommand(p.Command); err == nil || errors.Is(err, errIgnorable) {
			return p, c, nil
		}
	}
	return nil, nil, &LawError{ExitCode: exitUnknownLaw, Detail: fmt.Sprintf(
		"log entry %d cannot be applied by this binary, which knows the law up to version %d: %v; start a newer release on this node",
		e.Index, LawVersion, err)}
}

// admit is everything that refuses a command without a trace: fence, rights, and a well-formed envelope.
func (s *State) admit(e Entry, p *Proposal, c Command) error {
	if p.ControllerTerm != 0 && p.ControllerTerm != e.Term && !bug.On("B01") {
		return &Error{Kind: KindFenced, Op: c.Verb(), Target: c.target().String(),
			Detail: fmt.Sprintf("decided in term %d, but the log is in term %d; another leader decides now", p.ControllerTerm, e.Term)}
	}
	if err := canAll(s, p.Actor, c); err != nil {
		return err
	}
	if err := checkEnvelope(p, c); err != nil {
		return err
	}
	if err := s.awaited(c); err != nil {
		return err
	}
	if _, first := c.(LeaderEstablished); s.epoch == "" && !first {
		return &Error{Kind: KindNoQuorum, Op: c.Verb(), Target: c.target().String(),
			Detail: "the cluster has no name yet; wait for its first leader"}
	}
	return nil
}

// change runs a command of people. On error the state is as before.
//
// The lists that states share are appended to by the last step that can fail or later; a refused command may leave
// rows behind their end, which nobody sees and the next one overwrites.
func (s *State) change(p *Proposal, c Command) Outcome {
	if err := Check(c); err != nil {
		return Outcome{Err: err}
	}
	work := *s
	d := &draft{state: &work, proposal: p, owner: s.batch}
	if err := d.run(c); err != nil {
		return Outcome{Err: err}
	}
	*s = work
	return Outcome{Receipt: Receipt{Epoch: s.epoch, Revision: s.index, Object: d.object, Changed: d.changed}}
}

// Try answers what Apply would answer to the proposal now, and changes nothing: the dry run of every door. It may run
// beside Apply. The request table is not asked, because a trial is no retry; At 0 means Now.
func (s *State) Try(p *Proposal) (Receipt, error) {
	c, err := DecodeCommand(p.Command)
	if err != nil {
		return Receipt{}, err
	}
	work := *s
	work.index++
	work.now = max(work.now, p.At)
	work.unshare(c.target())
	if err := work.admit(Entry{Index: work.index, Term: p.ControllerTerm}, p, c); err != nil {
		return Receipt{}, err
	}
	out, system := work.system(c)
	if !system {
		out = work.change(p, c)
	}
	return out.Receipt, out.Err
}

// unshare gives a trial its own tails of the lists that only the one writer may append to.
func (s *State) unshare(t Target) {
	s.audit.rows, s.audit.news = slices.Clip(s.audit.rows), nil
	s.records.rows, s.records.news = slices.Clip(s.records.rows), nil
	if e, ok := s.Environment(t.Tenant, t.Environment); ok {
		e = e.clone()
		e.graveOrder = slices.Clip(e.graveOrder)
		s.replaceEnvironment(e)
	}
}

// system runs the commands the cluster sends about itself. They have no request row and no audit row: they repeat
// with every leadership and say nothing about what people did.
func (s *State) system(c Command) (Outcome, bool) {
	switch c := c.(type) {
	case LeaderEstablished:
		return s.establish(c), true
	case RaiseVersion:
		return s.raise(c), true
	case Checksum:
		return s.compare(c), true
	}
	return Outcome{}, false
}

func (s *State) establish(c LeaderEstablished) Outcome {
	if s.version < c.LawLow || s.version > c.LawHigh {
		return Outcome{Err: &Error{Kind: KindInvalid, Op: c.Verb(), Detail: fmt.Sprintf(
			"server %s knows the law from version %d to %d, but version %d is in force; it cannot lead", c.ServerID, c.LawLow, c.LawHigh, s.version)}}
	}
	if s.epoch == "" && (c.Epoch == "" || c.ClusterID == "") {
		return Outcome{Err: &Error{Kind: KindInvalid, Op: c.Verb(), Detail: "the first leader must name the cluster and the epoch"}}
	}
	if s.epoch == "" {
		s.setEpoch(c.Epoch, c.ClusterID)
	}
	s.term = max(s.term, c.Term)
	out := s.unchanged()
	out.Receipt.Changed = true
	return out
}

func (s *State) raise(c RaiseVersion) Outcome {
	if c.Version > LawVersion {
		return Outcome{Err: &LawError{ExitCode: exitUnknownLaw, Detail: fmt.Sprintf(
			"the cluster raises its law to version %d, this binary knows it up to %d; start a newer release on this node", c.Version, LawVersion)}}
	}
	out := s.unchanged()
	out.Receipt.Changed = c.Version > s.version
	s.version = max(s.version, c.Version)
	return out
}
