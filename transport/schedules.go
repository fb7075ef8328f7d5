package transport

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// Calendars reads times as people write them. The law knows instants only.
type Calendars interface {
	// Next is the first instant after t that a cron line means on the clocks of a zone.
	Next(cron, zone string, t time.Time) (time.Time, error)
	// Local is the instant at which the clocks of a zone show what they are given to show.
	Local(shown time.Time, zone string) (time.Time, error)
}

// scheduleService answers hoist.v1.ScheduleService.
type scheduleService struct{ *Server }

func (s scheduleService) Create(ctx context.Context, r *hoistv1.CreateScheduleRequest) (*hoistv1.ScheduleReceipt, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	m := r.GetSchedule()
	in := scheduleForm{Name: m.GetName(), Flag: m.GetFlag(), Rule: m.GetRule(), Action: m.GetAction(), Start: timestampText(m.GetStart()),
		End: timestampText(m.GetEnd()), Cron: m.GetCron(), Zone: m.GetTimezone(), Land: m.GetLand(), Metadata: m.GetMetadata()}
	if v := m.GetTargetValue(); v != nil {
		data, err := protojson.Marshal(v)
		if err != nil {
			return nil, err
		}
		if in.Value = new(evaluator.Value); in.Value.UnmarshalJSON(data) != nil {
			return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "targetValue", Detail: "cannot be read"}
		}
	}
	if in.Action == string(fsm.ActionPercentage) {
		in.Percentage = &m.TargetPercentage
	}
	out, _, err := s.createSchedule(ctx, who, who.scope(m.GetEnvironment()), &in, r.GetWrite())
	return out, err
}

func timestampText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.RFC3339Nano)
}

func (s scheduleService) List(ctx context.Context, r *hoistv1.ListSchedulesRequest) (*hoistv1.ListSchedulesResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	return &hoistv1.ListSchedulesResponse{Schedules: schedulesOf(env, r.GetFlag(), r.GetStatus()), Position: s.position(state)}, nil
}

func (s scheduleService) Get(ctx context.Context, r *hoistv1.GetScheduleRequest) (*hoistv1.Schedule, error) {
	_, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	x, err := findSchedule(env, r.GetId())
	if err != nil {
		return nil, err
	}
	return wire.EncodeSchedule(env.Key(), x), nil
}

func (s scheduleService) Pause(ctx context.Context, r *hoistv1.ScheduleRequest) (*hoistv1.ScheduleReceipt, error) {
	return s.move(ctx, r, scheduleSwitch(false))
}

func (s scheduleService) Resume(ctx context.Context, r *hoistv1.ScheduleRequest) (*hoistv1.ScheduleReceipt, error) {
	return s.move(ctx, r, scheduleSwitch(true))
}

func (s scheduleService) Delete(ctx context.Context, r *hoistv1.ScheduleRequest) (*hoistv1.ScheduleReceipt, error) {
	return s.move(ctx, r, scheduleDrop)
}

func (s scheduleService) move(ctx context.Context, r *hoistv1.ScheduleRequest, command scheduleCommand) (*hoistv1.ScheduleReceipt, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	return s.moveSchedule(ctx, who, who.scope(r.GetEnvironment()), r.GetId(), command, r.GetWrite())
}

// scheduleCommand makes the command about one schedule.
type scheduleCommand func(scope fsm.Scope, s *fsm.Schedule) fsm.Command

func scheduleSwitch(running bool) scheduleCommand {
	return func(scope fsm.Scope, s *fsm.Schedule) fsm.Command {
		return fsm.SwitchSchedule{Scope: scope, Flag: s.Flag, ID: s.ID, Running: running}
	}
}

func scheduleDrop(scope fsm.Scope, s *fsm.Schedule) fsm.Command {
	return fsm.DropSchedule{Scope: scope, Flag: s.Flag, ID: s.ID}
}

// scheduleForm is a schedule as people write it. Times are RFC 3339; without an offset they are what the clocks of Zone show.
type scheduleForm struct {
	Flag        string            `json:"flagId"`
	Environment string            `json:"environment"`
	Name        string            `json:"name"`
	Rule        string            `json:"rule"`
	Action      string            `json:"action"`
	Value       *evaluator.Value  `json:"targetValue"`
	Percentage  *float64          `json:"targetPercentage"`
	Start       string            `json:"startTime"`
	End         string            `json:"endTime"`
	Cron        string            `json:"cron"`
	Zone        string            `json:"timezone"`
	Land        bool              `json:"land"`
	Metadata    map[string]string `json:"metadata"`
}

