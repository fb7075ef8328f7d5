package transport

import (
	"context"
	"fmt"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// manifestService answers hoist.v1.ManifestService.
type manifestService struct{ *Server }

func (s manifestService) Apply(ctx context.Context, r *hoistv1.ApplyRequest) (*hoistv1.ApplyResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	scope := who.scope(r.GetEnvironment())
	state := s.cfg.Store.State()
	env, err := environment(state, scope)
	if err != nil {
		return nil, err
	}
	content, err := decodeManifest(r.GetManifest())
	if err != nil {
		return nil, err
	}
	commands := fsm.Diff(scope, env, content, r.GetPrune())
	if receipt, ok := repeated(state, who, r.GetWrite()); ok && len(commands) == 0 {
		return &hoistv1.ApplyResponse{Receipt: receipt}, nil
	}
	changes := describe(env, commands)
	if len(commands) == 0 {
		return s.nothing(env, r.GetWrite())
	}
	receipt, err := s.write(ctx, who, fsm.Batch{Scope: scope, Since: env.Revision(), Commands: commands}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	return &hoistv1.ApplyResponse{Changes: changes, Receipt: receipt}, nil
}

// nothing answers an Apply that changes nothing: no entry is written, but what the caller expects is still compared.
func (s manifestService) nothing(env *fsm.Environment, opts *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
	id, err := requestID(opts)
	if err != nil {
		return nil, err
	}
	if expected := expectedRevision(opts); expected != nil && *expected != env.Revision() {
		return nil, &fsm.Error{Kind: fsm.KindConflict, Op: "apply manifest", Target: env.Key(), Revision: env.Revision(),
			Detail: fmt.Sprintf("the environment is at revision %d, not %d; run diff again", env.Revision(), *expected)}
	}
	state := s.cfg.Store.State()
	return &hoistv1.ApplyResponse{Receipt: &hoistv1.Receipt{
		Epoch: state.Epoch(), Revision: state.Index(), ObjectRevision: env.Revision(), RequestId: id, DryRun: opts.GetDryRun(),
	}}, nil
}

func (s manifestService) Diff(ctx context.Context, r *hoistv1.DiffRequest) (*hoistv1.DiffResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	content, err := decodeManifest(r.GetManifest())
	if err != nil {
		return nil, err
	}
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	commands := fsm.Diff(who.scope(r.GetEnvironment()), env, content, r.GetPrune())
	return &hoistv1.DiffResponse{
		Changes: describe(env, commands), EnvironmentRevision: env.Revision(), Position: s.position(state),
	}, nil
}

func (s manifestService) Export(ctx context.Context, r *hoistv1.ExportRequest) (*hoistv1.ExportResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	m := &hoistv1.Manifest{}
	for _, record := range env.Flags() {
		m.Flags = append(m.Flags, record.Record)
	}
	for _, record := range env.Segments() {
		m.Segments = append(m.Segments, record.Record)
	}
	m.StatesSchedules = true
	for _, schedule := range env.Schedules() {
		m.Schedules = append(m.Schedules, schedule.Record())
	}
	return &hoistv1.ExportResponse{Manifest: m, EnvironmentRevision: env.Revision(), Position: s.position(state)}, nil
}

// decodeManifest reads every definition and reports the problems of all of them, with the place in the manifest.
func decodeManifest(m *hoistv1.Manifest) (fsm.Content, error) {
	content := fsm.Content{StatesSchedules: m.GetStatesSchedules()}
	var problems evaluator.Problems
	for i, data := range m.GetFlags() {
		flag, err := evaluator.DecodeFlag(data)
		if err == nil {
			problems = append(problems, prefixed(fmt.Sprintf("/flags/%d", i), flag.Check())...)
			content.Flags = append(content.Flags, flag)
			continue
		}
		problems = append(problems, prefixed(fmt.Sprintf("/flags/%d", i), asProblems(err))...)
	}
	for i, data := range m.GetSegments() {
		segment, err := evaluator.DecodeSegment(data)
		if err == nil {
			problems = append(problems, prefixed(fmt.Sprintf("/segments/%d", i), segment.Check())...)
			content.Segments = append(content.Segments, segment)
			continue
		}
		problems = append(problems, prefixed(fmt.Sprintf("/segments/%d", i), asProblems(err))...)
	}
	for i, data := range m.GetSchedules() {
		schedule, err := fsm.DecodeSchedule(data)
		if err == nil {
			problems = append(problems, prefixed(fmt.Sprintf("/schedules/%d", i), schedule.Check())...)
			content.Schedules = append(content.Schedules, schedule)
			continue
		}
		problems = append(problems, prefixed(fmt.Sprintf("/schedules/%d", i), asProblems(err))...)
	}
	if len(problems) > 0 {
		return fsm.Content{}, problems
	}
	return content, nil
}

func prefixed(place string, list evaluator.Problems) evaluator.Problems {
	out := make(evaluator.Problems, len(list))
	for i, p := range list {
		p.Field = place + p.Field
		out[i] = p
	}
	return out
}

func asProblems(err error) evaluator.Problems {
	if known := asError(err); known != nil && len(known.Problems) > 0 {
		return known.Problems
	}
	return evaluator.Problems{{Code: "decode.json", Message: err.Error()}}
}

// describe says in words what commands would change.
func describe(env *fsm.Environment, commands []fsm.Command) []*hoistv1.ManifestChange {
	var out []*hoistv1.ManifestChange
	for _, command := range commands {
		m := &hoistv1.ManifestChange{Action: "update"}
		var before, after fsm.Content
		switch c := command.(type) {
		case fsm.PutFlag:
			m.Object, m.Key, after.Flags = "flag", c.Flag.Key, []*evaluator.Flag{c.Flag}
			if old, ok := env.Flag(m.Key); ok {
				before.Flags = []*evaluator.Flag{old.Flag()}
			} else {
				m.Action = "create"
			}
		case fsm.PutSegment:
			m.Object, m.Key, after.Segments = "segment", c.Segment.Key, []*evaluator.Segment{c.Segment}
			if old, ok := env.Segment(m.Key); ok {
				before.Segments = []*evaluator.Segment{old.Segment()}
			} else {
				m.Action = "create"
			}
		case fsm.SetEnabled:
			m.Object, m.Key = "flag", c.Key
			m.Lines = []string{fmt.Sprintf("enabled %t → %t", !c.Enabled, c.Enabled)}
		case fsm.DeleteFlag:
			m.Object, m.Key, m.Action = "flag", c.Key, "delete"
		case fsm.DeleteSegment:
			m.Object, m.Key, m.Action = "segment", c.Key, "delete"
		case fsm.PutSchedule:
			describeSchedule(m, env, c.Schedule)
		case fsm.DropSchedule:
			m.Object, m.Key, m.Action = "schedule", scheduleKey(c.Flag, c.Rule), "delete"
		default:
			m.Action, m.Object = command.Verb(), "environment"
		}
		for _, line := range manifest.Describe(before, after, false) {
			m.Lines = append(m.Lines, strings.TrimPrefix(line, m.Object+" "+m.Key+": "))
		}
		out = append(out, m)
	}
	return out
}

// scheduleKey names a schedule by what it drives.
func scheduleKey(flag, rule string) string {
	if rule == "" {
		return flag
	}
	return flag + "/" + rule
}

func describeSchedule(m *hoistv1.ManifestChange, env *fsm.Environment, s *fsm.Schedule) {
	m.Object, m.Key, m.Action = "schedule", scheduleKey(s.Flag, s.Rule), "create"
	for _, x := range env.Exposures(s.Flag) {
		if x.Schedule != nil && x.Seat == s.Seat() {
			m.Action = "update"
		}
	}
	var levels []string
	for _, l := range s.Levels {
		levels = append(levels, fmt.Sprintf("%s from %s", fsm.Percent(l.Weight), l.At))
	}
	m.Lines = []string{s.Variant + " " + strings.Join(levels, ", ")}
}
