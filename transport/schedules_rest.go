package transport

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

const schedulePath = configPath + "/schedules"

// mountSchedules is the route table of schedules.
func (s *Server) mountSchedules(d *routeTable) {
	r := rest{s}
	put := fsm.PutSchedule{}.Verb()
	d.rest("POST "+schedulePath+"/one-time", put, r.scheduleCreate("one-time"), asksLaw)
	d.rest("POST "+schedulePath+"/recurring", put, r.scheduleCreate("recurring"), asksLaw)
	d.rest("POST "+schedulePath+"/window", put, r.scheduleCreate("window"), asksLaw)
	d.rest("GET "+schedulePath, fsm.VerbReadConfig, r.scheduleList)
	d.rest("GET "+schedulePath+"/{id}", fsm.VerbReadConfig, r.scheduleGet)
	d.rest("POST "+schedulePath+"/{id}/pause", fsm.SwitchSchedule{}.Verb(), r.scheduleMove(scheduleSwitch(false)))
	d.rest("POST "+schedulePath+"/{id}/resume", fsm.SwitchSchedule{Running: true}.Verb(), r.scheduleMove(scheduleSwitch(true)))
	d.rest("DELETE "+schedulePath+"/{id}", fsm.DropSchedule{}.Verb(), r.scheduleMove(scheduleDrop))
}

// scheduleCreate makes a schedule of the kind that the path names; a body that means another kind is refused.
func (s rest) scheduleCreate(kind string) func(context.Context, *call) (*reply, error) {
	return func(ctx context.Context, r *call) (*reply, error) {
		var in scheduleForm
		if err := decodeBody(r.body, &in); err != nil {
			return nil, err
		}
		if problems := in.unlike(kind); len(problems) > 0 {
			return nil, problems
		}
		scope := r.scope
		if in.Environment != "" {
			scope = r.who.scope(in.Environment)
		}
		done, x, err := s.createSchedule(ctx, r.who, scope, &in, r.opts)
		if err != nil {
			return nil, bodyFields(err)
		}
		out := s.scheduleReply(done)
		if x != nil {
			out.status, out.location = http.StatusCreated, schedulePath+"/"+x.Schedule.ID
		}
		return out, nil
	}
}

// unlike says what of a form does not belong to a kind of schedule, or is missing.
func (in *scheduleForm) unlike(kind string) (problems evaluator.Problems) {
	need := func(field, text string, wanted bool) {
		switch {
		case wanted && text == "":
			problems = append(problems, complaint(field, "schedule.required", "is required for a "+kind+" schedule")...)
		case !wanted && text != "":
			problems = append(problems, complaint(field, "schedule.kind", "does not belong to a "+kind+" schedule")...)
		}
	}
	need("/flagId", in.Flag, true)
	switch kind {
	case "one-time":
		need("/startTime", in.Start, true)
		need("/endTime", in.End, false)
		need("/cron", in.Cron, false)
	case "window":
		need("/startTime", in.Start, true)
		need("/endTime", in.End, true)
		need("/cron", in.Cron, false)
	default:
		need("/cron", in.Cron, true)
	}
	return problems
}

// bodyFields names the members of the body where the law named those of its command.
func bodyFields(err error) error {
	var known *fsm.Error
	if !errors.As(err, &known) || len(known.Problems) == 0 {
		return err
	}
	copied := *known
	copied.Problems = nil
	for _, p := range known.Problems {
		if p.Field = strings.TrimPrefix(p.Field, "/schedule"); p.Field == "/flag" {
			p.Field = "/flagId"
		}
		copied.Problems = append(copied.Problems, p)
	}
	return &copied
}

func (s rest) scheduleReply(done *hoistv1.ScheduleReceipt) *reply {
	receipt := done.GetReceipt()
	position := []evaluator.Attribute{member("epoch", evaluator.String(receipt.GetEpoch())), member("revision", number(receipt.GetRevision()))}
	out := &reply{receipt: receipt, body: object([]byte("{}"), position...)}
	if m := done.GetSchedule(); m != nil {
		out.body, out.object = object(scheduleBody(m), position...), m.GetRevision()
	}
	return out
}

