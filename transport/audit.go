package transport

import (
	"context"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// auditService answers hoist.v1.AuditService.
type auditService struct{ *Server }

func (s auditService) List(ctx context.Context, r *hoistv1.ListAuditRequest) (*hoistv1.ListAuditResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(r.GetLimit())
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	out := &hoistv1.ListAuditResponse{Position: s.position(state)}
	out.HeadSeq, out.HeadHash = state.AuditHead()
	from := r.GetAfter()
	if r.GetNewest() && out.HeadSeq > uint64(limit) {
		from = max(from, out.HeadSeq-uint64(limit))
	}
	for _, row := range state.Audit(from, limit) {
		if visible(row, who.tenant) {
			out.Rows = append(out.Rows, wire.EncodeAudit(row))
		}
	}
	return out, nil
}

// visible hides the rows of other tenants; rows without one are about the cluster and everybody's.
func visible(row fsm.Audit, tenant string) bool { return row.Tenant == "" || row.Tenant == tenant }
