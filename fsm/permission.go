package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// Permission says who may do what a verb names: a token for people with at least the role, or one of the kinds that may
// whatever their role, where the reach says.
type Permission struct {
	Role  Role
	Reach Reach
	Also  []TokenKind
}

// Reach says of what a token must cover for a verb.
type Reach int

// The reaches. The zero Reach belongs to no verb.
const (
	ReachEnvironment Reach = iota + 1 // the environment of the target
	ReachMember                       // the tenant of the target, or some environment of it
	ReachTenant                       // the tenant of the target with all environments
	ReachCluster                      // every tenant
	ReachSystem                       // none: only the cluster itself may
	ReachOpen                         // whoever asks may; the law decides the rest
)

// The verbs of reading, for the doors. What only the log can do has its verb from its command.
const (
	VerbEvaluate      = "flag.evaluate"  // results for a context
	VerbExplain       = "flag.explain"   // and why, which tells rules
	VerbReadConfig    = "config.read"    // definitions, exposures, rollouts, history
	VerbFollowConfig  = "config.follow"  // what an environment serves, with every change
	VerbReportUse     = "flag.use"       // which flags were evaluated elsewhere
	VerbReadTenant    = "tenant.read"    // which environments there are
	VerbReadAudit     = "audit.read"     // who changed what
	VerbReadTokens    = "token.read"     // which tokens there are; never a secret
	VerbFollowTokens  = "token.follow"   // the hashes an edge lets clients in by
	VerbReadCluster   = "cluster.read"   // members and their condition
	VerbManageCluster = "cluster.manage" // join, remove, transfer, snapshot
)

