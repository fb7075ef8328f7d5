package wire

import (
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// EncodeChange turns an edit or a review into a message, without its items.
func EncodeChange(env *fsm.Environment, c *fsm.Change, detail bool) *hoistv1.Change {
	m := &hoistv1.Change{
		Id: c.ID, Kind: string(c.Kind), Status: string(c.Status), Environment: env.Key(), Title: c.Title, Notes: c.Notes,
		Author: EncodeActor(c.Author), Approvals: encodeConsents(c.Approvals), RequiredApprovals: int32(c.Required),
		BaseRevision: c.Base, DiffHash: c.Hash, CreatedAt: millis(c.CreatedAt), ScheduledAt: later(c.NotBefore), Timezone: c.Zone,
		ExecutedAt: later(c.ExecutedAt), ExecutedRevision: c.Executed, Cause: c.Cause, CorrelationId: c.Correlation,
		Revision: c.Revision, Allowed: allowed(c),
	}
	if detail {
		m.Events = encodeChangeEvents(c)
	}
	return m
}

// EncodePromotion turns a promotion into a message, without its items.
func EncodePromotion(state *fsm.State, env *fsm.Environment, c *fsm.Change, detail bool) *hoistv1.Promotion {
	p := c.Promotion
	m := &hoistv1.Promotion{
		Id: c.ID, Status: string(c.Status), SourceEnvironment: p.Source, TargetEnvironment: env.Key(), PromotionType: string(p.Type),
		ConfigIds: p.ConfigIDs, FlagIds: p.FlagIDs, KeyPatterns: p.KeyPatterns, Notes: c.Notes, Approvals: encodeConsents(c.Approvals),
		RequiredApprovals: int32(c.Required), ScheduledAt: later(c.NotBefore), Timezone: c.Zone, CreatedBy: EncodeActor(c.Author),
		CreatedAt: millis(c.CreatedAt), ExecutedAt: later(c.ExecutedAt), ExecutedRevision: c.Executed, CorrelationId: c.Correlation,
		Revision: c.Revision, Stale: state.Stale(env, c), Cause: c.Cause, Allowed: allowed(c), RollbackRequests: encodeConsents(c.Undo),
	}
	if v := p.Validation; v != nil {
		m.Validation = &hoistv1.PromotionValidation{Valid: v.Valid, At: millis(v.At), SourceRevision: v.SourceRevision,
			TargetRevision: v.TargetRevision, DiffHash: v.Hash}
		for _, f := range v.Findings {
			m.Validation.Findings = append(m.Validation.Findings, &hoistv1.PromotionFinding{
				Severity: f.Severity, Code: f.Code, Kind: string(f.Kind), Key: f.Key, Message: f.Message})
		}
	}
	if detail {
		m.Events = encodeChangeEvents(c)
	}
	return m
}

func encodeConsents(list []fsm.Consent) (out []*hoistv1.ChangeApproval) {
	for _, a := range list {
		out = append(out, &hoistv1.ChangeApproval{By: EncodeActor(a.By), At: millis(a.At), Comment: a.Comment})
	}
	return out
}

func encodeChangeEvents(c *fsm.Change) (out []*hoistv1.ChangeEvent) {
	for _, e := range c.Events {
		out = append(out, &hoistv1.ChangeEvent{Revision: e.Revision, At: millis(e.At), Actor: EncodeActor(e.Actor),
			Move: string(e.Move), From: string(e.From), To: string(e.To), Comment: e.Comment})
	}
	return out
}

func allowed(c *fsm.Change) (out []string) {
	for _, move := range c.Allowed() {
		if move != fsm.ChangeMoveDue {
			out = append(out, string(move))
		}
	}
	return out
}

// EncodeGovernance turns a policy in force into a message.
func EncodeGovernance(g fsm.Governance) *hoistv1.EnvironmentPolicy {
	return &hoistv1.EnvironmentPolicy{RequiredApprovals: int32(g.RequiredApprovals), Approvers: g.Approvers, AllowFrom: g.AllowFrom,
		Protected: g.Protected, MaxStep: float64(g.MaxStep) / 1000, TemporaryOwner: g.TemporaryOwner}
}
