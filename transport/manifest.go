package transport

import (
	"context"
	"fmt"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// manifestService answers hoist.v1.ManifestService.
type manifestService struct{ *Server }

func (s manifestService) Apply(ctx context.Context, r *hoistv1.ApplyRequest) (*hoistv1.ApplyResponse, error) {
	who, err := callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	scope := who.scope(r.GetEnvironment())
	env, err := environment(s.cfg.Store.State(), scope)
	if err != nil {
		return nil, err
	}
	content, err := decodeManifest(r.GetManifest())
	if err != nil {
		return nil, err
	}
	commands := fsm.Diff(scope, env, content, r.GetPrune())
	changes := describe(env, commands)
	if len(commands) == 0 {
		return s.nothing(env, r.GetWrite())
	}
	receipt, err := s.write(ctx, who, fsm.Batch{Scope: scope, Commands: commands}, r.GetWrite())
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
	who, err := callerFrom(ctx)
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
	return &hoistv1.ExportResponse{Manifest: m, EnvironmentRevision: env.Revision(), Position: s.position(state)}, nil
}

// decodeManifest reads every definition and reports the problems of all of them, with the place in the manifest.
func decodeManifest(m *hoistv1.Manifest) (fsm.Content, error) {
	var content fsm.Content
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
		m := &hoistv1.ManifestChange{}
		var before, after []byte
		switch c := command.(type) {
		case fsm.PutFlag:
			m.Object, m.Key, after = "flag", c.Flag.Key, c.Flag.Canonical()
			if old, ok := env.Flag(m.Key); ok {
				before = old.Record
			}
		case fsm.PutSegment:
			m.Object, m.Key, after = "segment", c.Segment.Key, c.Segment.Canonical()
			if old, ok := env.Segment(m.Key); ok {
				before = old.Record
			}
		case fsm.SetEnabled:
			m.Object, m.Key, m.Action = "flag", c.Key, "update"
			m.Lines = []string{fmt.Sprintf("enabled: %t -> %t", !c.Enabled, c.Enabled)}
		case fsm.DeleteFlag:
			m.Object, m.Key, m.Action = "flag", c.Key, "delete"
		case fsm.DeleteSegment:
			m.Object, m.Key, m.Action = "segment", c.Key, "delete"
		default:
			m.Action, m.Object = command.Verb(), "environment"
		}
		switch {
		case m.Action != "":
		case before == nil:
			m.Action = "create"
		default:
			m.Action, m.Lines = "update", changedLines(before, after)
		}
		out = append(out, m)
	}
	return out
}

// maxLines bounds how much of one object's change is spelled out.
const maxLines = 50

// changedLines names each member that differs, by its path, with its old and its new value.
func changedLines(before, after []byte) []string {
	var old, now evaluator.Value
	if old.UnmarshalJSON(before) != nil || now.UnmarshalJSON(after) != nil {
		return nil
	}
	var lines []string
	compare("", old, now, func(path, was, is string) {
		if len(lines) < maxLines {
			lines = append(lines, strings.TrimPrefix(path, "/")+": "+was+" -> "+is)
		}
	})
	return lines
}

const absent = "(none)"

// compare walks two values and reports the places where they differ.
func compare(path string, old, now evaluator.Value, report func(path, was, is string)) {
	switch {
	case old.Equal(now):
	case old.Kind() == evaluator.KindObject && now.Kind() == evaluator.KindObject:
		compareMembers(path, old.Members(), now.Members(), report)
	case old.Kind() == evaluator.KindList && now.Kind() == evaluator.KindList:
		a, b := old.Elems(), now.Elems()
		for i := range max(len(a), len(b)) {
			at := fmt.Sprintf("%s/%d", path, i)
			switch {
			case i >= len(a):
				report(at, absent, short(b[i]))
			case i >= len(b):
				report(at, short(a[i]), absent)
			default:
				compare(at, a[i], b[i], report)
			}
		}
	default:
		report(path, short(old), short(now))
	}
}

func compareMembers(path string, old, now []evaluator.Attribute, report func(path, was, is string)) {
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].Name < now[0].Name:
			report(path+"/"+old[0].Name, short(old[0].Value), absent)
			old = old[1:]
		case len(old) == 0 || now[0].Name < old[0].Name:
			report(path+"/"+now[0].Name, absent, short(now[0].Value))
			now = now[1:]
		default:
			compare(path+"/"+old[0].Name, old[0].Value, now[0].Value, report)
			old, now = old[1:], now[1:]
		}
	}
}

// short is a value as one line of readable length.
func short(v evaluator.Value) string {
	text := string(v.AppendJSON(nil))
	if len(text) > 120 {
		return strings.ToValidUTF8(text[:117], "") + "..."
	}
	return text
}
