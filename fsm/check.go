package fsm

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hoistflags/hoist/evaluator"
)

// Limits of what a command may say.
const (
	maxName      = 256
	maxReason    = 1024
	maxBatch     = 100_000
	maxRequestID = 64
	maxActor     = 256
	maxComment   = 512
)

// Check judges what can be judged without a state, so that it never enters the log. Apply asks it again: what it
// refuses there is INVALID and stored under the request id.
func Check(c Command) error {
	var problems evaluator.Problems
	if t := c.target(); t.Object != "" {
		problems = append(problems, checkKey("/tenant", t.Tenant)...)
		if t.Object != ObjectTenant && t.Object != ObjectToken {
			problems = append(problems, checkKey("/environment", t.Environment)...)
		}
	}
	problems = append(problems, checkBody(c)...)
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Problems: problems,
		Detail: "the change breaks rules; correct the named fields"}
}

func checkBody(c Command) evaluator.Problems {
	switch c := c.(type) {
	case CreateTenant:
		return checkText("/name", c.Name, maxName)
	case CreateEnvironment:
		return checkText("/name", c.Name, maxName)
	case PutFlag:
		if c.Flag == nil {
			return problem("/flag", "command.required", "a flag is required")
		}
		return c.Flag.Check()
	case PutSegment:
		if c.Segment == nil {
			return problem("/segment", "command.required", "a segment is required")
		}
		return c.Segment.Check()
	case DeleteFlag:
		return checkKey("/key", c.Key)
	case DeleteSegment:
		return checkKey("/key", c.Key)
	case SetEnabled:
		return checkKey("/key", c.Key)
	case SetArchived:
		return checkKey("/key", c.Key)
	case Unkill:
		return checkKey("/key", c.Key)
	case Kill:
		return append(checkKey("/key", c.Key), checkText("/reason", c.Reason, maxReason)...)
	case PutSchedule:
		return checkSchedule(c.Schedule)
	case DropSchedule:
		return checkKey("/flag", c.Flag)
	case SwitchSchedule:
		return checkKey("/flag", c.Flag)
	case MoveSchedule:
		return checkKey("/flag", c.Flag)
	case Restore:
		return checkRestore(c)
	case Batch:
		return checkCommands(c.Scope, c.Commands)
	case Stage:
		return checkStage(c)
	case Commit:
		return checkCommit(c)
	case BootstrapToken:
		return checkBootstrap(c)
	case CreateToken:
		return checkToken(c)
	case RevokeToken:
		return append(checkTokenID(c.ID), checkText("/reason", c.Reason, maxReason)...)
	case SettleNotices:
		return checkSettled(c)
	case PutBudget:
		if c.Budget != nil {
			return c.Budget.Check()
		}
		return nil
	case BudgetMeasured:
		return checkBudgetMeasured(c)
	}
	if problems := checkChange(c); len(problems) > 0 {
		return problems
	}
	return checkRollout(c)
}

func checkRestore(c Restore) evaluator.Problems {
	problems := checkKey("/key", c.Key)
	if c.Object != ObjectFlag && c.Object != ObjectSegment {
		problems = append(problems, problem("/object", "command.object", `must be "flag" or "segment"`)...)
	}
	if c.Revision == 0 {
		problems = append(problems, problem("/revision", "command.required", "name the revision of the version to restore")...)
	}
	return problems
}

func checkCommands(outer Scope, commands []Command) evaluator.Problems {
	if len(commands) > maxBatch {
		return problem("/commands", "command.size", fmt.Sprintf("at most %d commands in one batch", maxBatch))
	}
	var problems evaluator.Problems
	for i, c := range commands {
		at := fmt.Sprintf("/commands/%d", i)
		if _, ok := c.(interface{ batchable() }); !ok {
			problems = append(problems, problem(at, "command.batch", c.Verb()+" cannot be part of a batch")...)
			continue
		}
		if s := scopeOf(c); s != outer && s != (Scope{}) {
			problems = append(problems, problem(at, "command.scope", "acts in another environment than the batch")...)
		}
		for _, p := range checkBody(c) {
			p.Field = at + p.Field
			problems = append(problems, p)
		}
	}
	return problems
}

// The commands that may be part of a batch: those that change one flag or segment.
func (PutFlag) batchable()       {}
func (DeleteFlag) batchable()    {}
func (SetEnabled) batchable()    {}
func (SetArchived) batchable()   {}
func (Kill) batchable()          {}
func (Unkill) batchable()        {}
func (PutSegment) batchable()    {}
func (DeleteSegment) batchable() {}
func (Restore) batchable()       {}
func (PutSchedule) batchable()   {}
func (DropSchedule) batchable()  {}

// checkEnvelope judges what travels around a command.
func checkEnvelope(p *Proposal, c Command) error {
	var problems evaluator.Problems
	switch {
	case p.RequestID == "" && p.Actor.Kind != ActorSystem:
		problems = append(problems, problem("/requestId", "request.id", "every write needs a request id; send a UUIDv7")...)
	case len(p.RequestID) > maxRequestID || !utf8.ValidString(p.RequestID):
		problems = append(problems, problem("/requestId", "request.id", fmt.Sprintf("must be UTF-8 of at most %d bytes", maxRequestID))...)
	}
	problems = append(problems, checkText("/actor/kind", p.Actor.Kind, maxActor)...)
	problems = append(problems, checkText("/actor/id", p.Actor.ID, maxActor)...)
	problems = append(problems, checkText("/actor/email", p.Actor.Email, maxActor)...)
	problems = append(problems, checkText("/actor/token", p.Actor.Token, maxActor)...)
	problems = append(problems, checkText("/actor/owner", p.Actor.Owner, maxActor)...)
	problems = append(problems, checkText("/correlationId", p.Correlation, maxName)...)
	problems = append(problems, checkText("/comment", p.Comment, maxComment)...)
	if p.Actor.Kind == ActorBreakGlass && p.Comment == "" && reasonOf(c) == "" {
		problems = append(problems, problem("/comment", "break-glass.reason", "breaking the glass needs a reason: say why")...)
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Problems: problems,
		Detail: "the request breaks rules; correct the named fields"}
}

func problem(field, code, message string) evaluator.Problems {
	return evaluator.Problems{{Field: field, Code: code, Message: message}}
}

const keyPattern = `^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`

func checkKey(field, key string) evaluator.Problems {
	if validKey(key) {
		return nil
	}
	if key == "" {
		return problem(field, "key.syntax", "it is missing: name one, such as checkout.v2")
	}
	return problem(field, "key.syntax", fmt.Sprintf("%q is no key: it must match %s", key, keyPattern))
}

func validKey(key string) bool {
	if len(key) == 0 || len(key) > 128 || strings.IndexByte("._-", key[0]) >= 0 {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') && strings.IndexByte("._-", c) < 0 {
			return false
		}
	}
	return true
}

func checkText(field, text string, limit int) evaluator.Problems {
	if len(text) > limit {
		return problem(field, "text.size", fmt.Sprintf("at most %d bytes", limit))
	}
	if !utf8.ValidString(text) {
		return problem(field, "text.encoding", "must be UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
			return problem(field, "text.control", "control and bidi characters are refused")
		}
	}
	return nil
}

// reasonOf is the reason a command itself carries.
func reasonOf(c Command) string {
	switch c := c.(type) {
	case Kill:
		return c.Reason
	case MoveRollout:
		return c.Reason
	case KillRollouts:
		return c.Reason
	}
	return ""
}
