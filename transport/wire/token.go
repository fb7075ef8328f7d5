package wire

import (
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// EncodeToken turns a token into a message; its digest stays behind.
func EncodeToken(t *fsm.Token) *hoistv1.Token {
	m := &hoistv1.Token{
		Id: t.ID, Tenant: t.Tenant, Kind: string(t.Kind), Name: t.Name, Environments: t.Environments, Everywhere: t.Everywhere,
		Role: string(t.Role), Groups: t.Groups, Owner: t.Owner, Email: t.Email, ActAs: t.ActAs, Origins: t.Origins, Rate: t.Rate,
		CreatedAt: millis(t.CreatedAt), CreatedBy: EncodeActor(t.CreatedBy), Expires: later(t.Expires), RevokedAt: later(t.RevokedAt),
		Reason: t.Reason, Revision: t.Revision,
	}
	if t.RevokedAt > 0 {
		m.RevokedBy = EncodeActor(t.RevokedBy)
	}
	return m
}
