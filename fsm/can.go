package fsm

import "fmt"

// canAll asks Can for the command and for every command inside it.
func canAll(s *State, actor Actor, c Command) error {
	if err := Can(s, actor, c.Verb(), c.target()); err != nil {
		return err
	}
	for _, inner := range s.inside(c) {
		if err := canAll(s, actor, inner); err != nil {
			return err
		}
	}
	return nil
}

// inside lists the commands that a batch, a stage or a change holds, or that a commit makes happen.
func (s *State) inside(c Command) []Command {
	switch c := c.(type) {
	case Batch:
		return c.Commands
	case Stage:
		return c.Commands
	case OpenChange:
		return c.Commands
	case EditChange:
		return c.Commands
	case Commit:
		if change, ok := s.stagedChange(c); ok {
			return change.commands()
		}
	}
	return nil
}

// Admit is what the leader asks before it proposes, so that what can be judged early never enters the log: that the
// command decodes, that it is well-formed, and that the actor may. It does not look at revisions, because the
// leader's own state may lag behind its log.
func (s *State) Admit(p *Proposal) error {
	c, err := DecodeCommand(p.Command)
	if err != nil {
		return err
	}
	if since := introduced(c); since > s.version {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Detail: fmt.Sprintf(
			"it needs cluster version %d, and version %d is in force until every server runs a release that knows it: finish the upgrade", since, s.version)}
	}
	if size := len(p.Encode()); size > MaxEntry {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: fmt.Sprintf("the entry has %d bytes, %d are allowed; send it in the parts that Split makes", size, MaxEntry)}
	}
	if err := checkEnvelope(p, c); err != nil {
		return err
	}
	if err := Check(c); err != nil {
		return err
	}
	return canAll(s, p.Actor, c)
}
