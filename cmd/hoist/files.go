package main

import (
	"errors"
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// readManifest reads a manifest of hoist's own form in the form the API takes.
func (a *app) readManifest(path string) (*hoistv1.Manifest, error) {
	l, err := a.load(&source{path: path, format: formatHoist})
	if err != nil {
		return nil, err
	}
	return manifestOf(l.content), nil
}

// manifestOf turns content into the form the API takes.
func manifestOf(content fsm.Content) *hoistv1.Manifest {
	m := &hoistv1.Manifest{StatesSchedules: content.StatesSchedules}
	for _, s := range content.Schedules {
		m.Schedules = append(m.Schedules, s.Record())
	}
	for _, f := range content.Flags {
		m.Flags = append(m.Flags, f.Canonical())
	}
	for _, s := range content.Segments {
		m.Segments = append(m.Segments, s.Canonical())
	}
	return m
}

// validate reads the files and tries them on an empty state: the same law as on a server judges them.
func (a *app) validate(src *source) error {
	l, err := a.read(src)
	if err != nil {
		return err
	}
	if l.findings.Errors() == 0 && !l.alone {
		if err := judge(l.content); err != nil {
			a.findings(l.findings)
			return err
		}
	}
	if a.output != "table" {
		if err := a.showJSON(map[string]any{"findings": append(manifest.Findings{}, l.findings...), "errors": l.findings.Errors(),
			"flags": len(l.content.Flags), "segments": len(l.content.Segments), "schedules": len(l.content.Schedules)}); err != nil {
			return err
		}
	}
	for _, f := range l.findings {
		if a.output == "table" {
			fmt.Fprintln(a.stdout, f)
		}
	}
	if n := l.findings.Errors(); n > 0 {
		return failed("correct the lines named above; hoist export shows the shape", "%d error(s) in %s", n, src.path)
	}
	if a.output == "table" {
		fmt.Fprintf(a.stdout, "%s: %s, all valid\n", src.path, l.summary)
	}
	return nil
}

// judge applies the content to an empty environment and says what the law thinks of it.
func judge(content fsm.Content) error {
	state, err := freshState()
	if err != nil {
		return err
	}
	environment, ok := state.Environment(fsm.DefaultTenant, defaultEnvironment)
	if !ok {
		return fmt.Errorf("a fresh state has no environment %q", defaultEnvironment)
	}
	scope := fsm.Scope{Tenant: fsm.DefaultTenant, Environment: defaultEnvironment}
	command := fsm.Batch{Scope: scope, Commands: fsm.Diff(scope, environment, content, false)}
	if len(command.Commands) == 0 {
		return nil
	}
	if err := fsm.Check(command); err != nil {
		return lawful(err)
	}
	encoded, err := fsm.EncodeCommand(command)
	if err != nil {
		return lawful(err)
	}
	_, err = state.Try(&fsm.Proposal{RequestID: "validate", Actor: fsm.Actor{Kind: "system"}, Command: encoded})
	return lawful(err)
}

// freshState is the state of a cluster that has just elected its first leader.
func freshState() (*fsm.State, error) {
	first, err := fsm.EncodeCommand(fsm.LeaderEstablished{
		Term: 1, ServerID: "validate", ClusterID: "validate", Epoch: "validate", LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	if err != nil {
		return nil, err
	}
	proposal := fsm.Proposal{Actor: fsm.Actor{Kind: "system"}, Command: first}
	store := fsm.NewStore()
	for _, outcome := range store.Apply([]fsm.Entry{{Index: 1, Term: 1, Data: proposal.Encode()}}) {
		if outcome.Err != nil {
			return nil, outcome.Err
		}
	}
	return store.State(), nil
}

// lawful gives an error of the law the words of the command line: one line per field.
func lawful(err error) error {
	var e *fsm.Error
	if !errors.As(err, &e) {
		return err
	}
	message := e.Detail
	if e.Target != "" {
		message = e.Target + ": " + message
	}
	for _, p := range e.Problems {
		message += fmt.Sprintf("\n  %s: %s (%s)", p.Field, p.Message, p.Code)
	}
	return failed("correct the fields named above", "%s", message)
}

// contentOf decodes the manifest of an API answer.
func contentOf(m *hoistv1.Manifest) (fsm.Content, error) {
	content := fsm.Content{StatesSchedules: m.GetStatesSchedules()}
	for _, record := range m.GetSchedules() {
		schedule, err := fsm.DecodeSchedule(record)
		if err != nil {
			return content, fmt.Errorf("the node sent a schedule this binary cannot read: %w", err)
		}
		content.Schedules = append(content.Schedules, schedule)
	}
	for _, record := range m.GetFlags() {
		flag, err := evaluator.DecodeFlag(record)
		if err != nil {
			return content, fmt.Errorf("the node sent a flag this binary cannot read: %w", err)
		}
		content.Flags = append(content.Flags, flag)
	}
	for _, record := range m.GetSegments() {
		segment, err := evaluator.DecodeSegment(record)
		if err != nil {
			return content, fmt.Errorf("the node sent a segment this binary cannot read: %w", err)
		}
		content.Segments = append(content.Segments, segment)
	}
	return content, nil
}