// permissions is the one table of rights: every verb has a row, and a verb without one is refused to everybody. It is
// never written to.
var permissions = map[string]Permission{
	VerbEvaluate:      {Role: RoleViewer, Reach: ReachEnvironment, Also: []TokenKind{TokenServer, TokenClient}},
	VerbExplain:       {Role: RoleViewer, Reach: ReachEnvironment, Also: []TokenKind{TokenServer}},
	VerbReadConfig:    {Role: RoleViewer, Reach: ReachEnvironment},
	VerbFollowConfig:  {Role: RoleViewer, Reach: ReachEnvironment, Also: []TokenKind{TokenServer, TokenEdge}},
	VerbReportUse:     {Reach: ReachEnvironment, Also: []TokenKind{TokenServer, TokenEdge}}, // of no role: people evaluate nothing
	VerbReadTenant:    {Role: RoleViewer, Reach: ReachMember},
	VerbReadAudit:     {Role: RoleViewer, Reach: ReachTenant},
	VerbReadTokens:    {Role: RoleAdmin, Reach: ReachTenant},
	VerbFollowTokens:  {Role: RoleAdmin, Reach: ReachEnvironment, Also: []TokenKind{TokenEdge}},
	VerbReadCluster:   {Role: RoleViewer, Reach: ReachCluster},
	VerbManageCluster: {Role: RoleAdmin, Reach: ReachCluster},

	verbPutFlag:        {Role: RoleEditor, Reach: ReachEnvironment, Also: []TokenKind{TokenBreakGlass}}, // to lower only, see protect.go
	verbDeleteFlag:     {Role: RoleEditor, Reach: ReachEnvironment},
	verbEnable:         {Role: RoleEditor, Reach: ReachEnvironment},
	verbDisable:        {Role: RoleEditor, Reach: ReachEnvironment, Also: []TokenKind{TokenBreakGlass}},
	verbArchive:        {Role: RoleEditor, Reach: ReachEnvironment},
	verbUnarchive:      {Role: RoleEditor, Reach: ReachEnvironment},
	verbKill:           {Role: RoleOperator, Reach: ReachEnvironment, Also: []TokenKind{TokenBreakGlass}},
	verbUnkill:         {Role: RoleOperator, Reach: ReachEnvironment},
	verbPutSegment:     {Role: RoleEditor, Reach: ReachEnvironment},
	verbDeleteSegment:  {Role: RoleEditor, Reach: ReachEnvironment},
	verbRestoreFlag:    {Role: RoleEditor, Reach: ReachEnvironment},
	verbRestoreSegment: {Role: RoleEditor, Reach: ReachEnvironment},
	verbBatch:          {Role: RoleEditor, Reach: ReachEnvironment},
	verbStage:          {Role: RoleEditor, Reach: ReachEnvironment},
	verbCommit:         {Role: RoleEditor, Reach: ReachEnvironment},
	verbPutSchedule:    {Role: RoleEditor, Reach: ReachEnvironment},
	verbDropSchedule:   {Role: RoleEditor, Reach: ReachEnvironment},
	verbPauseSchedule:  {Role: RoleEditor, Reach: ReachEnvironment},
	verbResumeSchedule: {Role: RoleEditor, Reach: ReachEnvironment},
	verbMoveSchedule:   {Reach: ReachSystem},

	verbStartRollout:          {Role: RoleEditor, Reach: ReachEnvironment},
	moveVerb(MovePause):       {Role: RoleEditor, Reach: ReachEnvironment},
	moveVerb(MoveResume):      {Role: RoleEditor, Reach: ReachEnvironment},
	moveVerb(MoveRetry):       {Role: RoleEditor, Reach: ReachEnvironment},
	moveVerb(MoveDismiss):     {Role: RoleEditor, Reach: ReachEnvironment},
	moveVerb(MoveApprove):     {Role: RoleApprover, Reach: ReachEnvironment},
	moveVerb(MovePromote):     {Role: RoleOperator, Reach: ReachEnvironment},
	moveVerb(MovePromoteFull): {Role: RoleOperator, Reach: ReachEnvironment},
	moveVerb(MoveSkip):        {Role: RoleOperator, Reach: ReachEnvironment},
	moveVerb(MoveAbort):       {Role: RoleEditor, Reach: ReachEnvironment, Also: []TokenKind{TokenBreakGlass}},
	moveVerb(MoveAdvance):     {Reach: ReachSystem},
	moveVerb(MoveRollback):    {Reach: ReachSystem},
	moveVerb(MoveHold):        {Reach: ReachSystem},
	moveVerb(MoveContinue):    {Reach: ReachSystem},
	moveVerb(MoveLand):        {Reach: ReachSystem},
	moveVerb(MoveStall):       {Reach: ReachSystem},
	verbNoteUse:               {Reach: ReachSystem},
	verbMeasured:              {Reach: ReachSystem},
	verbSettleNotices:         {Reach: ReachSystem},
	verbPutBudget:             {Role: RoleAdmin, Reach: ReachEnvironment},
	verbBudgetMeasured:        {Reach: ReachSystem},
	verbKillRollouts:          {Role: RoleOperator, Reach: ReachEnvironment, Also: []TokenKind{TokenBreakGlass}},
	verbFreeze:                {Role: RoleOperator, Reach: ReachEnvironment},
	verbUnfreeze:              {Role: RoleOperator, Reach: ReachEnvironment},
	verbFreezeFlag:            {Role: RoleOperator, Reach: ReachEnvironment},
	verbUnfreezeFlag:          {Role: RoleOperator, Reach: ReachEnvironment},
	verbFreezeTenant:          {Role: RoleOperator, Reach: ReachTenant},
	verbUnfreezeTenant:        {Role: RoleOperator, Reach: ReachTenant},
	verbFreezeCluster:         {Role: RoleOperator, Reach: ReachCluster},
	verbUnfreezeCluster:       {Role: RoleOperator, Reach: ReachCluster},

	verbCreateEnvironment: {Role: RoleAdmin, Reach: ReachTenant},
	verbCreateTenant:      {Role: RoleAdmin, Reach: ReachCluster},
	verbCreateToken:       {Role: RoleAdmin, Reach: ReachTenant},
	verbRevokeToken:       {Role: RoleAdmin, Reach: ReachTenant},
	verbBootstrapToken:    {Reach: ReachOpen},

	verbOpenChange:                 {Role: RoleEditor, Reach: ReachEnvironment},
	verbEditChange:                 {Role: RoleEditor, Reach: ReachEnvironment},
	verbOpenPromotion:              {Role: RoleEditor, Reach: ReachEnvironment},
	changeVerb(ChangeMoveValidate): {Role: RoleEditor, Reach: ReachEnvironment},
	changeVerb(ChangeMoveApprove):  {Role: RoleApprover, Reach: ReachEnvironment},
	changeVerb(ChangeMoveReturn):   {Role: RoleApprover, Reach: ReachEnvironment},
	changeVerb(ChangeMoveReject):   {Role: RoleApprover, Reach: ReachEnvironment},
	changeVerb(ChangeMoveApply):    {Role: RoleEditor, Reach: ReachEnvironment},
	changeVerb(ChangeMoveSchedule): {Role: RoleEditor, Reach: ReachEnvironment},
	changeVerb(ChangeMoveCancel):   {Role: RoleEditor, Reach: ReachEnvironment},
	changeVerb(ChangeMoveRollback): {Role: RoleEditor, Reach: ReachEnvironment},
	changeVerb(ChangeMoveDue):      {Reach: ReachSystem},
	verbOverride:                   {Role: RoleOperator, Reach: ReachEnvironment},
	verbBreakGlass:                 {Role: RoleOperator, Reach: ReachEnvironment, Also: []TokenKind{TokenBreakGlass}},
	verbSetPolicy:                  {Role: RoleAdmin, Reach: ReachEnvironment},
	verbOrder:                      {Role: RoleAdmin, Reach: ReachTenant},

	verbLeader:       {Reach: ReachSystem},
	verbRaiseVersion: {Reach: ReachSystem},
	verbChecksum:     {Reach: ReachSystem},
}

func changeVerb(m ChangeMove) string { return MoveChange{Move: m}.Verb() }

func moveVerb(m Move) string { return MoveRollout{Move: m}.Verb() }

