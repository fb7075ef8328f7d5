package fsm

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// The commands of changes and promotions. They act in the environment that will change.
type (
	// OpenChange puts commands into the waiting room. They are tried at once, and again when they are applied.
	OpenChange struct {
		Scope
		Title    string    `json:"title"`
		Notes    string    `json:"notes,omitempty"`
		Since    uint64    `json:"since,omitzero"` // revision they were made from; 0: as it is now
		Commands []Command `json:"-"`
	}
	// EditChange gives a change other commands. Its approvals are void: they were for another diff.
	EditChange struct {
		Scope
		ID       string    `json:"id"`
		Title    string    `json:"title,omitempty"` // empty: as it was
		Notes    string    `json:"notes,omitempty"`
		Since    uint64    `json:"since,omitzero"`
		Commands []Command `json:"-"`
	}
	// OpenPromotion begins a promotion into the environment of the scope.
	OpenPromotion struct {
		Scope
		Source      string        `json:"source"`
		Type        PromotionType `json:"type"`
		ConfigIDs   []string      `json:"configIds,omitempty"`
		FlagIDs     []string      `json:"flagIds,omitempty"`
		KeyPatterns []string      `json:"keyPatterns,omitempty"`
		Notes       string        `json:"notes,omitempty"`
	}
	// MoveChange makes one move of a change. Hash, unless it is empty, is that of the diff the mover looked at: a change
	// that has another by now is a conflict.
	MoveChange struct {
		Scope
		ID      string     `json:"id"`
		Move    ChangeMove `json:"move"`
		Hash    string     `json:"hash,omitempty"`
		Comment string     `json:"comment,omitempty"`
		At      int64      `json:"at,omitzero"` // of schedule, unix ms
		Zone    string     `json:"zone,omitempty"`
		Force   bool       `json:"force,omitzero"` // of rollback: whatever was edited since
	}
)

// ChangeMove is what is done to a change.
type ChangeMove string

// The moves. Open, edit and due are made by other commands and by the cluster.
const (
	ChangeMoveOpen     ChangeMove = "open"
	ChangeMoveEdit     ChangeMove = "edit"
	ChangeMoveValidate ChangeMove = "validate"
	ChangeMoveApprove  ChangeMove = "approve"
	ChangeMoveReturn   ChangeMove = "request-changes"
	ChangeMoveReject   ChangeMove = "reject"
	ChangeMoveApply    ChangeMove = "apply" // of a promotion: execute
	ChangeMoveSchedule ChangeMove = "schedule"
	ChangeMoveCancel   ChangeMove = "cancel"
	ChangeMoveRollback ChangeMove = "rollback"
	ChangeMoveDue      ChangeMove = "due" // its time has come; only the cluster says so
)

// ChangeMoves lists the moves of a MoveChange, for doors that take them by name.
func ChangeMoves() []ChangeMove {
	return []ChangeMove{ChangeMoveValidate, ChangeMoveApprove, ChangeMoveReturn, ChangeMoveReject, ChangeMoveApply,
		ChangeMoveSchedule, ChangeMoveCancel, ChangeMoveRollback, ChangeMoveDue}
}

// ObjectChange is the kind of a change.
const ObjectChange ObjectKind = "change"

const (
	verbOpenChange    = "change.open"
	verbEditChange    = "change.edit"
	verbOpenPromotion = "promotion.open"
)

// Limits of a change.
const (
	maxNotes       = 4 << 10
	maxIDs         = 10_000
	maxPatterns    = 100
	maxChangeBytes = 8 << 20 // of the commands of one edit
	maxZone        = 64
)

// Verb names the change for audit rows and rights.
func (OpenChange) Verb() string { return verbOpenChange }

// Verb names the change for audit rows and rights.
func (EditChange) Verb() string { return verbEditChange }

// Verb names the change for audit rows and rights.
func (OpenPromotion) Verb() string { return verbOpenPromotion }

// Verb names the change for audit rows and rights.
func (c MoveChange) Verb() string { return "change." + string(c.Move) }

func (c OpenChange) target() Target    { return c.object(ObjectEnvironment, c.Environment) }
func (c EditChange) target() Target    { return c.object(ObjectChange, c.ID) }
func (c OpenPromotion) target() Target { return c.object(ObjectEnvironment, c.Environment) }
func (c MoveChange) target() Target    { return c.object(ObjectChange, c.ID) }

