package transport

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

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
	want := auditFilter(who.tenant, r.GetFilter())
	if !r.GetNewest() && r.GetBefore() == 0 {
		rows, scanned, err := s.rowsAfter(state, want, r.GetAfter(), limit)
		for _, row := range rows {
			out.Rows = append(out.Rows, wire.EncodeAudit(row))
		}
		out.Scanned = scanned
		return out, err
	}
	rows, err := s.newestRows(state, want, r.GetBefore(), limit)
	for _, row := range slices.Backward(rows) {
		if row.Seq > r.GetAfter() {
			out.Rows = append(out.Rows, wire.EncodeAudit(row.Audit))
		}
	}
	return out, err
}

func (s auditService) Verify(_ context.Context, _ *hoistv1.VerifyAuditRequest) (*hoistv1.VerifyAuditResponse, error) {
	state := s.cfg.Store.State()
	report, err := s.verifyRows(state)
	if err != nil {
		return nil, err
	}
	out := &hoistv1.VerifyAuditResponse{Rows: report.Rows, First: report.First, Last: report.Last, Hash: report.Hash, Position: s.position(state)}
	for _, f := range report.Findings {
		out.Findings = append(out.Findings, &hoistv1.AuditFinding{Seq: f.Seq, Where: f.Where, Why: f.Why})
	}
	return out, nil
}

// auditFilter is the filter of a message, within the tenant of the caller.
func auditFilter(tenant string, m *hoistv1.AuditFilter) fsm.AuditFilter {
	at := func(t *timestamppb.Timestamp) int64 {
		if t == nil {
			return 0
		}
		return t.AsTime().UnixMilli()
	}
	return fsm.AuditFilter{Tenant: tenant, Environment: m.GetEnvironment(), Target: m.GetTarget(), KeyPattern: m.GetKeyPattern(), User: m.GetUser(),
		Correlation: m.GetCorrelationId(), Verb: m.GetVerb(), From: at(m.GetSince()), Until: at(m.GetUntil())}
}
