package wire

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// killOwner is the owner of the exposure that a kill switch puts beside a flag.
const killOwner = "kill"

// Killed tells whether a kill switch is among the exposures.
func Killed(exposures []fsm.Exposure) bool {
	for _, x := range exposures {
		if x.Owner == killOwner {
			return true
		}
	}
	return false
}

// EncodeFlagState turns a stored flag, decoded, and what sits beside it into a message. Findings are those of the time now.
func EncodeFlagState(r *fsm.FlagRecord, flag *evaluator.Flag, exposures []fsm.Exposure, now time.Time) *hoistv1.FlagState {
	m := &hoistv1.FlagState{
		Flag: EncodeFlag(flag), Revision: r.Revision, CreatedRevision: r.Created, UpdatedAt: millis(r.UpdatedAt),
		Killed: Killed(exposures), Findings: EncodeProblems(append(flag.Lint(), flag.LintExpiry(now)...)),
	}
	for _, x := range exposures {
		m.Exposures = append(m.Exposures, &hoistv1.Exposure{
			Owner: x.Owner, Revision: x.Revision, At: millis(x.At), By: EncodeActor(x.By), Reason: x.Reason,
		})
	}
	return m
}

// EncodeSegmentState turns a stored segment into a message. Without members the include and exclude lists are left out.
func EncodeSegmentState(r *fsm.SegmentRecord, referrers []string, members bool) *hoistv1.SegmentState {
	segment := EncodeSegment(r.Segment())
	if !members {
		segment.Include, segment.Exclude = nil, nil
	}
	return &hoistv1.SegmentState{
		Segment: segment, Revision: r.Revision, CreatedRevision: r.Created, UpdatedAt: millis(r.UpdatedAt),
		Referrers: referrers,
	}
}

// EncodeActor turns an actor into a message.
func EncodeActor(a fsm.Actor) *hoistv1.Actor {
	return &hoistv1.Actor{Kind: a.Kind, Id: a.ID, Email: a.Email, TokenId: a.Token, Owner: a.Owner}
}

// EncodeVersion turns one past form of an item into a message.
func EncodeVersion(v fsm.Version) *hoistv1.Version {
	return &hoistv1.Version{
		Revision: v.Revision, At: millis(v.At), Actor: EncodeActor(v.Actor), Verb: v.Verb, Record: v.Record,
	}
}

// EncodeAudit turns one audit row into a message.
func EncodeAudit(a fsm.Audit) *hoistv1.AuditRow {
	return &hoistv1.AuditRow{
		Seq: a.Seq, Revision: a.Index, At: millis(a.At), Actor: EncodeActor(a.Actor), RequestId: a.RequestID,
		Tenant: a.Tenant, Environment: a.Environment, Verb: a.Verb, Target: a.Target,
		Before: a.Before, After: a.After, Reason: a.Reason, Hash: a.Hash, CorrelationId: a.Correlation, Approvals: a.Approvals,
	}
}

// EncodeProblems turns problems into messages, in order.
func EncodeProblems(list evaluator.Problems) []*hoistv1.Problem {
	var out []*hoistv1.Problem
	for _, p := range list {
		out = append(out, &hoistv1.Problem{Field: p.Field, Code: p.Code, Message: p.Message})
	}
	return out
}

// EncodeResult turns the answer to one evaluation into a message; flag is nil when it was not found.
func EncodeResult(key string, flag *evaluator.Compiled, r evaluator.Result) *hoistv1.Evaluation {
	m := &hoistv1.Evaluation{
		Key: key, Variant: r.Variant, Reason: string(r.Reason), RuleId: r.RuleID, Label: r.Label,
		ErrorCode: string(r.ErrorCode), ErrorDetail: r.Detail,
	}
	if r.ErrorCode != "" {
		m.Reason = string(evaluator.ReasonError)
	}
	if r.HasValue {
		m.Value = EncodeValue(r.Value)
	}
	if flag != nil && len(flag.Metadata()) > 0 {
		m.Metadata = make(map[string]*structpb.Value, len(flag.Metadata()))
		for _, member := range flag.Metadata() {
			m.Metadata[member.Name] = EncodeValue(member.Value)
		}
	}
	return m
}

func millis(ms int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(ms)) }