// The numbers of the commands of governance. They are law.
const (
	typeSetPolicy = iota + 40
	typeOrderEnvironments
	typeOpenChange
	typeEditChange
	typeOpenPromotion
	typeMoveChange
)

func numberOfChange(c Command) uint64 {
	switch c.(type) {
	case SetPolicy:
		return typeSetPolicy
	case OrderEnvironments:
		return typeOrderEnvironments
	case OpenChange:
		return typeOpenChange
	case EditChange:
		return typeEditChange
	case OpenPromotion:
		return typeOpenPromotion
	case MoveChange:
		return typeMoveChange
	}
	return 0
}

type openChangeBody struct {
	OpenChange
	Commands []nested `json:"commands"`
}

type editChangeBody struct {
	EditChange
	Commands []nested `json:"commands"`
}

// changeBody is what of a command with commands inside is encoded.
func changeBody(c Command) (any, error) {
	var err error
	switch c := c.(type) {
	case OpenChange:
		body := openChangeBody{OpenChange: c}
		body.Commands, err = encodeNested(c.Scope, c.Commands)
		return body, err
	case EditChange:
		body := editChangeBody{EditChange: c}
		body.Commands, err = encodeNested(c.Scope, c.Commands)
		return body, err
	}
	return c, nil
}

func decodeChange(number uint64, body []byte) (Command, error) {
	switch number {
	case typeSetPolicy:
		return decode[SetPolicy](body)
	case typeOrderEnvironments:
		return decode[OrderEnvironments](body)
	case typeOpenChange:
		var raw openChangeBody
		if err := json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("%s: %w", verbOpenChange, err)
		}
		c, err := raw.OpenChange, error(nil)
		c.Commands, err = decodeNested(c.Scope, raw.Commands)
		return c, err
	case typeEditChange:
		var raw editChangeBody
		if err := json.Unmarshal(body, &raw, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("%s: %w", verbEditChange, err)
		}
		c, err := raw.EditChange, error(nil)
		c.Commands, err = decodeNested(c.Scope, raw.Commands)
		return c, err
	case typeOpenPromotion:
		return decode[OpenPromotion](body)
	case typeMoveChange:
		return decode[MoveChange](body)
	}
	return nil, unknownType(number)
}

// checkChange is Check for the commands of governance.
func checkChange(c Command) evaluator.Problems {
	switch c := c.(type) {
	case SetPolicy:
		return checkPolicy(c)
	case OrderEnvironments:
		var problems evaluator.Problems
		for i, key := range c.Environments {
			problems = append(problems, checkKey(fmt.Sprintf("/environments/%d", i), key)...)
		}
		return problems
	case OpenChange:
		problems := append(checkText("/title", c.Title, maxName), checkText("/notes", c.Notes, maxNotes)...)
		if c.Title == "" {
			problems = append(problems, problem("/title", "command.required", "say in a few words what changes")...)
		}
		return append(problems, checkWaiting(c.Scope, c.Commands)...)
	case EditChange:
		problems := append(checkText("/title", c.Title, maxName), checkText("/notes", c.Notes, maxNotes)...)
		return append(append(problems, checkKey("/id", c.ID)...), checkWaiting(c.Scope, c.Commands)...)
	case OpenPromotion:
		return checkPromotion(c)
	case MoveChange:
		return checkMove(c)
	}
	return nil
}

func checkWaiting(scope Scope, commands []Command) evaluator.Problems {
	if len(commands) == 0 {
		return problem("/commands", "command.required", "a change holds one command at least")
	}
	return checkCommands(scope, commands)
}

func checkMove(c MoveChange) evaluator.Problems {
	problems := append(checkKey("/id", c.ID), checkText("/comment", c.Comment, maxNotes)...)
	problems = append(problems, checkText("/zone", c.Zone, maxZone)...)
	if !slices.Contains(ChangeMoves(), c.Move) {
		problems = append(problems, problem("/move", "change.move", fmt.Sprintf("%q is no move of a change", c.Move))...)
	}
	if (c.Move == ChangeMoveReject || c.Move == ChangeMoveReturn) && c.Comment == "" {
		problems = append(problems, problem("/comment", "command.required", "say why, for those who asked")...)
	}
	if c.Move == ChangeMoveSchedule && c.At <= 0 {
		problems = append(problems, problem("/scheduledAt", "command.required", "say when, such as 2026-12-01T06:00:00Z")...)
	}
	return problems
}