func complaint(field, code, text string) evaluator.Problems {
	return evaluator.Problems{{Field: field, Code: code, Message: text}}
}

// schedule turns the form into what the law takes.
func (s *Server) schedule(env *fsm.Environment, in *scheduleForm) (*fsm.Schedule, error) {
	if s.cfg.Calendars == nil {
		return nil, &fsm.Error{Kind: KindUnimplemented, Detail: "this server keeps no schedules"}
	}
	out := &fsm.Schedule{Name: in.Name, Flag: in.Flag, Rule: in.Rule, Action: fsm.Action(in.Action), Cron: in.Cron, Zone: in.Zone, Land: in.Land, Metadata: in.Metadata}
	record, ok := env.Flag(in.Flag)
	if !ok {
		return nil, missing("schedule", in.Flag, env)
	}
	if in.Action == "" {
		return nil, complaint("/action", "schedule.action", "say what happens: ENABLE, DISABLE, SET_VALUE or SET_PERCENTAGE")
	}
	if err := setTarget(out, in, record.Flag()); err != nil {
		return nil, err
	}
	if in.Cron != "" || in.Zone != "" {
		cron := in.Cron
		if cron == "" {
			cron = "0 0 * * *" // only the zone is judged
		}
		if _, err := s.cfg.Calendars.Next(cron, in.Zone, time.Now()); err != nil {
			field := "/cron"
			if strings.Contains(err.Error(), "time zone") {
				field = "/timezone"
			}
			return nil, complaint(field, "schedule.calendar", err.Error())
		}
	}
	var err error
	if out.Start, err = s.instant("/startTime", in.Start, in.Zone); err == nil {
		out.End, err = s.instant("/endTime", in.End, in.Zone)
	}
	return out, err
}

func setTarget(out *fsm.Schedule, in *scheduleForm, f *evaluator.Flag) error {
	switch {
	case in.Percentage != nil && out.Action != fsm.ActionPercentage:
		return complaint("/targetPercentage", "schedule.percentage", "goes with SET_PERCENTAGE only")
	case in.Percentage == nil && out.Action == fsm.ActionPercentage:
		return complaint("/targetPercentage", "schedule.percentage", "SET_PERCENTAGE needs it: 0 to 100, up to three decimals")
	case in.Value != nil && (out.Action == fsm.ActionEnable || out.Action == fsm.ActionDisable):
		return complaint("/targetValue", "schedule.value", "goes with SET_VALUE and SET_PERCENTAGE only")
	}
	if in.Percentage != nil {
		weight := math.Round(*in.Percentage * 1000)
		if math.Abs(weight-*in.Percentage*1000) > 1e-6 || weight < 0 || weight > float64(fsm.All) {
			return complaint("/targetPercentage", "schedule.percentage", "must be 0 to 100 with up to three decimals")
		}
		out.Weight = int(weight)
	}
	switch {
	case in.Value == nil:
	case kindOf(f) == evaluator.KindConfig:
		out.Value = in.Value
	default:
		out.Variant = variantOf(f, *in.Value)
		if out.Variant == "" {
			return complaint("/targetValue", "schedule.variant", fmt.Sprintf("flag %q has no variant with this key or value", f.Key))
		}
	}
	return nil
}

// variantOf finds the variant that people mean: by its key, else by its value.
func variantOf(f *evaluator.Flag, v evaluator.Value) string {
	for _, variant := range f.Variants {
		if v == evaluator.String(variant.Key) {
			return variant.Key
		}
	}
	text := string(v.AppendJSON(nil))
	for _, variant := range f.Variants {
		if variant.Value != nil && string(variant.Value.AppendJSON(nil)) == text {
			return variant.Key
		}
	}
	return ""
}