// PermissionOf is the row of a verb; false means that nobody may do it.
func PermissionOf(verb string) (Permission, bool) {
	p, ok := permissions[verb]
	return p, ok
}

// Verbs lists every verb that has a row, sorted.
func Verbs() []string {
	list := make([]string, 0, len(permissions))
	for verb := range permissions {
		list = append(list, verb)
	}
	slices.Sort(list)
	return list
}

// Can says whether the actor may do verb to target; nil means yes. It is the only judge: Apply asks it for every
// operation, those inside a batch too, the leader asks it before proposing, and doors ask it before they let somebody
// read. It answers KindUnknownToken (who are you?), KindNotFound (another tenant's, which must look like nothing) or
// KindDenied.
//
// The cluster itself may everything. So may an actor without a token: only a door that was opened on purpose lets one
// through.
func Can(s *State, actor Actor, verb string, target Target) error {
	p, ok := permissions[verb]
	switch {
	case !ok:
		return denied(verb, target, "nobody may do this: it has no row in the table of permissions")
	case actor.Kind == ActorSystem || p.Reach == ReachOpen:
		return nil
	case p.Reach == ReachSystem && strings.HasPrefix(verb, "rollout."):
		return denied(verb, target, "only the controller of the cluster moves a rollout this way; people promote, pause, skip or abort it")
	case p.Reach == ReachSystem:
		return denied(verb, target, fmt.Sprintf("only the cluster itself may do this, not an actor of kind %q", actor.Kind))
	case actor.Token == "":
		return nil
	}
	t, err := s.authenticate(actor, verb, target)
	if err != nil {
		return err
	}
	if verb == verbRevokeToken && target.Key == actor.Token {
		return nil // whoever holds a token may end it
	}
	return t.Allows(verb, target)
}

// Allows says whether the token carries the right, whether or not it still counts; nil means yes.
func (t *Token) Allows(verb string, target Target) error {
	p := permissions[verb]
	switch p.Reach {
	case ReachEnvironment, ReachMember, ReachTenant:
		if target.Tenant != t.Tenant && !t.Everywhere {
			return &Error{Kind: KindNotFound, Op: verb, Target: target.String(),
				Detail: fmt.Sprintf("there is no tenant %q for this token; check X-Tenant-ID or use a token of that tenant", target.Tenant)}
		}
	}
	if !t.role().Includes(p.Role) && !slices.Contains(p.Also, t.Kind) {
		return denied(verb, target, t.lacks(p))
	}
	switch {
	case p.Reach == ReachEnvironment && !t.Covers(target.Environment):
		return denied(verb, target, fmt.Sprintf("the token is for %s, not for %q; use a token of that environment",
			strings.Join(t.Environments, ", "), target.Environment))
	case p.Reach == ReachTenant && len(t.Environments) > 0:
		return denied(verb, target, "the token is limited to some environments; this needs one for all of the tenant")
	case p.Reach == ReachCluster && !t.Everywhere:
		return denied(verb, target, "the token is for one tenant; this needs one for the whole cluster, as the bootstrap token is")
	}
	return nil
}

// lacks says what would be enough.
func (t *Token) lacks(p Permission) string {
	if p.Role == "" {
		return fmt.Sprintf("a token of kind %s may not do this; only those of kinds %v may", t.Kind, p.Also)
	}
	if t.Kind == TokenAdmin {
		return fmt.Sprintf("the token has the role %s; this needs %s", t.Role, p.Role)
	}
	return fmt.Sprintf("a token of kind %s may not do this; use an adm token with the role %s", t.Kind, p.Role)
}

func denied(verb string, target Target, detail string) *Error {
	return &Error{Kind: KindDenied, Op: verb, Target: target.String(), Detail: detail}
}

// Role is what a token for people may do. Each includes those before it.
type Role string

// The roles, from least to most.
const (
	RoleViewer   Role = "viewer"   // reads
	RoleEditor   Role = "editor"   // changes definitions and starts what changes them
	RoleApprover Role = "approver" // agrees to what others prepared
	RoleOperator Role = "operator" // switches off, freezes and overrides in an emergency
	RoleAdmin    Role = "admin"    // environments, policies and tokens
)

// Roles lists the roles, least first.
func Roles() []Role { return []Role{RoleViewer, RoleEditor, RoleApprover, RoleOperator, RoleAdmin} }

// Includes tells whether the role is at least another. The empty role includes none and is included by none.
func (r Role) Includes(other Role) bool {
	roles := Roles()
	have, need := slices.Index(roles, r), slices.Index(roles, other)
	return have >= 0 && need >= 0 && have >= need
}

// Eligible tells whether the actor counts where people of certain groups have to agree: one of its token's groups is
// named. No groups named, or a door without tokens, leave it to the role.
func (s *State) Eligible(actor Actor, groups []string) bool {
	if len(groups) == 0 || actor.Token == "" {
		return true
	}
	t, ok := s.Token(actor.Token)
	return ok && slices.ContainsFunc(t.Groups, func(g string) bool { return slices.Contains(groups, g) })
}