func checkPromotion(c OpenPromotion) evaluator.Problems {
	problems := append(checkKey("/sourceEnvironment", c.Source), checkText("/notes", c.Notes, maxNotes)...)
	if c.Source == c.Environment {
		problems = append(problems, problem("/targetEnvironment", "promotion.same", "source and target are the same environment")...)
	}
	if !slices.Contains([]PromotionType{PromotionFull, PromotionSelective, PromotionPattern}, c.Type) {
		problems = append(problems, problem("/promotionType", "promotion.type", fmt.Sprintf("%q is none of FULL, SELECTIVE and PATTERN", c.Type))...)
	}
	if c.Type == PromotionSelective && len(c.ConfigIDs)+len(c.FlagIDs) == 0 {
		problems = append(problems, problem("/flagIds", "promotion.empty", "SELECTIVE names one flag or config at least, in flagIds or configIds")...)
	}
	if c.Type == PromotionPattern && len(c.KeyPatterns) == 0 {
		problems = append(problems, problem("/keyPatterns", "promotion.empty", "PATTERN has one pattern at least, such as query.*")...)
	}
	if len(c.ConfigIDs)+len(c.FlagIDs) > maxIDs || len(c.KeyPatterns) > maxPatterns {
		return append(problems, problem("", "promotion.size", fmt.Sprintf("at most %d ids and %d patterns; use FULL", maxIDs, maxPatterns))...)
	}
	return append(problems, checkLists(c)...)
}

// checkLists judges those that the type uses; the others are kept as they were sent, if they can be shown.
func checkLists(c OpenPromotion) (problems evaluator.Problems) {
	for _, list := range []struct {
		name, syntax string
		texts        []string
		valid        func(string) bool
		used         bool
	}{
		{"/configIds", "a key matches " + keyPattern, c.ConfigIDs, validKey, c.Type == PromotionSelective},
		{"/flagIds", "a key matches " + keyPattern, c.FlagIDs, validKey, c.Type == PromotionSelective},
		{"/keyPatterns", "a pattern has the characters of keys, * for any run of them and ? for one", c.KeyPatterns, validPattern, c.Type == PromotionPattern},
	} {
		for i, text := range list.texts {
			at := fmt.Sprintf("%s/%d", list.name, i)
			problems = append(problems, checkText(at, text, maxName)...)
			if list.used && !list.valid(text) {
				problems = append(problems, problem(at, "promotion.key", fmt.Sprintf("%q can be no key here: %s", text, list.syntax))...)
			}
		}
	}
	return problems
}

// Unused names the lists of a promotion that were given and that its type does not use.
func (p *Promotion) Unused() (names []string) {
	if p.Type != PromotionSelective && len(p.ConfigIDs) > 0 {
		names = append(names, "configIds")
	}
	if p.Type != PromotionSelective && len(p.FlagIDs) > 0 {
		names = append(names, "flagIds")
	}
	if p.Type != PromotionPattern && len(p.KeyPatterns) > 0 {
		names = append(names, "keyPatterns")
	}
	return names
}

// Waiting makes a write wait: it opens a change with the title, or gives the change with the id the write instead of what
// it holds.
func Waiting(c Command, title, id string) (Command, error) {
	scope, commands, since := scopeOf(c), []Command{c}, uint64(0)
	if b, ok := c.(Batch); ok {
		commands, since = b.Commands, b.Since
	} else if _, ok := c.(interface{ batchable() }); !ok {
		return nil, &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Detail: c.Verb() + " cannot wait in a change; send it without one"}
	}
	if id != "" {
		return EditChange{Scope: scope, ID: id, Title: title, Since: since, Commands: commands}, nil
	}
	return OpenChange{Scope: scope, Title: title, Since: since, Commands: commands}, nil
}

func validPattern(pattern string) bool {
	if pattern == "" || len(pattern) > 256 {
		return false
	}
	for i := range len(pattern) {
		if b := pattern[i]; b != '*' && b != '?' && !validKey("a"+string(b)) {
			return false
		}
	}
	return true
}

// batchOf is the commands as one encoded batch: what waits is kept in the form of the log.
func batchOf(scope Scope, commands []Command) ([]byte, error) {
	scoped := make([]Command, len(commands))
	for i, c := range commands {
		if scopeOf(c) == (Scope{}) {
			c = withScope(c, scope)
		}
		scoped[i] = c
	}
	return EncodeCommand(Batch{Scope: scope, Commands: scoped})
}