// instant reads a time; without an offset it is what the clocks of the zone show.
func (s *Server) instant(field, text, zone string) (string, error) {
	if text == "" {
		return "", nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
			if shown, wrong := time.Parse(layout, text); wrong == nil {
				at, err = s.cfg.Calendars.Local(shown, zone)
				break
			}
		}
	}
	if err != nil {
		return "", complaint(field, "schedule.at", fmt.Sprintf("%q is not a time such as 2026-12-24T18:00:00Z, or 2026-12-24T18:00 on the clocks of timezone", text))
	}
	return fsm.Instant(at.UnixMilli()), nil
}

func (s *Server) createSchedule(ctx context.Context, who caller, scope fsm.Scope, in *scheduleForm, opts *hoistv1.WriteOptions) (*hoistv1.ScheduleReceipt, *fsm.Exposure, error) {
	env, err := environment(s.cfg.Store.State(), scope)
	if err != nil {
		return nil, nil, err
	}
	schedule, err := s.schedule(env, in)
	if err != nil {
		return nil, nil, err
	}
	receipt, err := s.write(ctx, who, fsm.PutSchedule{Scope: scope, Schedule: schedule}, opts)
	if err != nil {
		return nil, nil, err
	}
	out := &hoistv1.ScheduleReceipt{Receipt: receipt}
	if env, err = environment(s.cfg.Store.State(), scope); err != nil || receipt.GetDryRun() {
		return out, nil, err
	}
	x, err := findSchedule(env, fsm.ScheduleID(receipt.GetRevision(), 1))
	if err != nil {
		return out, nil, nil //nolint:nilerr // it waits in a change, or is gone again
	}
	out.Schedule = wire.EncodeSchedule(env.Key(), x)
	return out, &x, nil
}

func (s *Server) moveSchedule(ctx context.Context, who caller, scope fsm.Scope, id string, command scheduleCommand, opts *hoistv1.WriteOptions) (*hoistv1.ScheduleReceipt, error) {
	state := s.cfg.Store.State()
	env, err := environment(state, scope)
	if err != nil {
		return nil, err
	}
	flag, err := s.flagOfSchedule(state, env, who, id, opts)
	if err != nil {
		return nil, err
	}
	receipt, err := s.write(ctx, who, command(scope, &fsm.Schedule{ID: id, Flag: flag}), opts)
	if err != nil {
		return nil, err
	}
	out := &hoistv1.ScheduleReceipt{Receipt: receipt}
	if env, err = environment(s.cfg.Store.State(), scope); err == nil {
		if x, err := findSchedule(env, id); err == nil {
			out.Schedule = wire.EncodeSchedule(env.Key(), x)
		}
	}
	return out, err
}

// flagOfSchedule finds whose schedule it is; for the retry of a deletion, whose it was.
func (s *Server) flagOfSchedule(state *fsm.State, env *fsm.Environment, who caller, id string, opts *hoistv1.WriteOptions) (string, error) {
	x, err := findSchedule(env, id)
	if err == nil {
		return x.Flag, nil
	}
	made, known := state.Request(who.actor, opts.GetRequestId())
	if !known {
		return "", err
	}
	rows, wrong := s.newestRows(state, fsm.AuditFilter{Tenant: env.Tenant(), Environment: env.Key(), Verb: fsm.DropSchedule{}.Verb(), Below: made.Revision + 1}, 0, 1)
	if wrong != nil || len(rows) == 0 || rows[0].Index != made.Revision {
		return "", err
	}
	return strings.TrimPrefix(rows[0].Target, nodeOf(fsm.ObjectFlag, "")), nil
}

func findSchedule(env *fsm.Environment, id string) (fsm.Exposure, error) {
	for _, x := range env.Scheduled() {
		if x.Schedule.ID == id {
			return x, nil
		}
	}
	return fsm.Exposure{}, &fsm.Error{Kind: fsm.KindNotFound, Op: "find schedule", Target: id,
		Detail: env.Key() + " has no such schedule; `hoist flag schedule list` shows those it has"}
}

func schedulesOf(env *fsm.Environment, flag, status string) []*hoistv1.Schedule {
	var out []*hoistv1.Schedule
	for _, x := range env.Scheduled() {
		if (flag == "" || x.Flag == flag) && (status == "" || x.ScheduleStatus() == status) {
			out = append(out, wire.EncodeSchedule(env.Key(), x))
		}
	}
	return out
}