func (s rest) scheduleList(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	q := r.http.URL.Query()
	var list [][]byte
	for _, m := range schedulesOf(env, q.Get("flag"), q.Get("status")) {
		list = append(list, scheduleBody(m))
	}
	return &reply{body: items(list, "", s.position(r.state)...)}, nil
}

func (s rest) scheduleGet(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	for _, m := range schedulesOf(env, "", "") {
		if m.GetId() == r.http.PathValue("id") {
			return &reply{body: object(scheduleBody(m), s.position(r.state)...), object: m.GetRevision()}, nil
		}
	}
	_, err = findSchedule(env, r.http.PathValue("id"))
	return nil, err
}

func (s rest) scheduleMove(command scheduleCommand) func(context.Context, *call) (*reply, error) {
	return func(ctx context.Context, r *call) (*reply, error) {
		done, err := s.moveSchedule(ctx, r.who, r.scope, r.http.PathValue("id"), command, r.opts)
		if err != nil {
			return nil, err
		}
		return s.scheduleReply(done), nil
	}
}

// scheduleBody is a schedule as plain HTTP shows it.
func scheduleBody(m *hoistv1.Schedule) []byte {
	kind := "one-time"
	if m.GetCron() != "" {
		kind = "recurring"
	} else if m.GetEnd() != nil {
		kind = "window"
	}
	members := []evaluator.Attribute{member("id", evaluator.String(m.GetId())), member("kind", evaluator.String(kind)),
		member("flagId", evaluator.String(m.GetFlag())), member("environment", evaluator.String(m.GetEnvironment())),
		member("action", evaluator.String(m.GetAction())), member("status", evaluator.String(m.GetStatus()))}
	for _, t := range []struct{ name, text string }{{"name", m.GetName()}, {"rule", m.GetRule()}, {"startTime", timestampText(m.GetStart())},
		{"endTime", timestampText(m.GetEnd())}, {"cron", m.GetCron()}, {"timezone", m.GetTimezone()}, {"nextRun", timestampText(m.GetNext())}} {
		if t.text != "" {
			members = append(members, member(t.name, evaluator.String(t.text)))
		}
	}
	if v := m.GetTargetValue(); v != nil {
		if data, err := v.MarshalJSON(); err == nil { // it came from a value
			members = append(members, member("targetValue", valueOf(data)))
		}
	}
	if m.GetAction() == string(fsm.ActionPercentage) {
		members = append(members, member("targetPercentage", evaluator.Number(m.GetTargetPercentage())))
	}
	if m.GetLand() {
		members = append(members, member("land", evaluator.Bool(true)))
	}
	if len(m.GetMetadata()) > 0 {
		var pairs []evaluator.Attribute
		for name, text := range m.GetMetadata() {
			pairs = append(pairs, member(name, evaluator.String(text)))
		}
		members = append(members, member("metadata", evaluator.Object(pairs)))
	}
	runs := []evaluator.Value{}
	for _, run := range m.GetRuns() {
		runs = append(runs, evaluator.Object([]evaluator.Attribute{member("due", evaluator.String(timestampText(run.GetDue()))),
			member("at", evaluator.String(timestampText(run.GetAt()))), member("revision", number(run.GetRevision())),
			member("skipped", number(uint64(run.GetSkipped()))), member("why", evaluator.String(run.GetWhy()))}))
	}
	by := m.GetCreatedBy()
	members = append(members, member("createdBy", actorValue(fsm.Actor{Kind: by.GetKind(), ID: by.GetId(), Email: by.GetEmail(), Token: by.GetTokenId(), Owner: by.GetOwner()})),
		member("objectRevision", number(m.GetRevision())), member("runs", evaluator.List(runs)))
	return object([]byte("{}"), members...)
}
